"""Log-probability of every choice; each distinct beginning runs through the model once.

Prompts and choices of all examples form one tree of tokens. It is walked branch by branch and cut into
bins; a bin goes through the model as one packed sequence in which each token sees its own branch only.
Two examples that open with the same context, and the choices of one example, share what they have in
common. What all examples share (the shots of a few-shot prompt) is computed once for all bins.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from chaintune.models.answer_logits import logits_only_at
from chaintune.models.encoding import Encoded
from chaintune.models.token_tree import TokenTree, common_beginning, cuts, grow
from chaintune.models.tree_attention import forward_tree, tree_attention

# Shorter than this, a common beginning costs less in every bin than as a cache beside each.
_WORTH_CACHING_TOKENS = 64


@dataclass(frozen=True, slots=True)
class _Branch:
    """One choice: the tokens that are read, and the last of them that predict something."""

    read: tuple[int, ...]
    predicted: tuple[int, ...]
    example: int
    choice: int


@dataclass(frozen=True, slots=True)
class Packing:
    """Examples as bins of branches.

    Attributes:
        shared: tokens that every branch begins with and that are computed once, before the bins.
        bins: runs of branches in lexicographic order.
    """

    shared: tuple[int, ...]
    bins: tuple[tuple[_Branch, ...], ...]

    @property
    def tokens(self) -> int:
        """How many go through the model."""
        return len(self.shared) + sum(len(self.tree(number)) for number in range(len(self.bins)))

    def tree(self, number: int) -> TokenTree:
        """Of one bin."""
        return grow([branch.read for branch in self.bins[number]], skip=len(self.shared))


def pack(encoded: Sequence[Encoded], *, bin_tokens: int) -> Packing:
    """Cut the tree of all examples into bins.

    The bins depend on the examples alone, never on the order in which they come.

    Args:
        encoded: examples as token ids.
        bin_tokens: nodes of one bin at most; a branch that is longer gets a bin of its own.
    """
    branches = sorted(_branches(encoded), key=lambda branch: (branch.read, branch.predicted))
    if not branches:
        return Packing((), ())
    reads = [branch.read for branch in branches]
    skip = min(common_beginning(reads[0], reads[-1]), min(len(example.prefix) for example in encoded) - 1)
    skip = skip if skip >= _WORTH_CACHING_TOKENS else 0
    runs = cuts(reads, capacity_tokens=bin_tokens, skip=skip)
    return Packing(reads[0][:skip], tuple(tuple(branches[run]) for run in runs))


def tree_logprobs(
    model: Any, encoded: Sequence[Encoded], *, bin_tokens: int, on_scored: Callable[[int], None] = lambda _: None
) -> list[list[float]]:
    """Natural-log probability of each choice given its prefix, in the order of `encoded`.

    Args:
        model: one that `takes_trees`, in evaluation mode.
        encoded: examples as token ids.
        bin_tokens: tokens that go through the model together.
        on_scored: called with the number of examples done after each bin.
    """
    packing = pack(encoded, bin_tokens=bin_tokens)
    rows = [[0.0] * len(example.continuations) for example in encoded]
    missing = [len(row) for row in rows]
    cache = _read(model, packing.shared) if packing.shared else None
    with tree_attention(model):
        for number, branches in enumerate(packing.bins):
            sums = _bin_logprobs(model, packing.tree(number), branches, cache)
            for branch, value in zip(branches, sums, strict=True):
                rows[branch.example][branch.choice] = value
                missing[branch.example] -= 1
            on_scored(sum(left == 0 for left in missing))
    return rows


def _branches(encoded: Sequence[Encoded]) -> Iterator[_Branch]:
    for number, example in enumerate(encoded):
        for choice, tokens in enumerate(example.continuations):
            yield _Branch(example.prefix + tokens[:-1], tokens, number, choice)


def _read(model: Any, tokens: tuple[int, ...]) -> DynamicCache:
    """Keys and values of the tokens that all branches begin with."""
    cache, inputs = DynamicCache(), torch.tensor([tokens], device=next(model.parameters()).device)
    with logits_only_at(model, torch.zeros_like(inputs, dtype=torch.bool)):
        model(input_ids=inputs, past_key_values=cache, use_cache=True)
    return cache


def _bin_logprobs(model: Any, tree: TokenTree, branches: Sequence[_Branch], cache: DynamicCache | None) -> list[float]:
    device = next(model.parameters()).device
    nodes = [tree.path(int(end))[-len(b.predicted) :] for b, end in zip(branches, tree.ends, strict=True)]
    read = sorted({node for path in nodes for node in path})
    row_of = {node: row for row, node in enumerate(read)}
    chosen = torch.zeros((1, len(tree)), dtype=torch.bool, device=device)
    chosen[0, read] = True
    with logits_only_at(model, chosen):
        logits = forward_tree(model, tree, cache=cache).float()  # [N, V]
    rows = torch.tensor([row_of[node] for path in nodes for node in path], device=device)
    targets = torch.tensor([token for branch in branches for token in branch.predicted], device=device)
    owners = [number for number, branch in enumerate(branches) for _ in branch.predicted]
    picked = (logits[rows, targets] - torch.logsumexp(logits, dim=-1)[rows]).double()
    sums = torch.zeros(len(branches), dtype=torch.float64, device=device)
    summed: list[float] = sums.index_add_(0, torch.tensor(owners, device=device), picked).tolist()
    return summed
