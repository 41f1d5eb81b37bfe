"""One word on a forgetting."""

import math

import pytest

from chaintune.forgetting.verdicts import verdict
from chaintune.records import Estimate


@pytest.mark.parametrize(
    ("value", "low", "high", "p_value", "p_adjusted", "word"),
    [
        (0.01, -0.01, 0.02, 0.001, math.nan, "kept"),
        (0.01, 0.005, 0.015, 0.001, math.nan, "kept"),
        (-0.01, -0.015, -0.005, 0.001, math.nan, "kept"),
        (-0.05, -0.09, -0.01, 0.01, 0.2, "kept"),
        (-0.05, -0.11, 0.01, 0.2, math.nan, "kept"),
        (-0.01, -0.05, 0.03, 0.6, math.nan, "inconclusive"),
        (0.05, 0.01, 0.09, 0.01, math.nan, "forgot"),
        (-0.05, -0.09, -0.01, 0.01, 0.04, "gained"),
        (0.05, 0.01, 0.09, 0.01, 0.2, "inconclusive"),
        (0.05, -0.003, 0.1, 0.01, math.nan, "inconclusive"),
        (-0.05, -0.1, 0.003, 0.01, 0.04, "kept"),
        (0.05, math.nan, math.nan, math.nan, math.nan, "inconclusive"),
    ],
)
def test_a_change_needs_a_small_p_value_and_an_interval_off_0_and_kept_a_low_upper_end(
    value: float, low: float, high: float, p_value: float, p_adjusted: float, word: str
) -> None:
    assert verdict(Estimate(value, low, high, p_value, p_adjusted), margin=0.02, level=0.95) == word
