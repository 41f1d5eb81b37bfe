"""AdamW whose steps are exact although the weights are stored in bf16."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.distributed.tensor import DTensor

# Weights that are stepped at once: only so many have a gradient in fp32 at a time, or one weight that is larger alone.
_AT_ONCE = 2**24

_Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step, as the log and the progress bar show it."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    tokens_per_second: float


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

    param_groups: list[dict[str, Any]]

    def __init__(self, params: Iterable[Any], *, masters: bool = True, **options: Any) -> None:
        super().__init__(params, **options)
        self._copies: list[_Pair] = []
        self._parts: list[tuple[int, Sequence[_Pair]]] = []
        self._copied = not masters
        self._buffer = torch.empty(0)

    def _copy(self) -> None:
        for index, group in enumerate(self.param_groups):
            pairs = [(weight, _master_of(weight)) for weight in group["params"]]
            group["params"] = [master for _, master in pairs]
            self._copies += [pair for pair in pairs if pair[0] is not pair[1]]
            self._parts += [(index, part) for part in _parts(pairs)]
        first = self._copies[0][0] if self._copies else None
        if first is not None and first.device.type == "cpu" and not isinstance(first, DTensor):
            self._buffer = torch.empty(max(sum(live.numel() for live, _ in part) for _, part in self._parts))
        self._copied = True

    def exact(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight as it is stepped: its copy in fp32, or itself."""
        for live, master in self._copies:
            if live is weight:
                return master
        return weight

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step; gradients are read from the live weights and freed."""
        if not self._copied:
            self._copy()
        if not self._copies:
            return super().step(closure)
        with torch.enable_grad():
            loss = closure() if closure else None
        groups = self.param_groups
        try:
            for index, part in self._parts:
                self.param_groups = [groups[index] | {"params": [master for _, master in part]}]
                self._step_part([pair for pair in part if pair[0] is not pair[1]])
        finally:
            self.param_groups = groups
        return loss

    def _step_part(self, copies: Sequence[_Pair]) -> None:
        """Step the only group there is now; a gradient in fp32 lives no longer than this takes."""
        buffer = self._buffer
        for live, master in copies:
            if live.grad is not None:
                master.grad, buffer = _in_fp32(live.grad, buffer)
            live.grad = None
        super().step()
        for _, master in copies:
            master.grad = None
        if copies:
            torch._foreach_copy_([_piece(live) for live, _ in copies], [_piece(master) for _, master in copies])


def _master_of(weight: torch.Tensor) -> torch.Tensor:
    return weight if weight.dtype == torch.float32 else weight.detach().float().clone()


def _in_fp32(gradient: torch.Tensor, buffer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A copy of a gradient, and the rest of the buffer.

    A buffer on a CPU is kept from step to step: asking the system for it again takes longer than the copy.
    """
    size = gradient.numel()
    if size > buffer.numel() or isinstance(gradient, DTensor) or not gradient.is_contiguous():
        return gradient.float(), buffer
    return buffer[:size].view(gradient.shape).copy_(gradient), buffer[size:]


def _parts(pairs: Sequence[_Pair]) -> Iterator[Sequence[_Pair]]:
    """The weights in their order, as many together as may be stepped at once, and at least one."""
    part: list[_Pair] = []
    size = 0
    for pair in pairs:
        size += pair[0].numel()
        if part and size > _AT_ONCE:
            yield part
            part, size = [], pair[0].numel()
        part.append(pair)
    yield part


def _piece(weight: torch.Tensor) -> torch.Tensor:
    """The part of a weight in this process; all of it unless FSDP2 shards it."""
    return weight.to_local() if isinstance(weight, DTensor) else weight
