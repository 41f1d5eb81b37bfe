"""What a stage teaches: examples as token sequences, and batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset

from chaintune.models.encoding import Encoded, answer_tokens, check_lengths
from chaintune.models.loading import LoadedModel
from chaintune.records import Example
from chaintune.tuning.objectives.objective import Objective, Tokenized

IGNORED = -100


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One training sequence; the last `answer_tokens` of `tokens` are learned, the rest is read."""

    tokens: tuple[int, ...]
    answer_tokens: int


def training_examples(encoded: Sequence[Encoded], golds: Sequence[int], *, end: int | None) -> list[TrainingExample]:
    """The training sequence of each example: prompt, right choice, and the end of the text.

    Args:
        encoded: examples as token ids.
        golds: index of the right choice of each.
        end: token that ends a text, or None if the tokenizer has none.
    """
    result = []
    for example, gold in zip(encoded, golds, strict=True):
        answer = answer_tokens(example, gold, end)
        result.append(TrainingExample(example.prefix + answer, len(answer)))
    return result


def tokenized(
    loaded: LoadedModel, examples: Sequence[Example], objective: Objective, *, task: str
) -> Sequence[Tokenized]:
    """Each example as a stage with an objective reads it, in the order of the examples.

    Raises:
        DataError: an example is longer than the model's context.
    """
    encoded = objective.encode(loaded.tokenizer, examples)
    check_lengths(examples, [len(one.tokens) for one in encoded], loaded.context_tokens, task=task)
    return objective.prepare(loaded, encoded) if objective.prepare else encoded


def micro_batch(batch_size: int, at_most: int) -> int:
    """The largest divisor of `batch_size` that is at most `at_most`, so that a step is whole micro-batches."""
    return max(size for size in range(1, min(batch_size, max(1, at_most)) + 1) if batch_size % size == 0)


class OrderedExamples(Dataset[Tokenized]):
    """Examples in training order, for a data loader that reads them front to back."""

    def __init__(self, examples: Sequence[Tokenized], order: Sequence[int]) -> None:
        self._examples = examples
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> Tokenized:
        return self._examples[self._order[position]]


def collate(batch: Sequence[TrainingExample]) -> dict[str, Any]:
    """Token ids and labels, padded on the right; labels are -100 except on the answers.

    No attention mask: under causal attention nothing that counts can see padding on its right. An empty batch is one
    token of padding, of which nothing is learned.

    Shape:
        `input_ids` and `labels` `[B, T]`, `lengths` `[B]` (tokens without padding); `tokens`, their sum, and `items`,
        the answer tokens, are ints.
    """
    width = max((len(example.tokens) for example in batch), default=1)
    input_ids = torch.zeros((max(1, len(batch)), width), dtype=torch.long)
    labels = torch.full_like(input_ids, IGNORED)
    for row, example in enumerate(batch):
        end = len(example.tokens)
        input_ids[row, :end] = torch.tensor(example.tokens)
        labels[row, end - example.answer_tokens : end] = input_ids[row, end - example.answer_tokens : end]
    lengths = torch.tensor([len(example.tokens) for example in batch], dtype=torch.long)
    counts = {"tokens": count_tokens(batch), "items": count_items(batch)}
    return {"input_ids": input_ids, "labels": labels, "lengths": lengths, **counts}


def count_tokens(batch: Sequence[TrainingExample]) -> int:
    """Tokens of some examples; a number and no tensor, for which a device would have to be waited for."""
    return sum(len(example.tokens) for example in batch)


def count_items(batch: Sequence[TrainingExample]) -> int:
    """Answer tokens of some examples, over which their loss is a mean."""
    return sum(example.answer_tokens for example in batch)
