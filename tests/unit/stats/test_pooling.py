"""Partial pooling of groups: less wrong about the group that was picked, and honest about how much is not known."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from chaintune.records import Estimate
from chaintune.stats import pooled
from chaintune.stats.rates import t_quantile

GROUPS = 11


def estimate(value: float, error: float, n: float) -> Estimate:
    margin = float(t_quantile(0.975, np.asarray(n - 1.0))) * error
    return Estimate(value, value - margin, value + margin, n=int(n), n_clusters=int(n))


def drawn(rng: np.random.Generator, spread: float) -> tuple[np.ndarray, Estimate, list[Estimate]]:
    """True means of groups about 0, and the whole and deviations that are seen of 30 to 120 examples each."""
    n = rng.integers(30, 121, GROUPS)
    true = rng.normal(0, spread, GROUPS)
    true -= n @ true / n.sum()
    seen = true + rng.normal(0, 0.55, GROUPS) / np.sqrt(n)
    whole = float(n @ seen / n.sum())
    errors = 0.55 * np.sqrt(1 / n - 1 / n.sum())
    deviations = [estimate(value - whole, error, k) for value, error, k in zip(seen, errors, n, strict=True)]
    return true, estimate(whole, 0.55 / math.sqrt(n.sum()), n.sum()), deviations


@pytest.mark.parametrize("spread", [0.0, 0.03, 0.06, 0.12])
def test_the_picked_group_is_estimated_better_and_intervals_cover(spread: float) -> None:
    rng = np.random.default_rng(1)
    raw, shrunk, covers = [], [], []
    for _ in range(200):
        true, whole, deviations = drawn(rng, spread)
        best = pooled(whole, deviations)
        values = np.array([whole.value + one.value for one in deviations])
        raw.append(values.max() - true[values.argmax()])
        picked = int(np.argmax([one.value for one in best]))
        shrunk.append(best[picked].value - true[picked])
        covers += [one.low <= truth <= one.high for one, truth in zip(best, true, strict=True)]
    assert abs(np.mean(shrunk)) < 0.03 < 0.05 < np.mean(raw)
    # 2,200 intervals in 200 dependent sets: an error of about 1 point.
    assert np.mean(covers) > 0.925


def test_groups_that_scatter_as_their_noise_says_are_pooled_to_the_whole() -> None:
    alike = pooled(estimate(0.1, 0.01, 900), [estimate(value, 0.1, 90) for value in (-0.05, 0.05, 0.02, -0.02)])
    assert [one.value for one in alike] == pytest.approx([0.1] * 4)


def test_groups_that_lie_far_apart_stay_where_they_are() -> None:
    far = [-0.4, -0.2, 0.0, 0.2, 0.4]
    best = pooled(estimate(0.1, 0.001, 900), [estimate(value, 0.002, 90) for value in far])
    assert [one.value for one in best] == pytest.approx([0.1 + value for value in far], abs=1e-3)


def test_a_group_seen_less_surely_moves_further() -> None:
    values, errors = (0.3, 0.3, -0.3, -0.3, 0.0), (0.05, 0.2, 0.05, 0.2, 0.1)
    best = pooled(estimate(0.0, 0.01, 900), [estimate(*pair, 90) for pair in zip(values, errors, strict=True)])
    assert best[0].value > best[1].value > 0 > best[3].value > best[2].value


@pytest.mark.parametrize("deviations", [
    [estimate(0.1, 0.05, 40)] * 3,
    [estimate(0.1, 0.05, 40)] * 3 + [Estimate.undefined("too few clusters", n=4, n_clusters=2)] * 4,
    [],
])  # fmt: skip
def test_few_groups_have_no_best_estimate_and_say_why(deviations: Sequence[Estimate]) -> None:
    best = pooled(estimate(0.1, 0.02, 200), deviations)
    assert all(math.isnan(one.value) and "fewer than 4 groups" in one.reason for one in best)


def test_a_group_without_an_interval_has_no_best_estimate_and_leaves_the_others_theirs() -> None:
    known = [estimate(value, 0.05, 40) for value in (-0.1, 0.1, 0.2, -0.2)]
    best = pooled(estimate(0.0, 0.02, 200), [*known, Estimate.undefined("too few clusters", n=4, n_clusters=2)])
    assert [math.isnan(one.value) for one in best] == [False] * 4 + [True]
    assert (best[-1].reason, best[-1].n) == ("too few clusters", 4)
    assert best[:4] == pooled(estimate(0.0, 0.02, 200), known)
