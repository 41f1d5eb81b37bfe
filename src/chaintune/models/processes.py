"""This process's rank among several under torch.distributed, and what they compute together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Self, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rank:
    """The part of the work that is this process's.

    Attributes:
        rank: which of the processes this one is; the first writes what all made.
        ranks: how many they are.
    """

    rank: int = 0
    ranks: int = 1

    @classmethod
    def here(cls) -> Self:
        """The rank of this process; the only one where torch.distributed does not run."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    def in_turn(self, items: Iterable[T]) -> Iterator[T]:
        """The items of this process, dealt out one by one."""
        return islice(items, self.rank, None, self.ranks)

    def total(self, count: int, device: torch.device) -> int:
        """The sum of a count over all processes, which all have to call this."""
        if self.ranks == 1:
            return count
        summed = torch.tensor(count, dtype=torch.int64, device=device)
        dist.all_reduce(summed)
        return int(summed)

    def first_says(self, answer: bool, device: torch.device) -> bool:
        """The first process's answer; all have to call this."""
        if self.ranks == 1:
            return answer
        first = torch.tensor(answer, dtype=torch.int32, device=device)
        dist.broadcast(first, 0)
        return bool(first)

    def merged(self, rows: Sequence[Sequence[float]], device: torch.device) -> list[list[float]]:
        """Rows of numbers, each of them made by one process and 0 in the others, added up; all have to call this."""
        if self.ranks == 1:
            return [list(row) for row in rows]
        flat = torch.tensor([value for row in rows for value in row], dtype=torch.float64, device=device)
        dist.all_reduce(flat)  # exact, as nothing but zeros is added
        values = iter(flat.tolist())
        return [[next(values) for _ in row] for row in rows]


SINGLE_PROCESS = Rank()
