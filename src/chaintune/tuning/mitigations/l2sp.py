"""L2-SP: a pull to the weights before the stage, the same for every weight.

Use when: nothing of the earlier task is at hand but the checkpoint.

On your own Trainer: `trainer.add_callback(L2SP(model, strength=0.1))`, made before training begins.

Source:
    Li, Grandvalet and Davoine 2018, Explicit inductive bias for transfer learning, arXiv:1802.01483, equation 2 with
    beta = 0.
"""

from typing import Annotated, Any, ClassVar

from chaintune.config.validation import as_list
from chaintune.tuning.mitigations.anchor import Anchor
from chaintune.tuning.mitigations.callback import Callback
from chaintune.tuning.mitigations.mitigation import Hook, Mitigation, StageModel
from chaintune.tuning.mitigations.specs import MitigationSpec, Positive, Several


class L2spSpec(MitigationSpec):
    """A pull to the weights before the stage."""

    strength: Annotated[list[Positive], Several, as_list]

    varied: ClassVar[str] = "strength"


class L2SP(Callback):
    """Adds `strength / 2 * sum((w - w0)^2)` to what is minimised; the logged loss stays that of the task.

    Args:
        model: with the weights to be pulled to; only those that are trained count.
        strength: of the pull.
    """

    def __init__(self, model: Any, *, strength: float) -> None:
        self._anchor = Anchor.of(model)
        self._strength = strength

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, optimizer: Any = None, **__: Any) -> None:
        """Add the gradient of the penalty."""
        self._anchor.pull(model, optimizer, self._strength)

    def penalty(self, model: Any) -> float:
        """The penalty at a model's weights."""
        return float(self._anchor.penalty(model, self._strength))


def _apply(stage: StageModel, *, strength: float) -> Hook:
    return Hook(callbacks=(L2SP(stage.loaded.model, strength=strength),))


MITIGATION = Mitigation(
    spec=L2spSpec, place="later stages", apply=_apply, weights="whole at the start", own_trainer="L2SP"
)
