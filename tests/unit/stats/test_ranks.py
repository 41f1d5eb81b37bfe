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
