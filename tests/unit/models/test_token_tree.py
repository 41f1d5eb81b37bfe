"""A tree of tokens holds every sequence once, in walking order, whatever is cut."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune.models.token_tree import Tokens, TokenTree, common_beginning, cuts, grow, last_nodes

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple), min_size=1, max_size=20).map(
    sorted
)


def prefixes(sequences: list[tuple[int, ...]]) -> set[tuple[int, ...]]:
    return {sequence[:length] for sequence in sequences for length in range(1, len(sequence) + 1)}


def read(tree: TokenTree, node: int) -> tuple[int, ...]:
    return tuple(int(tree.tokens[step]) for step in tree.path(node))


@given(SEQUENCES)
def test_each_distinct_beginning_is_one_node(sequences: list[tuple[int, ...]]) -> None:
    tree = grow(sequences)
    assert [read(tree, node) for node in tree.ends] == sequences
    assert len(tree) == len(prefixes(sequences))
    assert {read(tree, node) for node in range(len(tree))} == prefixes(sequences)


@given(SEQUENCES)
def test_what_lies_below_a_node_follows_it_without_a_gap(sequences: list[tuple[int, ...]]) -> None:
    """What tree attention rests on: of the nodes before a block, only ancestors of its first one matter."""
    tree = grow(sequences)
    for node in range(len(tree)):
        below = [other for other in range(len(tree)) if node in tree.path(other)]
        assert below == list(range(node, node + len(below)))
        assert tree.depths[node] == len(tree.path(node)) - 1


@given(SEQUENCES, st.integers(1, 8))
def test_the_last_nodes_are_found_from_below(sequences: list[tuple[int, ...]], count: int) -> None:
    tree = grow(sequences)
    counts = [min(count, len(sequence)) for sequence in sequences]
    nodes, places = last_nodes(tree, counts)
    wanted = [node for end, few in zip(tree.ends, counts, strict=True) for node in tree.path(int(end))[-few:]]
    assert [nodes[place] for place in places] == wanted
    assert nodes == sorted(set(wanted))


def test_finding_the_last_nodes_does_not_walk_up_to_the_root() -> None:
    tree, looked = grow([tuple(range(500))]), list[int]()

    class Parents(np.ndarray):
        def __getitem__(self, node: Any) -> Any:
            looked.append(node)
            return super().__getitem__(node)

    watched = replace(tree, parents=tree.parents.view(Parents))
    assert last_nodes(watched, [3]) == ([497, 498, 499], [0, 1, 2])
    assert len(looked) <= 3


@given(SEQUENCES, st.integers(1, 12))
def test_runs_hold_everything_once_and_no_more_than_they_may(sequences: list[tuple[int, ...]], capacity: int) -> None:
    runs = list(cuts(sequences, capacity_tokens=capacity))
    assert [sequence for run in runs for sequence in sequences[run]] == sequences
    for run in runs:
        assert len(set(sequences[run])) == 1 or len(grow(sequences[run])) <= capacity


@given(SEQUENCES, st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))
def test_runs_predict_at_no_more_nodes_than_they_may(
    sequences: list[tuple[int, ...]], capacity: int, rows: int, most: int
) -> None:
    predicted = [min(1 + number % most, len(sequence)) for number, sequence in enumerate(sequences)]
    runs = list(cuts(sequences, capacity_tokens=capacity, predicted=predicted, capacity_rows=rows))
    assert [sequence for run in runs for sequence in sequences[run]] == sequences
    for run in runs:
        tree = grow(sequences[run])
        counted = len(last_nodes(tree, predicted[run])[0])
        assert run.stop - run.start == 1 or (len(tree) <= capacity and counted <= rows)
    if rows >= capacity:
        assert runs == list(cuts(sequences, capacity_tokens=capacity))


def test_a_run_ends_where_least_is_shared() -> None:
    family = [(1, 1, n) for n in range(6)], [(2, 2, n) for n in range(6)]
    runs = list(cuts([*family[0], *family[1]], capacity_tokens=10))
    assert runs == [slice(0, 6), slice(6, 12)]  # ten tokens would have held one more, and its parents with it


@given(SEQUENCES)
def test_what_all_share_can_be_left_out(sequences: list[tuple[int, ...]]) -> None:
    begun = [(7, 8, *sequence) for sequence in sequences]
    whole, rest = grow(begun), grow(begun, skip=2)
    assert len(rest) == len(whole) - 2
    assert rest.tokens.tolist() == whole.tokens.tolist()[2:]
    assert rest.depths.tolist() == whole.depths.tolist()[2:]
    assert [read(rest, node) for node in rest.ends] == sequences
    assert list(cuts(begun, capacity_tokens=9, skip=2)) == list(cuts(sequences, capacity_tokens=9))


@pytest.mark.parametrize(("left", "right", "shared"), [((), (1,), 0), ((1, 2), (1, 3), 1), ((1, 2), (1, 2, 3), 2)])
def test_common_beginning(left: Tokens, right: Tokens, shared: int) -> None:
    assert common_beginning(left, right) == common_beginning(right, left) == shared
