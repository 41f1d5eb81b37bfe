"""Bisection in several halvings a look ends where one halving after the other does."""

import numpy as np
import pytest

from chaintune.stats.bisection import bisected
from tests.synthetic import Floats


@pytest.mark.parametrize("halvings", [1, 3, 4, 18])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (100,)])
def test_it_ends_where_one_halving_after_the_other_ends(shape: tuple[int, ...], halvings: int) -> None:
    begins = np.random.default_rng(halvings).uniform(-7, 13, shape)
    low, high = np.full(shape, -6.0), np.full(shape, 12.0)

    def reached(places: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return np.asarray(places >= begins)

    found = bisected(reached, low, high, halvings)
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = np.where(reached(middle), low, middle), np.where(reached(middle), middle, high)
    assert np.array_equal(found, (low, high))


def test_what_never_holds_ends_at_the_upper_end() -> None:
    low, high = bisected(lambda places: places > 1, np.zeros(2), np.ones(2), 6)
    assert (low.tolist(), high.tolist()) == ([1 - 2**-6] * 2, [1.0, 1.0])
