"""Blocks of queries cover a tree once, and each query sees its ancestors and itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chaintune.models.token_tree import TokenTree, grow
from chaintune.models.tree_layout import BLOCK, layout

branches = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=70).map(tuple), min_size=1, max_size=12)


@given(branches)
def test_every_node_sees_its_ancestors_and_no_other(written: list[tuple[int, ...]]) -> None:
    tree = grow(sorted(written))
    found = layout(tree)
    seen = torch.cat(
        [
            torch.zeros(len(blocks.places) * BLOCK, len(tree), dtype=torch.int64).scatter_add_(
                1, blocks.keys.repeat_interleave(BLOCK, 0), blocks.visible.flatten(0, 1).long()
            )
            for blocks in found.groups
        ]
    )
    for node in range(len(tree)):
        expected = np.zeros(len(tree), np.int64)
        expected[[*tree.path(int(tree.parents[node])), node]] = 1
        assert seen[found.rows[node]].tolist() == expected.tolist()


@given(branches)
def test_blocks_that_need_few_keys_are_not_filled_up_to_the_longest(written: list[tuple[int, ...]]) -> None:
    found = layout(grow(sorted(written)))
    widths = [blocks.keys.shape[1] for blocks in found.groups]
    assert widths == sorted(widths)
    places = torch.cat([blocks.places for blocks in found.groups]).tolist()
    assert sorted(places) == list(range(len(places)))


def test_no_block_walks_up_to_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = grow([tuple(range(200)), tuple(range(100)) + (1,) * 90])
    usual = layout(tree)
    monkeypatch.setattr(TokenTree, "path", None)
    for ours, before in zip(layout(tree).groups, usual.groups, strict=True):
        assert ours.keys.equal(before.keys)
        assert ours.visible.equal(before.visible)
