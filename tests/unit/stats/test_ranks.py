"""Spearman's correlation beside scipy's, its interval's coverage, and where it is undefined."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from chaintune.stats.ranks import rank_correlation


def test_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    left = rng.normal(size=40)
    right = left + rng.normal(size=40).round()
    found, theirs = rank_correlation(left, right, resamples=2000), spearmanr(left, right)
    assert found.value == pytest.approx(theirs.statistic)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.01)
    assert found.n == 40


def test_every_permutation_of_few_pairs_is_tried() -> None:
    """Of 24 orders, 2 are as far from none as the perfect one."""
    found = rank_correlation(np.arange(4.0), np.array([1.0, 2.0, 5.0, 9.0]))
    assert found.value == 1
    assert found.p_value == pytest.approx(2 / 24)
    assert math.isnan(found.low)
    assert found.reason == "no interval: the ranks agree perfectly"


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        ([1.0, 2, 3], [1.0, 2, 3], "3 pairs, at least 4 are needed"),
        ([1.0, 2, 3, 4], [2.0, 2, 2, 2], "the same in all pairs"),
        ([1.0, 2, 3, math.nan], [1.0, 2, 3, 4], "undefined"),
    ],
)
def test_undefined(left: list[float], right: list[float], reason: str) -> None:
    found = rank_correlation(np.array(left), np.array(right))
    assert math.isnan(found.value)
    assert reason in found.reason
    assert found.n == len(left)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=5, max_size=12))
def test_only_ranks_count(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    found = rank_correlation(left, right, resamples=50)
    bent = rank_correlation(np.exp(left / 10), right**3, resamples=50)
    turned = rank_correlation(-left, right, resamples=50)
    if not math.isnan(found.value):
        assert bent.value == pytest.approx(found.value)
        assert turned.value == pytest.approx(-found.value)
        if not math.isnan(found.low):
            assert -1 <= found.low <= found.value <= found.high <= 1


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Normal pairs of correlation 0.5: Spearman's is 6/pi asin(1/4)."""
    rng, truth = np.random.default_rng(1), 6 / math.pi * math.asin(0.25)
    left = rng.normal(size=(400, 20))
    right = 0.5 * left + math.sqrt(0.75) * rng.normal(size=(400, 20))
    found = [rank_correlation(one, other, resamples=2) for one, other in zip(left, right, strict=True)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.92 < covered < 0.98


def test_a_difference_between_strata_makes_no_correlation() -> None:
    """Nothing goes together within either; far apart as they are, without strata all would."""
    rng = np.random.default_rng(2)
    strata = ["a"] * 12 + ["b"] * 12
    left, right = rng.normal(size=(2, 24)) + 10 * (np.array(strata) == "b")
    apart = rank_correlation(left, right, resamples=500)
    found = rank_correlation(left, right, strata=strata, resamples=500)
    assert apart.low > 0
    assert found.low < 0 < found.high
    assert found.p_value > 0.05
    assert found.n == 24


def test_one_stratum_is_none_and_what_goes_together_within_each_is_seen() -> None:
    rng = np.random.default_rng(3)
    left = rng.normal(size=20)
    right = left + 0.5 * rng.normal(size=20)
    plain = rank_correlation(left, right, resamples=500)
    assert rank_correlation(left, right, strata=["a"] * 20, resamples=500) == plain
    strata = ["a", "b"] * 10
    found = rank_correlation(left, right - 5 * (np.array(strata) == "b"), strata=strata, resamples=500)
    assert found.value == pytest.approx(rank_correlation(left, right, strata=strata).value)
    assert found.low > 0
    assert found.p_value == pytest.approx(1 / 501)
    assert "within each stratum" in found.method


def test_the_interval_within_strata_covers_as_often_as_it_says() -> None:
    """Two strata of ten pairs without correlation."""
    rng, strata = np.random.default_rng(4), ["a"] * 10 + ["b"] * 10
    pairs = rng.normal(size=(400, 2, 20)) + 5 * (np.array(strata) == "b")
    found = [rank_correlation(*pair, strata=strata, resamples=99) for pair in pairs]
    assert 0.92 < np.mean([one.low <= 0 <= one.high for one in found]) < 0.98
    assert 0.02 < np.mean([one.p_value <= 0.05 for one in found]) < 0.08


def test_strata_of_equal_values_are_undefined() -> None:
    found = rank_correlation(np.array([1.0, 1, 1, 2, 2, 2]), np.arange(6.0), strata=["a"] * 3 + ["b"] * 3)
    assert found.reason == "one of the two is the same in all pairs"
    few = rank_correlation(np.arange(4.0), np.arange(4.0), strata=["a", "a", "b", "b"])
    assert few.reason == "4 pairs, at least 5 are needed"
