"""Several tests at once, beside statsmodels."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from chaintune.stats import adjust

METHODS: dict[Literal["holm", "bh"], str] = {"holm": "holm", "bh": "fdr_bh"}


# Few cases on purpose: statsmodels collects garbage on every call of Holm.
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 11, 80])
def test_agrees_with_statsmodels(method: Literal["holm", "bh"], n: int) -> None:
    p_values = np.random.default_rng(n).beta(0.3, 1, n).round(3)
    theirs = multipletests(p_values, method=METHODS[method])[1]
    assert adjust(p_values, method) == pytest.approx(theirs, abs=1e-12)


def test_holm_by_hand() -> None:
    assert adjust(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])


def test_what_was_not_tested_counts_for_nothing() -> None:
    found = adjust(np.array([0.02, np.nan, 0.04]))
    assert found[[0, 2]] == pytest.approx([0.04, 0.04])
    assert np.isnan(found[1])


def test_nothing_in_nothing_out() -> None:
    assert adjust(np.array([])).size == 0
    assert np.isnan(adjust(np.array([np.nan]))).all()


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 99))
def test_the_order_of_the_tests_does_not_matter(p_values: list[float], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(p_values))
    shuffled = adjust(np.array(p_values)[order])
    assert shuffled == pytest.approx(adjust(np.array(p_values))[order])
