"""AUC of two labels: by hand, against DeLong's formula, groups, differences, seeds, degenerate data."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from chaintune.stats import Design
from chaintune.stats.auc import auc, ranking
from chaintune.stats.clusters import Labels
from tests import synthetic
from tests.synthetic import Floats

N = {"no": 40, "yes": 120}
LABELS = np.repeat(list(N), list(N.values()))


def designed(
    clusters: NDArray[np.int64] | None = None, groups: NDArray[np.int64] | None = None
) -> tuple[Design, Labels]:
    own = np.arange(len(LABELS)) if clusters is None else clusters
    borne = np.arange(len(LABELS)) % 2 if groups is None else groups
    plain = synthetic.design(own.tolist(), [[int(group)] for group in borne], n_groups=2)
    design = plain.balanced_over(LABELS, {}, needed=6)
    assert design.labels is not None
    return design, design.labels


def odds(seed: int, shift: float = 1.0) -> Floats:
    """Log-odds of `yes`, rounded so that some tie."""
    rng = np.random.default_rng(seed)
    return np.asarray((rng.normal(size=len(LABELS)) + shift * (LABELS == "yes")).round(1))


def share(first: Floats, second: Floats) -> float:
    """Share of pairs in which the second is larger, ties a half."""
    return float(((second[:, None] > first[None]) + 0.5 * (second[:, None] == first[None])).mean())


def test_values_by_hand() -> None:
    design, labels = designed()
    values = odds(0)
    no, yes = values[LABELS == "no"], values[LABELS == "yes"]
    found = ranking(design, labels, values)
    assert found.values[0] == pytest.approx(share(no, yes))
    for group in (0, 1):
        inside = np.arange(len(LABELS)) % 2 == group
        own = [values[inside & (name == LABELS)] for name in N]
        assert found.values[group + 1] == pytest.approx((share(no, own[1]) + share(own[0], yes)) / 2)


def test_the_interval_is_delongs_where_every_example_is_a_cluster() -> None:
    design, labels = designed()
    values = odds(1)
    no, yes = values[LABELS == "no"], values[LABELS == "yes"]
    placements = [np.array([share(no, yes[[k]]) for k in range(len(yes))]),
                  np.array([share(no[[k]], yes) for k in range(len(no))])]  # fmt: skip
    variance = sum(one.var(ddof=1) / len(one) for one in placements)
    (estimate, *_) = auc(design, [ranking(design, labels, values)], level=0.95, seed=0, is_level=True)
    half = (estimate.high - estimate.low) / 2
    assert half == pytest.approx(1.96 * math.sqrt(variance), rel=0.03)
    assert math.isnan(estimate.p_value)


def test_intervals_of_levels_differences_and_groups_cover() -> None:
    rng = np.random.default_rng(2)
    clusters = np.concatenate([np.arange(40) // 2, 20 + np.arange(120) // 2])
    truth, count, covered = 0.7602, 200, np.zeros(4)  # of normal log-odds one standard deviation apart
    for seed in range(count):
        groups = rng.integers(0, 2, len(LABELS))
        design, labels = designed(clusters, groups)
        noise = np.repeat(rng.normal(size=80), 2)
        first, second = (
            noise / math.sqrt(2) + rng.normal(size=160) / math.sqrt(2) + (LABELS == "yes") for _ in range(2)
        )
        ranked = [ranking(design, labels, np.asarray(one)) for one in (first, second)]
        level = auc(design, ranked[:1], level=0.95, seed=seed, is_level=True)
        change = auc(design, [ranked[0] - ranked[1]], level=0.95, seed=seed, is_level=False)
        covered += [level[0].low <= truth <= level[0].high, level[1].low <= truth <= level[1].high,
                    change[0].low <= 0 <= change[0].high, not change[0].p_value <= 0.05]  # fmt: skip
    assert (covered / count >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / count)).all()


def test_a_threshold_that_moves_changes_no_auc() -> None:
    design, labels = designed()
    one, other = (ranking(design, labels, odds(3) + moved) for moved in (0, 5))
    for estimate in auc(design, [one - other], level=0.95, seed=0, is_level=False):
        assert estimate.value == 0
        assert math.isnan(estimate.low)
        assert estimate.reason == "all pairs are ordered alike, so nothing scatters"


def test_several_seeds_widen_the_interval_by_how_they_differ() -> None:
    design, labels = designed()
    one, other = (ranking(design, labels, odds(4, shift)) for shift in (0.2, 1.8))
    single = auc(design, [one], level=0.95, seed=0, is_level=True)[0]
    both = auc(design, [one, other], level=0.95, seed=0, is_level=True)[0]
    assert both.n_seeds == 2
    assert both.value == pytest.approx((one.values[0] + other.values[0]) / 2)
    assert both.high - both.low > single.high - single.low
    same = ranking(design, labels, odds(5, 0.2))
    lost = auc(design, [one - same, one - other], level=0.95, seed=0, is_level=False)[0]
    assert lost.low < 0 < lost.high
    assert lost.p_value > 0.05, "the test and the interval say the same of 0"


def test_the_p_value_of_several_seeds_is_that_of_their_intervals_at_every_level() -> None:
    """Four seeds have tails of three degrees of freedom, which the clusters' t at one level does not know."""
    design, labels = designed(groups=np.zeros(len(LABELS), dtype=np.int64))
    best = odds(6, 6.0)
    ranked = [ranking(design, labels, best) - ranking(design, labels, odds(7, shift)) for shift in (0.4, 0.6, 0.8, 1.0)]
    by_level = {
        level: auc(design, ranked, level=level, seed=0, is_level=False)[0] for level in (0.9, 0.95, 0.98, 0.995)
    }
    p_value = by_level[0.95].p_value
    assert [one.low > 0 for one in by_level.values()] == [p_value <= 1 - level for level in by_level]
    assert p_value > stats.ttest_1samp([one.values[0] for one in ranked], 0).pvalue


def test_limits_stay_possible_and_few_clusters_leave_it_undefined() -> None:
    design, labels = designed()
    best = odds(5, 3.5)
    estimate = auc(design, [ranking(design, labels, best)], level=0.95, seed=0, is_level=True)[0]
    assert estimate.low < estimate.value < estimate.high == 1
    clusters = np.concatenate([np.zeros(40, dtype=np.int64), 1 + np.arange(120)])
    design, labels = designed(clusters)
    estimate = auc(design, [ranking(design, labels, best)], level=0.95, seed=0, is_level=True)[0]
    assert math.isnan(estimate.value)
    assert "fewer than two labels have the 6 clusters" in estimate.reason
