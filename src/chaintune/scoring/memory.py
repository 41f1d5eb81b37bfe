"""What happens when memory runs out: less goes through the model at once, and scoring goes on."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Generic, TypeVar

from chaintune.errors import ModelError
from chaintune.models.memory import SEVERAL_DEVICES, unless_out_of_memory

T = TypeVar("T")
R = TypeVar("R")

_log = logging.getLogger(__name__)


class MemoryRanOutError(ModelError):
    """In one of several processes that hold one model together memory ran out; all of them can begin again with less.

    Attributes:
        batch_tokens: that may suffice.
    """

    def __init__(self, architecture: str, held_tokens: int) -> None:
        self.batch_tokens = max(1, held_tokens // 2)
        super().__init__(
            f"{architecture}: memory ran out with {held_tokens:,} tokens at once, and processes that hold one model "
            f"together cannot go on with less; take a smaller batch_tokens, at most {self.batch_tokens}"
        )


@dataclass(slots=True)
class Portions(Generic[T]):
    """How much goes through a model at once: as much as was asked for, until memory runs out.

    Attributes:
        architecture: of the model, for messages.
        tokens: of one portion at most; halved when memory runs out.
        cut: items and tokens -> portions of so many tokens at most, each of one item at least.
        weigh: tokens of some items.
        on_less: called after memory ran out, to drop what the failed portion may have left half-done.
        may_halve: whether to go on with less; not where other processes wait for the pass that failed.
    """

    architecture: str
    tokens: int
    cut: Callable[[Sequence[T], int], Iterable[Sequence[T]]]
    weigh: Callable[[Sequence[T]], int]
    on_less: Callable[[], None] = lambda: None
    may_halve: bool = True
    _halved: bool = False

    def each(self, items: Sequence[T], compute: Callable[[Sequence[T]], R]) -> Iterator[tuple[Sequence[T], R]]:
        """Every portion of some items with what is computed of it.

        Args:
            items: that fit into one portion, as far as is known.
            compute: a portion -> its result, which is not None.

        Raises:
            MemoryRanOutError: it did where less must not be tried.
            ModelError: memory does not even suffice for one item.
        """
        waiting = [items]
        while waiting:
            portion = waiting.pop()
            if self._halved:
                portion, *rest = self.cut(portion, self.tokens)
                waiting += reversed(rest)
            found = unless_out_of_memory(partial(compute, portion))
            if found is None:
                self._halve(portion)
                waiting.append(portion)
            else:
                yield portion, found

    def _halve(self, failed: Sequence[T]) -> None:
        held = self.weigh(failed)
        if len(failed) == 1:
            sentence = too_little(self.architecture, f"one example's {held:,} tokens")
            raise ModelError(f"{sentence}, or several, which share a model that nearly fills one: {SEVERAL_DEVICES}")
        if not self.may_halve:
            raise MemoryRanOutError(self.architecture, held)
        # Half of what failed and not of what was allowed, which a small portion never reached.
        self.tokens, self._halved = max(1, held // 2), True
        self.on_less()
        say_less(self.architecture)


def too_little(architecture: str, smallest: str) -> str:
    """The sentence for memory that does not suffice at all."""
    return (
        f"{architecture}: memory runs out even with {smallest} at once; take precision bf16, a smaller model, or a "
        "device with more free memory"
    )


@cache
def say_less(architecture: str) -> None:
    """Log, once for each architecture, that memory ran out and scoring goes on."""
    _log.warning("%s: memory ran out; scoring goes on with half as much at once, and slower", architecture)
