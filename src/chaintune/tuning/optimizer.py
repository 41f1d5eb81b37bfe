"""AdamW whose steps are exact although the weights are stored in bf16."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.distributed.tensor import DTensor


class MasterAdamW(torch.optim.AdamW):
    """AdamW on an fp32 copy of the weights, written back in the weights' own type after each step.

    A bf16 number has 8 significant bits: a step below 1/256 of a weight is rounded away, and at common
    learning rates most steps are. The copy keeps them. Forward and backward stay in bf16. The copy is made at the
    first step, since a wrapper such as FSDP puts its own pieces of the weights in place of the weights before that.

    Args:
        params: groups or parameters, as for `torch.optim.AdamW`. Weights in fp32 are stepped in place.
        masters: keep the copy; without it bf16 weights are stepped in place too, and small steps are lost.
        options: passed on.

    Source:
        Micikevicius et al. 2018, Mixed Precision Training, section 3.1.
    """

    def __init__(self, params: Iterable[Any], *, masters: bool = True, **options: Any) -> None:
        super().__init__(params, **options)
        self._live: list[torch.Tensor] = []
        self._master: list[torch.Tensor] = []
        self._copied = not masters

    def _copy(self) -> None:
        for group in self.param_groups:
            group["params"] = [self._master_of(weight) for weight in group["params"]]
        self._copied = True

    def _master_of(self, weight: torch.Tensor) -> torch.Tensor:
        if weight.dtype == torch.float32:
            return weight
        master = weight.detach().float().clone()
        self._live.append(weight)
        self._master.append(master)
        return master

    def exact(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight as it is stepped: its copy in fp32, or itself."""
        for live, master in zip(self._live, self._master, strict=True):
            if live is weight:
                return master
        return weight

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step; gradients are read from the live weights and freed."""
        if not self._copied:
            self._copy()
        for live, master in zip(self._live, self._master, strict=True):
            self._pass_gradient(live, master)
        result = super().step(closure)
        if self._live:
            torch._foreach_copy_([_piece(live) for live in self._live], [_piece(master) for master in self._master])
        return result

    def _pass_gradient(self, live: torch.Tensor, master: torch.Tensor) -> None:
        if live.grad is None:
            master.grad = None
        elif master.grad is None:
            master.grad = live.grad.float()
        else:  # into the memory of the step before: asking the system for as much again takes longer than the copy
            master.grad.copy_(live.grad)
        live.grad = None


def _piece(weight: torch.Tensor) -> torch.Tensor:
    """What this process holds of a weight; all of it unless FSDP2 shards it."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def exact_weight(optimizer: Any, weight: torch.Tensor) -> torch.Tensor:
    """The weight as an optimizer steps it, whatever the Trainer has wrapped around the optimizer."""
    inner = getattr(optimizer, "optimizer", optimizer)
    return inner.exact(weight) if isinstance(inner, MasterAdamW) else weight
