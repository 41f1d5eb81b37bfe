"""The weights before a stage, and a pull back to them that any Trainer can apply.

The pull is added to the gradients right before the optimizer's step. So it costs no backward pass, is the same
whatever the gradient accumulation, and is not clipped with the gradients of the task.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a study file that names a mitigation is read without torch
    import torch


@dataclass(frozen=True, slots=True)
class Anchor:
    """The trainable weights of a model as they were.

    Memory: one copy of the trainable weights, in their own number format.

    Attributes:
        weights: name -> copy.
    """

    weights: "Mapping[str, torch.Tensor]"

    @classmethod
    def of(cls, model: Any) -> "Anchor":
        """The weights of a model as they are now."""
        return cls({name: weight.detach().clone() for name, weight in trainable_weights(model).items()})

    def pull(
        self, model: Any, optimizer: Any, strength: float, scale: "Mapping[str, torch.Tensor] | None" = None
    ) -> None:
        """Add the gradient of `penalty` to the gradients of the weights that have one."""
        for name, weight in trainable_weights(model).items():
            if weight.grad is None:
                continue
            distance = exact_weight(optimizer, weight) - laid_like(weight, self.weights[name])
            weight.grad.add_(distance if scale is None else distance * laid_like(weight, scale[name]), alpha=strength)

    def penalty(self, model: Any, strength: float, scale: "Mapping[str, torch.Tensor] | None" = None) -> float:
        """`strength / 2` times the summed squares of the distances, each times its scale."""
        total = 0.0
        for name, weight in trainable_weights(model).items():
            square = (weight.detach() - self.weights[name].to(weight.device)).double() ** 2
            total += float((square if scale is None else square * scale[name].to(weight.device)).sum())
        return strength / 2 * total


def trainable_weights(model: Any) -> "dict[str, torch.Tensor]":
    """The weights of a model that are trained, by name; those of an adapter where there is one."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def laid_like(weight: "torch.Tensor", whole: "torch.Tensor") -> "torch.Tensor":
    """A tensor of a weight's shape, on its device; of a weight that FSDP2 shards, the same piece of it."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(weight, DTensor) or isinstance(whole, DTensor):
        return whole.to(weight.device)
    # No source: every process has the whole and takes its own piece.
    return distribute_tensor(whole.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None)


def exact_weight(optimizer: Any, weight: "torch.Tensor") -> "torch.Tensor":
    """The weight as an optimizer steps it, whatever the Trainer has wrapped around the optimizer."""
    exact = getattr(getattr(optimizer, "optimizer", optimizer), "exact", None)  # of `MasterAdamW`
    return (exact(weight) if exact else weight).detach()
