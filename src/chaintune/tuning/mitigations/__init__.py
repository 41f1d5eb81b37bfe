"""What holds forgetting back, or brings back what was lost: one file each, for a study or for your own Trainer.

| name | what to use | where it goes |
| --- | --- | --- |
| replay | `take_dose` | the data of one more stage |
| self_replay | `own_answers` | the data of one more stage |
| rehearse | `RehearsalSampler` | the sampler of the stage that would forget |
| joint | `together` | the data of one stage instead of several |
| interpolate | `interpolate` | weights, after training |
| merge_back | `merge_back` | weights, after training |
| distill | `Distill` | a callback |
| l2sp | `L2SP` | a callback |
| ewc | `EWC`, `diagonal_fisher` | a callback |
| sam | `SharpnessAware` | a mixin of the Trainer |
| ema | `EMA` | a callback |
| freeze | `freeze` | the model, before the Trainer is made |
| osf | `orthogonal` | the model, before the Trainer is made |

`docs/how-to/mitigations.md` shows each on a plain `transformers.Trainer`, and how to add one.
"""

from chaintune.registry import Registry
from chaintune.tuning.mitigations.mitigation import Hook, Mitigation, StageModel
from chaintune.tuning.mitigations.specs import AnswersSpec, BetweenSpec, DoseSpec, MitigationSpec

__all__ = [
    "MITIGATIONS",
    "AnswersSpec",
    "BetweenSpec",
    "DoseSpec",
    "Hook",
    "Mitigation",
    "MitigationSpec",
    "StageModel",
]

MITIGATIONS = Registry(
    "mitigation",
    "chaintune.mitigations",
    Mitigation,
    {
        "replay": "chaintune.tuning.mitigations.replay:MITIGATION",
        "self_replay": "chaintune.tuning.mitigations.self_replay:MITIGATION",
        "rehearse": "chaintune.tuning.mitigations.rehearse:MITIGATION",
        "joint": "chaintune.tuning.mitigations.joint:MITIGATION",
        "interpolate": "chaintune.tuning.mitigations.interpolate:MITIGATION",
        "merge_back": "chaintune.tuning.mitigations.merge_back:MITIGATION",
        "distill": "chaintune.tuning.mitigations.distill:MITIGATION",
        "l2sp": "chaintune.tuning.mitigations.l2sp:MITIGATION",
        "ewc": "chaintune.tuning.mitigations.ewc:MITIGATION",
        "sam": "chaintune.tuning.mitigations.sam:MITIGATION",
        "ema": "chaintune.tuning.mitigations.ema:MITIGATION",
        "freeze": "chaintune.tuning.mitigations.freeze:MITIGATION",
        "osf": "chaintune.tuning.mitigations.osf:MITIGATION",
    },
)
