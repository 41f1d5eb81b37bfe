"""A model too large for one device: its weights are spread over the processes that train it, and put together again.

FSDP2 of torch, applied here and not by accelerate, which knows it on GPUs only: so what runs on eight of them is what
the tests run on two processes without any.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from chaintune.errors import StageError
from chaintune.models.precision import default_device
from chaintune.records import Recipe

# Of a device's free memory; the rest is for activations, which depend on the lessons.
_WEIGHTS_SHARE = 0.7
# They look at whole weight matrices, or at gradients before they are added up over the processes.
_WHOLE_ONLY = frozenset({"osf", "sam"})


def check_can_shard(recipe: Recipe) -> None:
    """Refuse what cannot work on pieces of the weights.

    Raises:
        StageError: there is one.
    """
    if recipe.quantize:
        raise StageError("weights in 4 bits cannot be spread over devices; leave recipe.quantize out")
    kind = recipe.regulariser.kind if recipe.regulariser else ""
    if kind in _WHOLE_ONLY:
        raise StageError(
            f"{kind} needs whole weights on every device, and this model is too large for one; "
            "take another mitigation, 'method: lora', or devices with more memory"
        )


def training_bytes(model: torch.nn.Module, recipe: Recipe) -> int:
    """Memory of weights, gradients and optimizer of a stage of a model, adapters and activations not counted."""
    return sum(weight.numel() * recipe.weight_bytes(weight.element_size()) for weight in model.parameters())


def must_shard(model: torch.nn.Module, recipe: Recipe) -> bool:
    """Whether a stage of a model needs more memory than a process has on its device; all have to ask together.

    A CPU's memory is the same for all processes, sharded or not, so there nothing is; weights in 4 bits are not either.
    """
    device = default_device()
    if device.type == "cpu" or recipe.quantize:
        return False
    free = torch.tensor(torch.cuda.mem_get_info(device)[0], device=device)
    dist.all_reduce(free, op=dist.ReduceOp.MIN)
    return training_bytes(model, recipe) > _WEIGHTS_SHARE * int(free)


def shard(model: Any) -> None:
    """Spread a model's weights over all processes, layer by layer; each layer is whole only while it runs."""
    mesh = init_device_mesh(default_device().type, (dist.get_world_size(),))
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    layers = set(getattr(bare, "_no_split_modules", None) or ())
    for module in list(model.modules()):
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


@torch.no_grad()
def put_together(model: Any) -> None:
    """Undo `shard`: the first process gets every weight whole, in main memory; the others keep their pieces.

    All processes have to call it; after it none of them can run the model.
    """
    first = dist.get_rank() == 0
    known: dict[int, torch.nn.Parameter] = {}  # tied weights stay tied
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    for module in list(model.modules()):
        for name, weight in module._parameters.items():
            if isinstance(weight, DTensor):
                if id(weight) not in known:
                    known[id(weight)] = _whole(weight, keep=first)
                module._parameters[name] = known[id(weight)]


@contextlib.contextmanager
def sharded(model: Any) -> Iterator[None]:
    """Within this context a model is spread over all processes."""
    shard(model)
    yield
    put_together(model)


def _whole(weight: Any, *, keep: bool) -> torch.nn.Parameter:
    full = weight.full_tensor()
    kept = full.cpu() if keep else weight.to_local()
    return torch.nn.Parameter(kept, requires_grad=weight.requires_grad)
