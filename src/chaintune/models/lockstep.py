"""Equal numbers of forward passes in all processes that share a sharded model.

With FSDP2 a layer's weights are gathered while it runs and given back after it, so a forward pass of one process is
one of all of them. No process has to know how many passes the others need: before each pass every process signals
whether it has work, and one that has none runs a single token along, until none has any.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from chaintune.models.sharding import shards


@contextmanager
def lockstep(model: Any) -> Iterator[None]:
    """Within this context all processes run equally many forward passes of a sharded model; all have to enter it.

    Weights that the last pass left gathered are given back at the end. A process in which an error is raised leaves at
    once, as the others may already wait for it in the middle of a pass; it is its end that ends them.
    """
    device = next(model.parameters()).device

    def signal(*_: Any) -> None:
        _any_works(device, mine=True)

    # In front of the hook with which FSDP2 begins to gather.
    handle = model.register_forward_pre_hook(signal, prepend=True)
    try:
        yield
    finally:
        handle.remove()
    token = torch.zeros((1, 1), dtype=torch.long, device=device)
    with torch.no_grad():
        while _any_works(device, mine=False):
            model(input_ids=token, use_cache=False)
    for part in shards(model):
        part.reshard()


def _any_works(device: torch.device, *, mine: bool) -> bool:
    working = torch.tensor(mine, dtype=torch.int32, device=device)
    dist.all_reduce(working)
    # A process that works knows the answer and does not wait for the device.
    return mine or bool(working.item())
