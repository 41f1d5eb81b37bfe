"""Examples of one micro-batch that begin alike as a tree, in which each distinct beginning is computed once.

Gradients are those of the examples one beside the other: what is shared gets the sum of what each example
sends back. Only dropout differs, which falls on a shared beginning once and not anew for each example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from chaintune.models.forward import logits_only_at
from chaintune.models.token_tree import TokenTree, grow, once, size
from chaintune.models.tree_attention import forward_tree, tree_attention
from chaintune.tuning.tokenized import (
    IGNORED,
    OrderedExamples,
    Span,
    TrainingExample,
    count_items,
    count_tokens,
    learned_tokens,
    sequences_of,
)

# Attention along a tree and its bookkeeping cost about a tenth; what saves less is not worth it.
_WORTH_SHARING = 0.8


@dataclass(frozen=True, slots=True)
class ExampleTree:
    """A micro-batch of examples.

    Attributes:
        tree: of what they read.
        read: nodes that predict an answer token, each once, in ascending order.
        rows: for each answer token of each example, which of `read` predicts it.
    """

    tree: TokenTree
    read: tuple[int, ...]
    rows: tuple[int, ...]


def collate_tree(batch: Sequence[TrainingExample]) -> dict[str, Any]:
    """Examples as one tree; of an empty batch a single token, of which nothing is learned.

    Shape:
        `labels` `[1, 1 + N]`: the answer tokens, behind a -100, as nothing predicts a first token.
        `lengths` `[B]`: tokens of each sequence, as if nothing were shared; `tokens`, their sum, and `items`, the
        answer tokens, are ints. `answered`: for each sequence, in the order of the labels, its number in the batch and
        how many of its tokens are learned.
    """
    given = [own for example in batch for own in sequences_of(example)]
    # Equal sequences in the order of the batch, whatever of them is learned.
    numbers = sorted(range(len(given)), key=lambda number: given[number][0])
    ordered = [given[number] for number in numbers]
    tree = grow([tokens[:-1] for tokens, _ in ordered] or [(0,)])
    predicting = [_predicting(tree, int(end), spans) for end, (_, spans) in zip(tree.ends, ordered, strict=False)]
    read, rows = once([node for nodes in predicting for node in nodes])
    answers = [token for tokens, spans in ordered for start, end in spans for token in tokens[start:end]]
    return {
        "tree": ExampleTree(tree, tuple(read), tuple(rows)),
        "labels": torch.tensor([[IGNORED, *answers]]),
        "lengths": torch.tensor([len(tokens) for tokens, _ in ordered], dtype=torch.long),
        "tokens": count_tokens(batch),
        "items": count_items(batch),
        "answered": tuple((number, learned_tokens(given[number][1])) for number in numbers),
    }


def _predicting(tree: TokenTree, end: int, spans: tuple[Span, ...]) -> list[int]:
    """The nodes that predict the answers of a sequence, whose last token but one is the node `end`."""
    first, last = spans[0][0], spans[-1][1]
    path = tree.path(end, last=last - first)
    return [path[position - first] for start, stop in spans for position in range(start, stop)]


def answer_logits(model: Any, examples: ExampleTree, *, wrapped: Any = None) -> torch.Tensor:
    """Logits that predict each answer token, in the order of the labels; of `wrapped`, such as DDP, if there is one.

    Shape:
        `[N, V]`.
    """
    read = torch.zeros((1, len(examples.tree)), dtype=torch.bool, device=next(model.parameters()).device)
    read[0, list(examples.read)] = True
    with tree_attention(model), logits_only_at(model, read):
        logits = forward_tree(model if wrapped is None else wrapped, examples.tree)
    return logits[list(examples.rows)]


def pays(data: OrderedExamples, *, micro_batch_size: int) -> bool:
    """Whether sharing saves enough of a stage's tokens to be worth its cost."""
    starts = range(0, len(data), micro_batch_size)
    parts = (range(start, min(start + micro_batch_size, len(data))) for start in starts)
    batches = [sorted(tokens for position in part for tokens in data[position].sequences) for part in parts]
    return sum(map(size, batches)) < _WORTH_SHARING * sum(len(tokens) for batch in batches for tokens in batch)
