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

from chaintune.models.encoding import Encoded
from chaintune.models.forward import logits_only_at
from chaintune.models.processes import SINGLE_PROCESS, Rank
from chaintune.models.token_tree import TokenTree, common_beginning, cuts, grow, last_nodes, size
from chaintune.models.tree_attention import logits_at, tree_attention
from chaintune.scoring.memory import Portions

# Shorter than this, a common beginning costs less in every bin than as a cache beside each.
_WORTH_CACHING_TOKENS = 64
# A chunk of this many shares nearly all that the whole task shares: 3,680 BBQ items cost 0.02 % more than in one chunk.
_CHUNK_EXAMPLES = 512


@dataclass(frozen=True, slots=True)
class Branch:
    """One choice: the tokens that are read, and the last of them that predict something."""

    read: tuple[int, ...]
    predicted: tuple[int, ...]
    example: int
    choice: int


def shared_beginning(encoded: Sequence[Encoded]) -> tuple[int, ...]:
    """Tokens that every branch begins with and that are worth computing once, before the bins."""
    prefixes = [example.prefix for example in encoded]
    first, last = min(prefixes, default=()), max(prefixes, default=())
    # The last token of a prefix predicts, so it must stand in a bin.
    length = min(common_beginning(first, last), min(map(len, prefixes), default=1) - 1)
    return first[:length] if length >= _WORTH_CACHING_TOKENS else ()


def bins(
    encoded: Sequence[Encoded], *, bin_tokens: int, bin_answers: int | None = None, skip: int = 0
) -> Iterator[Sequence[Branch]]:
    """The tree of all examples in pieces, each a run of branches in lexicographic order.

    The pieces depend on the examples alone, never on the order in which they come. Branches are made a few
    hundred examples at a time, so memory does not grow with the task; two such chunks compute their common
    beginning twice, which costs at most one path of the tree each.

    Args:
        encoded: examples as token ids.
        bin_tokens: nodes of one bin at most; a branch that is longer gets a bin of its own.
        bin_answers: nodes of one bin that predict something, at most, as each costs a row of logits; None is any.
        skip: tokens that all begin with and that the bins leave out.
    """
    order = sorted(range(len(encoded)), key=lambda index: (encoded[index].prefix, encoded[index].continuations))
    for start in range(0, len(order), _CHUNK_EXAMPLES):
        branches = sorted(
            _branches(encoded, order[start : start + _CHUNK_EXAMPLES]), key=lambda b: (b.read, b.predicted)
        )
        yield from _cut(branches, bin_tokens, bin_answers, skip)


def distinct_tokens(encoded: Sequence[Encoded]) -> int:
    """Nodes of the tree of all examples: the tokens that go through the model if no bin cuts it."""
    return size(sorted(branch.read for branch in _branches(encoded, range(len(encoded)))))


def count_tokens(encoded: Sequence[Encoded], *, bin_tokens: int) -> int:
    """How many tokens go through the model, with what bins have in common counted in each."""
    skip = len(shared_beginning(encoded))
    return skip + sum(len(_tree(branches, skip)) for branches in bins(encoded, bin_tokens=bin_tokens, skip=skip))


