"""Which keys each token of a packed tree sees, laid out in blocks that can be multiplied together.

Because nodes come branch by branch, a block of consecutive queries needs the keys of its first node's
ancestors and of the block itself. Blocks lie at different depths, so they are put into a few groups by
how many keys they need: within a group, shorter rows of keys are filled up to the longest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from chaintune.models.token_tree import TokenTree

# Queries of one block. Fewer keys against more and smaller products; benchmarks/scoring.py was fastest with it.
BLOCK = 32
# Groups of blocks. With one, two fifths of the keys of BBQ's trees were filling; with four, one tenth.
_GROUPS = 4


@dataclass(slots=True)
class Blocks:
    """Blocks of queries that need about as many keys each.

    Attributes:
        places: which blocks of the tree they are.
        keys: indices of nodes for each block, filled up with 0.
        visible: which of them each query sees.
        depths: of the queries, how many tokens stand before each; of the keys likewise.

    Shape:
        places `[N]`, keys and key_depths `[N, K]`, visible `[N, Q, K]`, depths `[N, Q]`: blocks x queries x keys.
    """

    places: torch.Tensor
    keys: torch.Tensor
    visible: torch.Tensor
    depths: torch.Tensor
    key_depths: torch.Tensor
    _masks: dict[Any, torch.Tensor] = field(default_factory=dict)

    def mask(self, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """What to add to attention weights: 0 where a query sees a key, very little elsewhere. Shape: `[N, Q, K]`."""
        return self._mask(window, dtype, self.visible, self.key_depths)

    def mask_before(self, before: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """The same for `before` cached tokens in front of the tree. Shape: `[N, Q, P]`."""
        depths = torch.arange(before, device=self.depths.device)[None]
        return self._mask(window, dtype, torch.ones_like(self.depths[..., None], dtype=torch.bool), depths)

    def _mask(
        self, window: int | None, dtype: torch.dtype, visible: torch.Tensor, key_depths: torch.Tensor
    ) -> torch.Tensor:
        key = (visible is self.visible, window, dtype)
        if key not in self._masks:
            apart = self.depths[..., None] - key_depths[:, None]
            seen = visible & (apart < window) if window else visible.expand(apart.shape)
            # The smallest number and not minus infinity: what lies beyond the tree's end sees nothing at all.
            hidden = torch.zeros(apart.shape, dtype=dtype, device=apart.device)
            self._masks[key] = hidden.masked_fill_(~seen, torch.finfo(dtype).min)
        return self._masks[key]


@dataclass(slots=True)
class TreeLayout:
    """One tree as attention computes it.

    Attributes:
        before: cached tokens in front of the tree, which every node sees.
        groups: the blocks, those that need few keys first.
        rows: where each node's query stands when the groups' queries are put one after another. Shape: `[T]`.
    """

    before: int
    groups: tuple[Blocks, ...]
    rows: torch.Tensor


def layout(tree: TokenTree, *, before: int = 0, device: torch.device | str = "cpu") -> TreeLayout:
    """Blocks of queries and what they see, for one tree.

    Args:
        tree: that is sent through a model.
        before: tokens in front of it whose keys and values are cached.
        device: where the model is.
    """
    starts = np.arange(0, len(tree), BLOCK)
    paths = list(_paths_to_blocks(tree))
    needed = np.array([len(path) for path in paths]) + np.minimum(BLOCK, len(tree) - starts)
    order = np.argsort(needed, kind="stable")
    parts = [part for part in np.array_split(order, _GROUPS) if len(part)]
    rows = np.argsort(order)[:, None] * BLOCK + np.arange(BLOCK)
    return TreeLayout(
        before,
        tuple(_blocks(tree, part, [paths[place] for place in part], device) for part in parts),
        torch.from_numpy(rows.ravel()[: len(tree)]).to(device),
    )


def _paths_to_blocks(tree: TokenTree) -> Iterator[list[int]]:
    """The ancestors of the first node of each block, from the root down."""
    path: list[int] = []
    for node, parent in enumerate(tree.parents.tolist()):
        while path and path[-1] != parent:
            path.pop()
        if node % BLOCK == 0:
            yield path.copy()
        path.append(node)


def _blocks(tree: TokenTree, places: np.ndarray[Any, Any], paths: list[list[int]], device: Any) -> Blocks:
    starts = [int(place) * BLOCK for place in places]
    rows = [path + list(range(start, min(start + BLOCK, len(tree)))) for path, start in zip(paths, starts, strict=True)]
    # A multiple of 8, as the fused kernels of GPUs want their masks.
    width = -(-max(map(len, rows)) // 8) * 8
    keys = np.zeros((len(rows), width), np.int64)
    visible = np.zeros((len(rows), BLOCK, width), np.bool_)
    depths = np.zeros((len(rows), BLOCK), np.int64)
    for row, nodes, path, start, seen, depth in zip(keys, rows, paths, starts, visible, depths, strict=True):
        row[: len(nodes)] = nodes
        own = slice(start, start + BLOCK)
        depth[: len(tree.depths[own])] = tree.depths[own]
        _see(seen, tree.parents[own] - start, {node - start: k for k, node in enumerate(path)})
    arrays = (places, keys, visible, depths, tree.depths[keys])
    return Blocks(*(torch.from_numpy(array).to(device) for array in arrays))


def _see(seen: np.ndarray[Any, Any], parents: np.ndarray[Any, Any], before: dict[int, int]) -> None:
    """Fill in what the queries of one block see: what their parents see, and themselves."""
    for query, parent in enumerate(parents):
        if parent >= 0:
            seen[query] = seen[parent]
        elif parent in before:
            seen[query, : before[parent] + 1] = True
        seen[query, len(before) + query] = True
