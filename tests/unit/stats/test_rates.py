"""Exact McNemar, beside statsmodels."""

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar

from chaintune.stats import mcnemar_p


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_agrees_with_statsmodels(forgot: int, learned: int) -> None:
    theirs = mcnemar([[5, forgot], [learned, 7]], exact=True).pvalue if forgot + learned else 1.0
    assert mcnemar_p(forgot, learned) == pytest.approx(min(float(theirs), 1.0), abs=1e-12)


def test_by_hand() -> None:
    assert mcnemar_p(5, 0) == pytest.approx(2 / 32)


def test_no_flip_no_evidence() -> None:
    assert mcnemar_p(0, 0) == 1.0


def test_false_alarms_are_below_the_nominal_rate() -> None:
    flips = 30
    chance = sum(comb(flips, k) / 2**flips for k in range(flips + 1) if mcnemar_p(k, flips - k) <= 0.05)
    assert chance <= 0.05
