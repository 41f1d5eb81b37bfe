"""The examples that the loss is measured on, and their micro-batches."""

from collections.abc import Sequence
from hashlib import sha256

from chaintune.errors import DataError
from chaintune.records import Example
from chaintune.tuning.objectives import Tokenized
from chaintune.tuning.tokenized import longest_tokens

# The graph of second derivatives takes some ten megabytes a token of a model of 135M weights.
MICRO_BATCH_TOKENS = {"cpu": 256, "cuda": 2048}


def choose_examples(examples: Sequence[Example], count: int | None, *, task: str, seed: int = 0) -> tuple[Example, ...]:
    """A fixed sample: the same ids and seed give the same examples, and fewer of them lie inside more.

    Args:
        examples: to choose from, in any order.
        count: how many; None for all.
        task: named in errors.
        seed: of the choice.

    Raises:
        DataError: there are fewer, or the number is below 1.
    """
    ordered = sorted(examples, key=lambda example: sha256(f"{seed}\n{example.id}".encode()).digest())
    if not ordered:
        raise DataError(f"task '{task}': there are no examples to choose from")
    if count is not None and not 1 <= count <= len(ordered):
        raise DataError(f"task '{task}': expected 1 to {len(ordered):,} examples, got {count:,}")
    return tuple(ordered[:count])


def micro_batches(examples: Sequence[Tokenized], *, tokens: int) -> list[list[Tokenized]]:
    """The examples by length, cut so that each part, padded, holds at most `tokens` tokens or one example."""
    parts: list[list[Tokenized]] = []
    rows = 0
    for example in sorted(examples, key=lambda one: (longest_tokens(one), one.sequences)):
        rows += len(example.sequences)
        if not parts or longest_tokens(example) * rows > tokens:
            parts.append([])
            rows = len(example.sequences)
        parts[-1].append(example)
    return parts
