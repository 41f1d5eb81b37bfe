"""Sizes by power are the smallest that show the loss, whatever the order of rows; errors say what can be taken."""

import re
from itertools import pairwise

import pytest

from chaintune.errors import DataError
from chaintune.records import Example, Reference
from chaintune.tasks.power import FLIPS, layout_of
from chaintune.tasks.sizes import SizeSpec, orders_of, parse_size, take


def example(k: int, faith: str) -> Example:
    return Example(f"{faith}{k}", f"prompt {k}", Reference("yes"), {"faith": (faith,)}, f"{faith}{k // 2}")


EXAMPLES = [example(k, faith) for faith, count in (("a", 500), ("b", 400), ("c", 700)) for k in range(count)]


def sample(size: str, examples: list[Example] = EXAMPLES) -> list[Example]:
    return take(examples, parse_size(size, "t"), task="t", seed=0, what="task 't', test")


def power(size: str, points: float) -> float:
    parsed = parse_size(size, "t")
    assert parsed is not None
    groups_of = parsed.groups if parsed.dimension else None
    return float(layout_of(sample(size), groups_of, balanced=False).power(FLIPS, points / 100).min())


@pytest.mark.parametrize(("points", "per"), [(5, ""), (10, ""), (15, " per faith"), (10, " per faith")])
def test_the_size_is_the_smallest_that_shows_the_loss(points: int, per: str) -> None:
    taken = sample(f"power {points}{per}")
    each = len(taken) // 3 if per else len(taken)
    assert power(f"{each}{per}", points) >= 0.8 > power(f"{each - 1}{per}", points)
    assert {one.id for one in taken} == {one.id for one in sample(f"{each}{per}")}


def test_row_order_says_nothing() -> None:
    assert {one.id for one in sample("power 10", EXAMPLES[::-1])} == {one.id for one in sample("power 10")}


@pytest.mark.parametrize("per", ["", " per faith"])
def test_a_smaller_loss_takes_more_and_the_same_ones_too(per: str) -> None:
    several = [{one.id for one in sample(f"power {points}{per}")} for points in (30, 20, 14, 11)]
    assert all(fewer < more for fewer, more in pairwise(several))


@pytest.mark.parametrize("size", ["power 2", "power 2.5 per faith"])
def test_where_the_data_has_fewer_both_sizes_that_are_named_can_be_taken(size: str) -> None:
    with pytest.raises(DataError, match="takes about") as refused:
        sample(size)
    named = re.findall(r"'((?:power )?[\d.]+(?: per faith)?)'", str(refused.value).split("cases;")[1])
    assert len(named) == 2
    assert [len(sample(name)) > 0 for name in named] == [True, True]
    assert len(sample(named[1])) == (400 * 3 if "per" in size else len(EXAMPLES))


def test_a_group_without_examples_here_is_named() -> None:
    with pytest.raises(DataError, match="'d' has 0"):
        take(EXAMPLES, SizeSpec(0, "faith", 10.0), task="t", seed=0, what="t", groups=["a", "d"])


def test_a_sample_by_power_is_the_beginning_of_the_order_of_samples() -> None:
    size = parse_size("power 20 per faith", "t")
    assert size is not None
    orders, taken = orders_of(EXAMPLES, size, task="t", seed=0), {one.id for one in sample("power 20 per faith")}
    each = len(taken) // 3
    assert all({one.id for one in order[:each]} <= taken for order in orders.values())


@pytest.mark.parametrize("size", ["power", "power 0", "power 100", "power -3", "power ten", "10 power"])
def test_points_are_more_than_none_and_less_than_all(size: str) -> None:
    with pytest.raises(DataError, match="size"):
        parse_size(size, "t")
