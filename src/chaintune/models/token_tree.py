"""Sequences that begin alike as one tree of tokens, in which each distinct beginning stands once.

Nodes are in the order in which one walks the tree from the root, branch by branch. So the nodes below
any node follow it without a gap, and of the nodes before a node only its ancestors can matter to what
follows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Tokens = Sequence[int]


@dataclass(frozen=True, slots=True)
class TokenTree:
    """Sequences of tokens with common beginnings stored once.

    Attributes:
        tokens: of each node.
        parents: index of the node before, which is always smaller; -1 at the beginning of a sequence.
        depths: how many tokens stand before a node.
        ends: for each sequence, the node of its last token.

    Shape:
        tokens, parents and depths `[T]`; ends `[S]`.
    """

    tokens: NDArray[np.int64]
    parents: NDArray[np.int64]
    depths: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tokens)

    def path(self, node: int, *, last: int | None = None) -> list[int]:
        """A node and its ancestors, or the last few of them, from the root down; empty for -1."""
        nodes: list[int] = []
        while node >= 0 and len(nodes) != last:
            nodes.append(node)
            node = int(self.parents[node])
        return nodes[::-1]


def grow(ordered: Sequence[Tokens], *, skip: int = 0) -> TokenTree:
    """The tree of sequences in lexicographic order.

    Args:
        ordered: each longer than `skip`.
        skip: tokens that all begin with and that the tree leaves out; depths still count them.
    """
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    ends: list[int] = []
    path: list[int] = []
    last: Tokens = ()
    for sequence in ordered:
        shared = common_beginning(last, sequence) if path else skip
        del path[max(0, shared - skip) :]
        for depth in range(skip + len(path), len(sequence)):
            parents.append(path[-1] if path else -1)
            path.append(len(tokens))
            tokens.append(sequence[depth])
            depths.append(depth)
        ends.append(path[-1])
        last = sequence
    return TokenTree(*(np.array(column, dtype=np.int64) for column in (tokens, parents, depths, ends)))


def cuts(
    ordered: Sequence[Tokens],
    *,
    capacity_tokens: int,
    skip: int = 0,
    predicted: Sequence[int] = (),
    capacity_rows: int | None = None,
) -> Iterator[slice]:
    """Runs of sequences whose trees hold `capacity_tokens` nodes at most, or one sequence where it alone is longer.

    What sequences of two runs share is computed once in each, so a run ends where its last
    quarter shares least with what follows.

    Args:
        ordered: in lexicographic order.
        capacity_tokens: nodes of a tree.
        skip: tokens that all begin with and that the trees leave out.
        predicted: of each sequence, how many of its last nodes predict something; looked at with `capacity_rows` only.
        capacity_rows: nodes of a tree that predict something, each of which costs a row of logits, at most.
    """
    shared = [0, *map(common_beginning, ordered, ordered[1:])]
    start = 0
    while start < len(ordered):
        fills: list[float] = []  # of the tree up to and with each sequence, as a fraction of what it may hold
        tokens, rows, predicts = -skip, 0, list[bool]()
        for index in range(start, len(ordered)):
            known = shared[index] if fills else 0
            tokens += len(ordered[index]) - known
            if capacity_rows:
                rows += _mark(predicts, known, len(ordered[index]), predicted[index])
            fill = max(tokens / capacity_tokens, rows / capacity_rows if capacity_rows else 0.0)
            if fills and fill > 1:
                break
            fills.append(fill)
        end = start + len(fills)
        if end < len(ordered):
            late = [k for k, fill in enumerate(fills, start + 1) if fill >= 0.75] or [end]
            end = min(late, key=lambda k: (shared[k], -k))
        yield slice(start, end)
        start = end


def _mark(predicts: list[bool], known: int, length: int, count: int) -> int:
    """Mark the last `count` nodes of a path that shares `known` with the one before; how many were not marked."""
    predicts[known:] = [False] * (length - known)
    new = count - sum(predicts[length - count :])
    predicts[length - count :] = [True] * count
    return new


def size(ordered: Sequence[Tokens]) -> int:
    """Number of nodes of the tree of sequences in lexicographic order."""
    return sum(len(after) - common_beginning(before, after) for before, after in pairwise([(), *ordered]))


def last_nodes(tree: TokenTree, counts: Sequence[int]) -> tuple[list[int], list[int]]:
    """The last nodes of every sequence: each once, ascending, and where each sequence's own stand among them."""
    ends = zip(tree.ends, counts, strict=True)
    return once([node for end, count in ends for node in tree.path(int(end), last=count)])


def once(nodes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Each of some nodes once, ascending, and where each of them stands among these.

    Example:
        >>> once([7, 3, 7])
        ([3, 7], [1, 0, 1])
    """
    ascending = sorted(set(nodes))
    place = {node: row for row, node in enumerate(ascending)}
    return ascending, [place[node] for node in nodes]


def common_beginning(left: Sequence[object], right: Sequence[object]) -> int:
    """Number of tokens that two sequences have in common before they differ."""
    for position, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return position
    return min(len(left), len(right))
