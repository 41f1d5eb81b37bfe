"""What a stage teaches: examples as token sequences, and batches of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch.utils.data import Dataset

from chaintune.models.encoding import Encoded, check_lengths, errors_of
from chaintune.models.loading import LoadedModel
from chaintune.records import Example
from chaintune.tuning.objectives.objective import Objective, Tokenized

IGNORED = -100


Tokens = tuple[int, ...]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One example as token sequences of which the answers are learned and the rest is read.

    Attributes:
        sequences: token ids; nothing stands behind the last answer of each.
        answers: for each sequence, where each of its answers begins and ends, in their order, at least one.
    """

    sequences: tuple[Tokens, ...]
    answers: tuple[tuple[Span, ...], ...]

    @classmethod
    def of(cls, turns: Iterable[tuple[Tokens, Tokens]]) -> "TrainingExample":
        """An example of answers and what is read before each.

        An answer whose context goes on from the sequence so far, as that of a conversation's next turn does where the
        chat template leaves the earlier turns as they were, is one more span of it; any other begins a sequence.

        Example:
            >>> TrainingExample.of([((1, 2), (3,)), ((1, 2, 3, 4), (5,)), ((1, 4), (6, 7))])
            TrainingExample(sequences=((1, 2, 3, 4, 5), (1, 4, 6, 7)), answers=(((2, 3), (4, 5)), ((2, 4),)))
        """
        sequences: list[Tokens] = []
        answers: list[tuple[Span, ...]] = []
        for context, answer in turns:
            span = (len(context), len(context) + len(answer))
            if sequences and context[: len(sequences[-1])] == sequences[-1]:
                sequences[-1] = context + answer
                answers[-1] += (span,)
            else:
                sequences.append(context + answer)
                answers.append((span,))
        return cls(tuple(sequences), tuple(answers))

    @property
    def answer_tokens(self) -> int:
        """How many tokens are learned."""
        return sum(map(learned_tokens, self.answers))


def learned_tokens(spans: Iterable[Span]) -> int:
    """Tokens of the answers of a sequence."""
    return sum(end - start for start, end in spans)


def training_examples(taught: Iterable[Sequence[Encoded]], *, answer: int = 0) -> list[TrainingExample]:
    """What each example teaches, of the answers of its turns."""
    return [
        TrainingExample.of(
            (turn.prefix, turn.continuations[min(answer, len(turn.continuations) - 1)]) for turn in turns
        )
        for turns in taught
    ]


def tokenized(
    loaded: LoadedModel, examples: Sequence[Example], objective: Objective, *, task: str
) -> Sequence[Tokenized]:
    """Each example as a stage with an objective reads it, in the order of the examples.

    Raises:
        DataError: an example is longer than the model's context, or cannot be read.
        ModelError: an example has to be rendered, and the model has no chat template.
    """
    with errors_of(task):
        encoded = objective.encode(loaded.tokenizer, examples)
    check_lengths(examples, [longest_tokens(one) for one in encoded], loaded.context_tokens, task=task)
    return encoded


def prepared(loaded: LoadedModel, data: Sequence[Tokenized], objective: Objective) -> list[Tokenized]:
    """The same with what the loss needs of the model before the stage; of one that is sharded all processes ask."""
    return list(objective.prepare(loaded, data) if objective.prepare else data)


def longest_tokens(example: Tokenized) -> int:
    """Tokens of the longest sequence of an example."""
    return max(map(len, example.sequences))


def all_tokens(example: Tokenized) -> Tokens:
    """Everything that is read of an example, one sequence after another."""
    return tuple(chain.from_iterable(example.sequences)) if len(example.sequences) > 1 else example.sequences[0]


class OrderedExamples(Dataset[Tokenized]):
    """Examples in training order, for a data loader that reads them front to back."""

    def __init__(self, examples: Sequence[Tokenized], order: Sequence[int]) -> None:
        self.examples = examples
        self._order = order

    def replaced(self, examples: Sequence[Tokenized]) -> "OrderedExamples":
        """Other examples in the same order."""
        return OrderedExamples(examples, self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> Tokenized:
        return self.examples[self._order[position]]


def collate(batch: Sequence[TrainingExample]) -> dict[str, Any]:
    """Token ids and labels, a row a sequence, padded on the right; labels are -100 except on the answers.

    No attention mask: under causal attention nothing that counts can see padding on its right. An empty batch is one
    token of padding, of which nothing is learned.

    Shape:
        `input_ids` and `labels` `[B, T]`, `lengths` `[B]` (tokens without padding); `tokens`, their sum, and `items`,
        the answer tokens, are ints. `answered`: for each row its number and how many of its tokens are learned.
    """
    rows = [(tokens, spans) for example in batch for tokens, spans in sequences_of(example)]
    width = max((len(tokens) for tokens, _ in rows), default=1)
    input_ids = torch.zeros((max(1, len(rows)), width), dtype=torch.long)
    labels = torch.full_like(input_ids, IGNORED)
    for row, (tokens, spans) in enumerate(rows):
        input_ids[row, : len(tokens)] = torch.tensor(tokens)
        for start, end in spans:
            labels[row, start:end] = input_ids[row, start:end]
    lengths = torch.tensor([len(tokens) for tokens, _ in rows], dtype=torch.long)
    counts: dict[str, Any] = {"tokens": count_tokens(batch), "items": count_items(batch)}
    counts["answered"] = tuple((row, learned_tokens(spans)) for row, (_, spans) in enumerate(rows))
    return {"input_ids": input_ids, "labels": labels, "lengths": lengths, **counts}


def sequences_of(example: TrainingExample) -> Iterable[tuple[Tokens, tuple[Span, ...]]]:
    """The sequences of an example, each with its answers."""
    return zip(example.sequences, example.answers, strict=True)


def count_tokens(batch: Sequence[Tokenized]) -> int:
    """Tokens of some examples; a number and no tensor, for which a device would have to be waited for."""
    return sum(len(tokens) for example in batch for tokens in example.sequences)


def count_items(batch: Sequence[TrainingExample]) -> int:
    """Answer tokens of some examples, over which their loss is a mean."""
    return sum(example.answer_tokens for example in batch)
