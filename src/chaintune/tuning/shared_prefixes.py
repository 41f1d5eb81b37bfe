"""Examples of one micro-batch that begin alike as a tree, in which each distinct beginning is computed once.

Gradients are those of the examples one beside the other: what is shared gets the sum of what each example
sends back. Only dropout differs, which falls on a shared beginning once and not anew for each example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from chaintune.models.forward import logits_only_at
from chaintune.models.token_tree import TokenTree, grow, last_nodes, size
from chaintune.models.tree_attention import forward_tree, tree_attention
from chaintune.tuning.tokenized import IGNORED, OrderedExamples, TrainingExample, count_items, count_tokens

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
        `lengths` `[B]`: tokens of each example, as if nothing were shared; `tokens`, their sum, and `items`, the answer
        tokens, are ints.
    """
    ordered = sorted(batch, key=lambda example: example.tokens)
    tree = grow([example.tokens[:-1] for example in ordered] or [(0,)])
    read, rows = last_nodes(tree, [example.answer_tokens for example in ordered]) if ordered else ([], [])
    answers = [token for example in ordered for token in example.tokens[-example.answer_tokens :]]
    return {
        "tree": ExampleTree(tree, tuple(read), tuple(rows)),
        "labels": torch.tensor([[IGNORED, *answers]]),
        "lengths": torch.tensor([len(example.tokens) for example in ordered], dtype=torch.long),
        "tokens": count_tokens(ordered),
        "items": count_items(ordered),
    }


def answer_logits(model: Any, examples: ExampleTree, *, wrapped: Any = None) -> torch.Tensor:
    """Logits that predict each answer token, in the order of the labels.

    Args:
        model: a causal language model of transformers, or a PEFT model around one.
        examples: a micro-batch.
        wrapped: what to call in place of the model, such as DDP around it.

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
    texts = [data[position].tokens for position in range(len(data))]
    batches = [sorted(texts[start : start + micro_batch_size]) for start in range(0, len(texts), micro_batch_size)]
    return sum(map(size, batches)) < _WORTH_SHARING * sum(map(len, texts))
