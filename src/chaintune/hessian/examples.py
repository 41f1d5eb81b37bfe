"""Which examples the loss is measured on, and how they are cut for memory."""

from collections.abc import Sequence
from hashlib import sha256

from chaintune.errors import DataError
from chaintune.models.encoding import check_lengths, encode_examples
from chaintune.models.loading import LoadedModel
from chaintune.records import Example
from chaintune.tuning.tokenized import TrainingExample, lessons

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
        DataError: there are not that many, or none is asked for.
    """
    ordered = sorted(examples, key=lambda example: sha256(f"{seed}\n{example.id}".encode()).digest())
    if count is None and ordered:
        return tuple(ordered)
    if count is None or not 1 <= count <= len(ordered):
        wanted = "at least one example is" if count is None else f"{count:,} examples are"
        raise DataError(f"task '{task}': {wanted} wanted, and there are {len(ordered):,} to choose from")
    return tuple(ordered[:count])


def taught(loaded: LoadedModel, examples: Sequence[Example], *, task: str) -> list[TrainingExample]:
    """What a stage of tuning on the examples would teach, in their order.

    Raises:
        DataError: an example is longer than the model's context.
    """
    encoded = encode_examples(loaded.tokenizer, examples)
    found = lessons(encoded, [example.choices.gold for example in examples], end=loaded.tokenizer.eos_token_id)
    check_lengths(examples, [len(lesson.tokens) for lesson in found], loaded.context_tokens, task=task)
    return found


def micro_batches(lessons: Sequence[TrainingExample], *, tokens: int) -> list[list[TrainingExample]]:
    """The lessons by length, cut so that each part, padded, holds at most `tokens` tokens or one lesson."""
    parts: list[list[TrainingExample]] = []
    for lesson in sorted(lessons, key=lambda lesson: (len(lesson.tokens), lesson.tokens)):
        if not parts or len(lesson.tokens) * (len(parts[-1]) + 1) > tokens:
            parts.append([])
        parts[-1].append(lesson)
    return parts
