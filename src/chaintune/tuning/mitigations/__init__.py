"""What holds forgetting back, or brings back what was lost: one file each, for a study or for your own Trainer.

| name | what to use | where it goes |
| --- | --- | --- |
| replay | `take_dose` | the data of one more stage |
| rehearse | `RehearsalSampler` | the sampler of the stage that would forget |
| joint | `together` | the data of one stage instead of several |
| interpolate | `interpolate` | weights, after training |
| l2sp | `L2SP` | a callback |
| ewc | `EWC`, `diagonal_fisher` | a callback |
| sam | `SharpnessAware` | a mixin of the Trainer |
| ema | `EMA` | a callback |
| freeze | `freeze` | the model, before the Trainer is made |
| osf | `orthogonal` | the model, before the Trainer is made |

`docs/how-to/mitigations.md` shows each on a plain `transformers.Trainer`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from chaintune.errors import ConfigError, nearest

MITIGATIONS: Mapping[str, str] = {
    "replay": "replay:take_dose",
    "rehearse": "rehearse:RehearsalSampler",
    "joint": "joint:together",
    "interpolate": "interpolate:interpolate",
    "l2sp": "l2sp:L2SP",
    "ewc": "ewc:EWC",
    "sam": "sam:SharpnessAware",
    "ema": "ema:EMA",
    "freeze": "freeze:freeze",
    "osf": "osf:orthogonal",
}


def find(name: str) -> Any:
    """The function or class of a mitigation, imported now.

    Raises:
        ConfigError: no mitigation has this name.
    """
    if name not in MITIGATIONS:
        raise ConfigError(f"no mitigation is named '{name}'; {nearest(name, MITIGATIONS)}")
    module, _, attribute = MITIGATIONS[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), attribute)
