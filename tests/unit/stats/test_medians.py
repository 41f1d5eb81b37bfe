"""The median, and how sure it is."""

import math

import numpy as np
import pytest
from scipy import stats

from chaintune.stats import median


def test_the_interval_of_ten_values_is_that_of_the_tables() -> None:
    """Conover's table: of 10 values the 2nd and 9th enclose the median with 97.9 %, the 3rd and 8th with 89.1 %."""
    found = median([10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    assert (found.value, found.low, found.high, found.n) == (5.5, 2, 9, 10)
    assert median(range(1, 11), level=0.89).low == 3


def test_it_covers_as_scipys_does() -> None:
    """Its one-sided bounds at half the error rate each are our two."""
    values = np.random.default_rng(0).exponential(size=64).tolist()
    found = median(values)
    below, above = (stats.quantile_test(values, q=0, p=0.5, alternative=side) for side in ("greater", "less"))
    assert found.low == below.confidence_interval(0.975).low  # type: ignore[attr-defined]
    assert found.high == above.confidence_interval(0.975).high  # type: ignore[attr-defined]


def test_it_covers() -> None:
    rng = np.random.default_rng(1)
    found = [median(rng.exponential(size=20).tolist()) for _ in range(2000)]
    covered = np.mean([one.low <= math.log(2) <= one.high for one in found])
    assert 0.95 <= covered < 0.975


@pytest.mark.parametrize("count", range(6))
def test_few_values_have_no_interval(count: int) -> None:
    found = median(list(range(count)))
    assert math.isnan(found.low)
    assert found.reason
    assert math.isnan(found.value) is (count == 0)
