"""Exact p-values of sign flips: every pattern listed, other implementations, sums without a common step, ends."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from chaintune.stats import Sample, biased, means
from chaintune.stats.convolution import flip_p, flip_test
from chaintune.stats.halves import halves
from tests import synthetic
from tests.synthetic import Floats

CELLS = 40_000


def every_flip_p(totals: Floats) -> float:
    """Mid-p by listing every pattern of signs, the data's own and its mirror image counted in full."""
    patterns = np.array(list(product([1.0, -1.0], repeat=len(totals))))
    went, observed = np.abs(patterns @ totals), abs(totals.sum())
    more, tied = (went > observed + 1e-9).mean(), (np.abs(went - observed) <= 1e-9).mean()
    return float(more + tied / 2 + 0.5 ** len(totals))


def exact(totals: Floats) -> tuple[float, float]:
    return flip_p(totals, clusters=len(totals), cells=CELLS)


UNEVEN = np.array([3, 1, -1, 2, 2, 0, 4, 1, 5, 1, 0, 2.0])


@pytest.mark.parametrize("unit", [1.0, 0.5, 1 / 3, 1 / 330, 7.0])
def test_multiples_of_a_common_step_agree_with_listing_every_pattern(unit: float) -> None:
    p_value, error = exact(UNEVEN * unit)
    assert p_value == pytest.approx(every_flip_p(UNEVEN), abs=1e-12)
    assert error == 0


def test_agrees_with_the_halves_where_each_is_taken_once() -> None:
    for seed in range(20):
        totals = np.random.default_rng(seed).integers(-1, 4, 12).astype(float)[:, None]
        every = halves(totals, resamples=5000, seed=0)
        assert every.is_every
        p_value, error = flip_test(every, totals)
        assert error[0] == 0
        if totals.sum() != 0:
            assert exact(totals[:, 0])[0] == pytest.approx(p_value[0], abs=1e-12)


def test_without_clusters_it_is_mcnemars_mid_p_test() -> None:
    forgot, learned = 900, 780
    p_value, error = exact(np.array([1.0] * forgot + [-1.0] * learned + [0.0] * 8000))
    total = forgot + learned
    mid_p = 2 * stats.binom.cdf(learned, total, 0.5) - stats.binom.pmf(learned, total, 0.5)
    assert p_value == pytest.approx(mid_p, rel=1e-9)
    assert error == 0


def test_sums_without_a_common_step_are_right_to_within_the_error_that_is_told() -> None:
    for seed in range(10):
        totals = np.random.default_rng(seed).normal(0.6, 1, 14)
        p_value, error = exact(totals)
        assert abs(p_value - every_flip_p(totals)) <= error
        assert error < 0.02 * p_value + 2e-4


def test_a_grid_that_is_too_coarse_says_nothing() -> None:
    totals = np.random.default_rng(0).normal(0.1, 1, 3000)
    assert np.isnan(flip_p(totals, clusters=3000, cells=1000)).all()


@pytest.mark.parametrize("totals", [[], [0.0, 0.0], [1.0, -1.0]])
def test_nothing_changed(totals: list[float]) -> None:
    p_value, _ = flip_p(np.array(totals), clusters=20, cells=CELLS)
    assert np.isnan(p_value) or p_value == pytest.approx(1.0, abs=1e-5)


def test_the_seed_of_the_draws_does_not_decide() -> None:
    rng = np.random.default_rng(1)
    totals = rng.integers(-2, 4, 90).astype(float)[:, None]
    drawn = [flip_test(halves(totals, resamples=2000, seed=seed), totals) for seed in range(4)]
    assert len({float(p_value[0]) for p_value, _ in drawn}) == 1
    assert all(error[0] == 0 for _, error in drawn)


def test_large_p_values_stay_those_of_the_draws_with_their_standard_error() -> None:
    totals = np.tile([1.0, -1.0, 1.0, -1.0, 0.0], 20)[:, None]
    totals[:8] = 1
    p_value, error = flip_test(halves(totals, resamples=999, seed=0), totals)
    assert p_value[0] > 0.1
    assert error[0] == pytest.approx(np.sqrt(p_value[0] * (1 - p_value[0]) / 1000))


def test_methods_say_how_exact_a_p_value_is() -> None:
    rng = np.random.default_rng(0)
    design = synthetic.nested(rng, groups=2, clusters=30)
    values = synthetic.changes(rng, 240, 0.25, 0.1)
    values[120:] = synthetic.changes(rng, 120, 0.15, 0.15)
    whole, first, second = means(Sample.of(design, values, resamples=999))
    assert "(exact p)" in whole.method
    assert "(p ± 0.0" in second.method
    assert first.p_value < second.p_value
    whole, *_ = means(Sample.of(design, np.stack([values, values[::-1]]), resamples=999))
    assert "(p ± " in whole.method


def test_at_no_level_does_an_interval_leave_out_zero_where_the_exact_p_value_does_not() -> None:
    rng = np.random.default_rng(2)
    design = synthetic.nested(rng, groups=3, clusters=20)
    for seed in range(40):
        sample = Sample.of(design, synthetic.changes(rng, 240, 0.27, 0.15), resamples=299, seed=seed)
        whole = means(sample)[0]
        for level in (1 - 1.001 * whole.p_value, 1 - 0.999 * whole.p_value):
            if whole.p_value < 0.1:
                again = means(sample, level=level)[0]
                assert (again.low > 0 or again.high < 0) == (again.p_value <= 1 - level)


def test_contrasts_of_groups_of_one_size_are_exact_too() -> None:
    rng = np.random.default_rng(0)
    design = synthetic.nested(rng, groups=2, clusters=30)
    values = synthetic.changes(rng, 240, 0.1, 0.1)
    values[:120] = synthetic.changes(rng, 120, 0.35, 0.05)
    p_values = {biased(Sample.of(design, values, resamples=2000, seed=seed))[1].p_value for seed in range(3)}
    assert len(p_values) == 1
