"""L2-SP: a pull to the weights before the stage, the same for every weight.

Use when: nothing of the earlier task is at hand but the checkpoint.

On your own Trainer: `trainer.add_callback(L2SP(model, strength=0.1))`, made before training begins.

Source:
    Li, Grandvalet and Davoine 2018, Explicit inductive bias for transfer learning, arXiv:1802.01483, equation 2 with
    beta = 0.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from chaintune.config.validation import as_list
from chaintune.tuning.mitigations.callback import Callback, exact_weight, laid_like, trainable_weights
from chaintune.tuning.mitigations.mitigation import Hook, Mitigation, StageModel
from chaintune.tuning.mitigations.specs import MitigationSpec, Positive, Several

if TYPE_CHECKING:  # a study file that names a mitigation is read without torch
    import torch


class L2spSpec(MitigationSpec):
    """A pull to the weights before the stage.

    Attributes:
        strength: of the pull.
    """

    strength: Annotated[list[Positive], Several, as_list]

    varied: ClassVar[str] = "strength"


class L2SP(Callback):
    """Adds `strength / 2 * sum((w - w0)^2)` to what is minimised; the logged loss stays that of the task.

    The gradient of the penalty is added right before the optimizer's step. So it costs no backward pass, is the same
    whatever the gradient accumulation, and is not clipped with the gradients of the task.

    Memory: one copy of the trained weights, in their own number format.

    Args:
        model: with the weights to be pulled to; only those that are trained count.
        strength: of the pull.
    """

    def __init__(self, model: Any, *, strength: float) -> None:
        self._start = {name: weight.detach().clone() for name, weight in trainable_weights(model).items()}
        self._strength = strength
        self._scale: Mapping[str, torch.Tensor] | None = None  # of each square; None is 1

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, optimizer: Any = None, **__: Any) -> None:
        """Add the gradient of the penalty to the gradients of the weights that have one."""
        for name, weight in trainable_weights(model).items():
            if weight.grad is None:
                continue
            pull = exact_weight(optimizer, weight) - laid_like(weight, self._start[name])
            if self._scale is not None:
                pull = pull * laid_like(weight, self._scale[name])
            weight.grad.add_(pull, alpha=self._strength)


def _apply(stage: StageModel, *, strength: float) -> Hook:
    return Hook(callbacks=(L2SP(stage.loaded.model, strength=strength),))


MITIGATION = Mitigation(
    spec=L2spSpec, place="later stages", apply=_apply, weights="whole at the start", own_trainer="L2SP"
)