def tree_logprobs(
    model: Any,
    encoded: Sequence[Encoded],
    *,
    bin_tokens: int,
    bin_answers: int | None = None,
    on_scored: Callable[[int], None] = lambda _: None,
    may_halve: bool = True,
    share: Rank = SINGLE_PROCESS,
) -> list[list[float]]:
    """Natural-log probability of each choice given its prefix, in the order of `encoded`.

    Args:
        model: one that `takes_trees`, in evaluation mode.
        encoded: examples as token ids.
        bin_tokens: tokens that go through the model together; fewer once memory has run out.
        bin_answers: rows of logits that are held together; None is any number.
        on_scored: called with the number of examples done after each bin.
        may_halve: whether to retry with less at once when out of memory.
        share: which bins to compute; choices of the others get 0.

    Raises:
        ModelError: memory does not even suffice for one choice.
    """
    beginning = _Beginning(model, shared_beginning(encoded))
    skip = len(beginning.tokens)
    rows = [[0.0] * len(example.continuations) for example in encoded]
    missing, done = [len(row) for row in rows], 0

    def compute(branches: Sequence[Branch]) -> list[float]:
        cache = beginning.cache()
        with tree_attention(model):
            return _bin_logprobs(model, _tree(branches, skip), branches, cache)

    portions = Portions[Branch](
        type(model).__name__,
        bin_tokens,
        cut=lambda branches, tokens: _cut(branches, tokens, bin_answers, skip),
        weigh=lambda branches: len(_tree(branches, skip)),
        on_less=beginning.forget,
        may_halve=may_halve,
    )
    for whole in share.in_turn(bins(encoded, bin_tokens=bin_tokens, bin_answers=bin_answers, skip=skip)):
        for branches, sums in portions.each(whole, compute):
            for branch, value in zip(branches, sums, strict=True):
                rows[branch.example][branch.choice] = value
                missing[branch.example] -= 1
                done += missing[branch.example] == 0
            on_scored(done)
    return rows


class _Beginning:
    """What all branches begin with: read at the first need, and again once it was forgotten."""

    def __init__(self, model: Any, tokens: tuple[int, ...]) -> None:
        self.tokens = tokens
        self._model = model
        self._cache: DynamicCache | None = None

    def cache(self) -> DynamicCache | None:
        """Keys and values of the beginning; None where there is none."""
        if self._cache is None and self.tokens:
            self._cache = _read(self._model, self.tokens)
        return self._cache

    def forget(self) -> None:
        """Drop the cache: a pass that broke off leaves some of its layers longer than others."""
        self._cache = None


def _cut(branches: Sequence[Branch], tokens: int, answers: int | None, skip: int) -> list[Sequence[Branch]]:
    runs = cuts(
        [branch.read for branch in branches],
        capacity_tokens=tokens,
        skip=skip,
        predicted=[len(branch.predicted) for branch in branches],
        capacity_rows=answers,
    )
    return [branches[run] for run in runs]


def _tree(branches: Sequence[Branch], skip: int) -> TokenTree:
    return grow([branch.read for branch in branches], skip=skip)


def _branches(encoded: Sequence[Encoded], chosen: Sequence[int]) -> Iterator[Branch]:
    for number in chosen:
        for choice, tokens in enumerate(encoded[number].continuations):
            yield Branch(encoded[number].prefix + tokens[:-1], tokens, number, choice)


def _read(model: Any, tokens: tuple[int, ...]) -> DynamicCache:
    """Keys and values of the tokens that all branches begin with."""
    cache, inputs = DynamicCache(), torch.tensor([tokens], device=next(model.parameters()).device)
    with logits_only_at(model, torch.zeros_like(inputs, dtype=torch.bool)):
        model(input_ids=inputs, past_key_values=cache, use_cache=True)
    return cache


def _bin_logprobs(model: Any, tree: TokenTree, branches: Sequence[Branch], cache: DynamicCache | None) -> list[float]:
    nodes, places = last_nodes(tree, [len(branch.predicted) for branch in branches])
    logits = logits_at(model, tree, nodes, cache=cache).float()  # [N, V]
    device = logits.device
    rows = torch.tensor(places, device=device)
    targets = torch.tensor([token for branch in branches for token in branch.predicted], device=device)
    owners = [number for number, branch in enumerate(branches) for _ in branch.predicted]
    picked = (logits[rows, targets] - torch.logsumexp(logits, dim=-1)[rows]).double()
    sums = torch.zeros(len(branches), dtype=torch.float64, device=device)
    summed: list[float] = sums.index_add_(0, torch.tensor(owners, device=device), picked).tolist()
    return summed
