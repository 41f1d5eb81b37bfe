"""Halves of the clusters: theory, other implementations, coverage, degenerate data."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from chaintune.stats import Sample, means
from chaintune.stats.halves import halves, interval, ratio_draws, sign_flip_p
from tests import synthetic


def every_flip_p(totals: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Mid-p by listing every pattern of signs, the data's own and its mirror image counted in full."""
    drawn = [abs(float(np.dot(signs, totals))) for signs in product([1, -1], repeat=len(totals))]
    observed = abs(float(totals.sum()))
    more, tied = sum(d > observed + 1e-9 for d in drawn), sum(abs(d - observed) <= 1e-9 for d in drawn)
    return 1.0 if observed == 0 else (more + 2 + (tied - 2) / 2) / len(drawn)


def p_of(totals: list[float], *, resamples: int = 10_000) -> float:
    columns = np.array(totals)[:, None]
    return float(sign_flip_p(halves(columns, resamples=resamples, seed=0), np.abs(columns).sum(axis=0))[0])


@pytest.mark.parametrize("totals", [[1, 1, 1, 1, 1, 1], [3, -1, 2, 2, 0, 1, 5], [2, 2, -4, 1], [1, 0, 0, 0, 0]])
def test_few_clusters_are_flipped_in_every_way(totals: list[float]) -> None:
    assert p_of(totals) == pytest.approx(every_flip_p(np.array(totals, dtype=float)), abs=1e-12)


def test_many_clusters_agree_with_listing_every_way_up_to_chance() -> None:
    totals = np.random.default_rng(3).integers(-3, 5, 16).astype(float)
    assert p_of(totals.tolist(), resamples=20_000) == pytest.approx(every_flip_p(totals), abs=0.01)


def test_agrees_with_scipys_paired_permutation_test_where_nothing_ties() -> None:
    totals = np.random.default_rng(5).normal(0.4, 1, 12)
    theirs = stats.permutation_test(
        (totals, np.zeros(12)), lambda a, b, axis: (a - b).mean(axis=axis), permutation_type="samples", vectorized=True
    )
    assert p_of(totals.tolist()) == pytest.approx(float(theirs.pvalue), abs=1e-12)


def test_without_clusters_it_is_mcnemars_mid_p_test() -> None:
    forgot, learned = 9, 3
    exact = 2 * stats.binom.cdf(learned, forgot + learned, 0.5)
    mid_p = exact - stats.binom.pmf(learned, forgot + learned, 0.5)
    found = p_of([1.0] * forgot + [-1.0] * learned + [0.0] * 30, resamples=100_000)
    assert found == pytest.approx(mid_p, abs=0.004)


def _mean(values: synthetic.Floats, axis: int = -1) -> synthetic.Floats:
    return np.asarray(values.mean(axis=axis))


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_interval_without_clusters_agrees_with_scipys_bootstrap(method: str) -> None:
    rng = np.random.default_rng(2)
    values = synthetic.changes(rng, 900)
    estimate = means(Sample.of(synthetic.design(range(900)), values, resamples=20_000, seed=1))[0]
    theirs = stats.bootstrap((values,), _mean, n_resamples=9_999, method=method, rng=rng).confidence_interval  # type: ignore[call-overload]
    width = theirs.high - theirs.low
    assert estimate.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert estimate.high == pytest.approx(theirs.high, abs=0.06 * width)


def test_interval_of_clusters_agrees_with_scipys_bootstrap_of_cluster_sums() -> None:
    rng = np.random.default_rng(4)
    found = synthetic.design(np.sort(rng.integers(0, 120, 800)).tolist())
    values = synthetic.changes(rng, 800)
    sums, sizes = found.sums(values)[:, 0], found.sizes[:, 0]
    estimate = means(Sample.of(found, values, resamples=20_000, seed=1))[0]
    theirs = stats.bootstrap(
        (sums, sizes), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, n_resamples=9_999,
        method="percentile", rng=rng,
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert estimate.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert estimate.high == pytest.approx(theirs.high, abs=0.06 * width)


@pytest.mark.parametrize("n", [7, 10, 40])
def test_interval_excludes_zero_exactly_when_the_test_rejects(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(60):
        columns = np.stack([rng.integers(-2, 4, n), rng.integers(1, 5, n)], axis=1).astype(float)
        drawn = halves(columns, resamples=500, seed=0)
        top, bottom = (drawn.columns(slice(k, k + 1)) for k in (0, 1))
        low, high = interval(*ratio_draws(top, bottom), 0.95)
        p_value = sign_flip_p(top, np.abs(columns[:, :1]).sum(axis=0))
        assert (low[0] > 0 or high[0] < 0) == (p_value[0] <= 0.05)


def test_equal_clusters_drawn_together_have_the_distribution_of_clusters_drawn_alone() -> None:
    many = np.repeat([[1.0], [-1.0], [0.0]], [300, 200, 8500], axis=0)
    together = halves(many, resamples=2000, seed=0).sums[1:, 0]
    alone = halves(many + np.linspace(0, 1e-9, 9000)[:, None], resamples=2000, seed=0).sums[1:, 0]
    assert stats.ks_2samp(together, alone.round()).pvalue > 0.01


def test_same_seed_same_bits_and_other_seed_other_bits() -> None:
    columns = np.random.default_rng(0).normal(size=(50, 3))
    first, again, other = (halves(columns, resamples=200, seed=seed).sums for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_more_clusters_than_one_gives_no_interval() -> None:
    drawn = halves(np.array([[3.0, 4.0]]), resamples=100, seed=0)
    parts = (drawn.columns(slice(k, k + 1)) for k in (0, 1))
    low, high = interval(*ratio_draws(*parts), 0.95)
    assert (low[0], high[0]) == (-np.inf, np.inf)


def test_five_clusters_can_never_reject_and_six_can() -> None:
    assert p_of([1.0] * 5) > 0.05
    assert p_of([1.0] * 6) < 0.05


def test_covers_at_its_level() -> None:
    rng = np.random.default_rng(11)
    found = synthetic.nested(rng, groups=1, clusters=30)
    truth, covered = 0.1, []
    for number in range(400):
        estimate = means(Sample.of(found, synthetic.changes(rng, 120), resamples=300, seed=number))[0]
        covered.append(estimate.low <= truth <= estimate.high)
    assert 0.92 < np.mean(covered) < 0.98


def test_many_columns_of_which_a_cluster_has_few_give_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    columns = rng.integers(-1, 2, (40, 30)) * (rng.random((40, 30)) < 0.1)
    expected = halves(columns.astype(float), resamples=200, seed=3)
    monkeypatch.setattr("chaintune.stats.halves._MANY_COLUMNS", 30)
    many = halves(columns.astype(float), resamples=200, seed=3)
    assert (many.sums == expected.sums).all()
    assert (many.totals == expected.totals).all()
