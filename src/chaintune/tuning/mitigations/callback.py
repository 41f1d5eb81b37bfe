"""A Trainer's callback that is defined without loading transformers, and the weights that callbacks read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a study file that names a mitigation is read without torch
    import torch


class Callback:
    """Base of a mitigation's callback; events that it does not define do nothing.

    A Trainer asks its callbacks for the events by name and for nothing else. `transformers.TrainerCallback` would load
    torch wherever a mitigation is only named, as in reading a study file.
    """

    def __getattr__(self, event: str) -> Callable[..., None]:
        if not event.startswith("on_"):
            raise AttributeError(f"{type(self).__name__} has no attribute '{event}'")
        return _nothing


def _nothing(*_: Any, **__: Any) -> None:
    return None


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
