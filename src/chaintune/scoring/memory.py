"""Out of memory while a model scores: scoring is retried with fewer tokens at once."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Generic, TypeVar

from chaintune.errors import ModelError
from chaintune.models.memory import SEVERAL_DEVICES, OutOfMemoryError, unless_out_of_memory

T = TypeVar("T")
R = TypeVar("R")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Portions(Generic[T]):
    """How much goes through a model at once: the usual, and after an out-of-memory error less.

    Attributes:
        architecture: of the model, for messages.
        tokens: of one portion at most; halved when out of memory.
        cut: items and tokens -> portions of so many tokens at most, each of one item at least.
        weigh: tokens of some items.
        on_less: called before a retry, to drop what the failed portion may have left half-done.
        may_halve: whether to retry with less; not where other processes wait for the pass that failed.
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
            OutOfMemoryError: where there must be no retry with less.
            ModelError: one item alone does not fit.
        """
        waiting = [items]
        while waiting:
            portion = waiting.pop()
            if self._halved:
                portion, *rest = self.cut(portion, self.tokens)
                waiting += reversed(rest)
            result = unless_out_of_memory(partial(compute, portion))
            if result is None:
                self._halve(portion)
                waiting.append(portion)
            else:
                yield portion, result

    def _halve(self, failed: Sequence[T]) -> None:
        tokens = self.weigh(failed)
        if len(failed) == 1:
            sentence = too_little(self.architecture, f"one example's {tokens:,} tokens")
            raise ModelError(f"{sentence}, or several, which share a model that nearly fills one: {SEVERAL_DEVICES}")
        if not self.may_halve:
            raise OutOfMemoryError(
                f"{self.architecture}: out of memory at {tokens:,} tokens, and processes that hold one model together "
                f"cannot retry with less; take a smaller batch_tokens, at most {max(1, tokens // 2)}",
                tokens,
            )
        # Half of what failed and not of what was allowed, which a small portion never reached.
        self.tokens, self._halved = max(1, tokens // 2), True
        self.on_less()
        say_less(self.architecture)


def too_little(architecture: str, smallest: str) -> str:
    """The sentence for memory that does not hold even the least."""
    return (
        f"{architecture}: out of memory even with {smallest} at once; take precision bf16, a smaller model, or a "
        "device with more free memory"
    )


@cache
def say_less(architecture: str) -> None:
    """Log, once for each architecture, that scoring is retried with less."""
    _log.warning("%s: out of memory; retrying with half as many tokens at once, which is slower", architecture)
