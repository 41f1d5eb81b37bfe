"""SAM: gradients are taken where, within a distance, the loss is worst, so that the stage ends in a flat place.

Use when: forgetting goes with sharp checkpoints (`chaintune curvature` tells) and twice the time is affordable. It has
to begin with the stage that learns the task that will be lost: what helps is that this stage ends in a flat place.

On your own Trainer: `class MyTrainer(SharpnessAware, Trainer): rho = 0.05`.

Source:
    Foret et al. 2021, Sharpness-aware minimization, arXiv:2010.01412, equations 2 and 3; the worst point is found for
    each micro-batch on its own (their m-sharpness). Against forgetting: Mehta et al. 2023, arXiv:2112.09153.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from chaintune.config.validation import as_list
from chaintune.errors import StageError
from chaintune.tuning.mitigations.callback import trainable_weights
from chaintune.tuning.mitigations.mitigation import Hook, Mitigation, StageModel
from chaintune.tuning.mitigations.specs import MitigationSpec, Positive, Several

if TYPE_CHECKING:  # a study file that names a mitigation is read without torch
    import torch


class SamSpec(MitigationSpec):
    """Gradients at the worst point within a distance.

    Attributes:
        rho: the distance, in the norm of all trained weights together.
    """

    rho: Annotated[list[Positive], Several, as_list] = Field(default_factory=lambda: [0.05])

    varied: ClassVar[str] = "rho"


class SharpnessAware:
    """Mixin of a `transformers.Trainer` that goes through every micro-batch twice.

    Memory: one copy of the trained weights and one of their gradients. It needs trained weights in fp32 (a full model
    in fp32, or LoRA), because the distance to the worst point is smaller than a bf16 number can show.

    Attributes:
        rho: distance to the worst point, in the norm of all trained weights together.
    """

    rho: float = 0.05

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> "torch.Tensor":
        """Gradients at the worst point nearby are added to those of the step; the loss is that of the weights."""
        import torch

        weights = list(trainable_weights(model).values())
        _check_exact(weights)
        so_far = [weight.grad for weight in weights]
        for weight in weights:
            weight.grad = None
        with self.accelerator.no_sync(model=model):  # type: ignore[attr-defined]
            # Of several processes each looks for the worst point of its own micro-batch.
            loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc]
        here = [weight.detach().clone() for weight in weights]
        _climb(weights, self.rho)
        for weight, grad in zip(weights, so_far, strict=True):
            weight.grad = grad
        super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc]
        with torch.no_grad():
            torch._foreach_copy_(weights, here)
        return loss


def _climb(weights: "list[torch.Tensor]", rho: float) -> None:
    """Move the weights by `rho` along their gradients; weights without one stay."""
    import torch

    moved = [weight for weight in weights if weight.grad is not None]
    grads = [weight.grad for weight in moved]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in grads]))
    for weight, grad in zip(moved, grads, strict=True):
        weight.detach().add_(grad * (rho / (norm + 1e-12)))


def _check_exact(weights: "list[torch.Tensor]") -> None:
    import torch

    coarse = next((weight.dtype for weight in weights if weight.dtype != torch.float32), None)
    if coarse is not None:
        raise StageError(
            f"sam: the trained weights are {str(coarse).removeprefix('torch.')}, in which a step of rho is rounded "
            "away; use 'precision: fp32', or 'method: lora', whose weights are fp32"
        )


def _apply(_stage: StageModel, *, rho: float) -> Hook:
    return Hook(mixin=type("SharpnessAware", (SharpnessAware,), {"rho": rho}))


# Flatness helps where it is to be left, so it begins with the stage that learns the task.
MITIGATION = Mitigation(
    spec=SamSpec, place="from the learning stage", apply=_apply, weights="whole", own_trainer="SharpnessAware"
)
