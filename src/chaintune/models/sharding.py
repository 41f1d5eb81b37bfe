"""A model too large for one device: its weights sharded over several processes, and gathered again.

FSDP2 of torch, applied here and not by accelerate or transformers, which know it on GPUs only or for some
architectures: so what runs on eight of them is what the tests run on two processes without any.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from chaintune.models.precision import default_device
from chaintune.models.processes import Rank

# Of a device's free memory; the rest is for activations, which depend on the examples.
_WEIGHTS_SHARE = 0.7
# Of what is received: any number format can begin there.
_ALIGNED_BYTES = 64


def weight_bytes(model: torch.nn.Module) -> int:
    """Memory of a model's weights."""
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def fits_each_device(needed_bytes: Callable[[], int]) -> bool:
    """Whether every process has so much memory on its device, with room for activations; all have to call this.

    A CPU's memory is the same for all processes, sharded or not, so there everything fits and nothing is counted.
    """
    device = default_device()
    if device.type == "cpu":
        return True
    free = torch.tensor(torch.cuda.mem_get_info(device)[0], device=device)
    dist.all_reduce(free, op=dist.ReduceOp.MIN)
    return needed_bytes() <= _WEIGHTS_SHARE * int(free)


def is_sharded(model: Any) -> bool:
    """Whether FSDP2 holds weights of this model."""
    return next(shards(model), None) is not None


def shards(model: Any) -> Iterator[FSDPModule]:
    """The parts of a model whose weights FSDP2 gathers and gives back together."""
    return (module for module in model.modules() if isinstance(module, FSDPModule))


def shard(model: Any) -> None:
    """Shard a model's weights over all processes, layer by layer; each layer is whole only while it runs.

    All processes have to call it. A process whose model is on the meta device (see `load`) gets its pieces
    from the first one, and never holds more than one layer whole.
    """
    device = default_device()
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    handed_out = Rank.here().total(any(weight.is_meta for weight in model.parameters()), device) > 0
    buffer = torch.empty(0, dtype=torch.uint8, device=device)
    for part in [*_layers(model), model]:
        if handed_out:
            buffer = _hand_out(part, buffer)
        fully_shard(part, mesh=mesh)


@torch.no_grad()
def put_together(model: Any) -> None:
    """Undo `shard`: the first process gets every weight whole, in main memory; the others keep their pieces.

    All processes have to call it; after it none of them can run the model.
    """
    first = dist.get_rank() == 0
    for part in shards(model):
        part.reshard()
    known: dict[int, torch.nn.Parameter] = {}  # tied weights stay tied
    for tensors, name, weight in _tensors(model):
        if isinstance(weight, DTensor):
            if id(weight) not in known:
                known[id(weight)] = _whole(weight, keep=first)
            tensors[name] = known[id(weight)]


def _layers(model: Any) -> list[torch.nn.Module]:
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    kinds = set(getattr(bare, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in kinds]


@torch.no_grad()
def _hand_out(part: torch.nn.Module, buffer: torch.Tensor) -> torch.Tensor:
    """Give every process the first one's weights and buffers of a part, but for those that are spread already.

    Args:
        part: changed in place.
        buffer: bytes on the device, which an earlier part needs no more.

    Returns:
        The buffer, or a larger one. One memory for all parts: pieces that are cut between two of them would leave gaps.
    """
    places = [place for place in _tensors(part) if not isinstance(place[2], DTensor)]
    distinct = dict.fromkeys(tensor for _, _, tensor in places)  # tied weights stay tied
    needed, start = sum(map(_padded_bytes, distinct)), 0
    if dist.get_rank() > 0 and len(buffer) < needed:
        buffer = buffer.new_empty(needed)
    received = {}
    for tensor in distinct:
        received[tensor] = _from_first(tensor, buffer[start : start + tensor.nbytes])
        start += _padded_bytes(tensor)
    for tensors, name, tensor in places:
        tensors[name] = received[tensor]
    return buffer


def _padded_bytes(tensor: torch.Tensor) -> int:
    return -(-int(tensor.nbytes) // _ALIGNED_BYTES) * _ALIGNED_BYTES


def _from_first(tensor: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    if dist.get_rank() == 0:
        sent = tensor.detach().to(place.device).contiguous()
    else:
        sent = place.view(tensor.dtype).view(tensor.shape)
    dist.broadcast(sent, 0)
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(sent, tensor.requires_grad)
    return sent.clone()  # a buffer is not cut


def _tensors(model: torch.nn.Module) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
    """Every weight and buffer, with the place where it is registered."""
    for module in list(model.modules()):
        for tensors in (module._parameters, module._buffers):
            for name, tensor in list(tensors.items()):
                if tensor is not None:
                    yield tensors, name, tensor


def _whole(weight: Any, *, keep: bool) -> torch.nn.Parameter:
    full = weight.full_tensor()
    kept = full.cpu() if keep else weight.to_local()
    return torch.nn.Parameter(kept, requires_grad=weight.requires_grad)
