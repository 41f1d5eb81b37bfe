"""Ratios of means, and sums of means over tasks."""

import math

import numpy as np
import pytest

from chaintune.records import Estimate
from chaintune.stats import Sample, combination, means, ratio_limits, ratios
from tests import synthetic

FAST = 500


def test_ratio_by_hand() -> None:
    found = synthetic.design(range(40))
    part, whole = np.tile([1.0, 0.0], 20), np.tile([1.0, 1.0, 0.0, 1.0], 10)
    estimate = ratios(found, part, whole, resamples=FAST)[0]
    assert estimate.value == pytest.approx(20 / 30)
    assert estimate.low < 20 / 30 < estimate.high


def test_ratio_to_the_number_of_examples_is_the_mean() -> None:
    rng = np.random.default_rng(0)
    found, values = synthetic.nested(rng), synthetic.changes(rng, 192)
    one = ratios(found, values, np.ones(192), resamples=FAST)[0]
    other = means(Sample.of(found, values, resamples=FAST))[0]
    assert (one.value, one.low, one.high, one.p_value) == pytest.approx(
        (other.value, other.low, other.high, other.p_value)
    )


def test_nothing_to_divide_by() -> None:
    estimate = ratios(synthetic.design(range(10)), np.ones(10), np.zeros(10), resamples=FAST)[0]
    assert math.isnan(estimate.value)
    assert estimate.reason == "nothing to divide by"


def test_one_cluster_and_one_example() -> None:
    for clusters in ([0], [0] * 10):
        estimate = ratios(synthetic.design(clusters), np.ones(len(clusters)), np.ones(len(clusters)), resamples=FAST)[0]
        assert estimate.value == 1.0
        assert math.isnan(estimate.low)
        assert "too few clusters" in estimate.reason


def test_one_event_is_too_few_for_an_interval() -> None:
    part = np.zeros(30)
    part[0] = 1.0
    estimate = ratios(synthetic.design(range(30)), part, np.ones(30), resamples=FAST)[0]
    assert estimate.value == pytest.approx(1 / 30)
    assert "one-sided" in estimate.reason


def test_limits_of_a_ratio_from_limits_of_its_parts() -> None:
    top, bottom = Estimate(0.3, 0.2, 0.45), Estimate(0.5, 0.4, 0.55)
    low, high = ratio_limits(top, bottom)
    assert 0.2 / 0.55 < low < 0.3 / 0.5 < high < 0.45 / 0.4
    assert ratio_limits(top, Estimate(0.5, 0.5, 0.5)) == pytest.approx((0.4, 0.9))
    turned = ratio_limits(Estimate(-0.3, -0.45, -0.2), bottom)
    assert turned == pytest.approx((-high, -low))


def test_no_limit_where_the_denominator_may_be_twice_as_large() -> None:
    assert ratio_limits(Estimate(0.3, 0.2, 0.4), Estimate(0.5, 0.1, 1.1))[0] == -math.inf


def test_ratio_covers_at_its_level() -> None:
    rng = np.random.default_rng(9)
    found = synthetic.nested(rng, groups=1, clusters=30)
    covered = []
    for number in range(200):
        whole = (rng.random(120) < 0.6).astype(float)
        part = whole * (rng.random(120) < 0.5)
        estimate = ratios(found, part, whole, resamples=FAST, seed=number)[0]
        covered.append(estimate.low <= 0.5 <= estimate.high)
    assert 0.9 < np.mean(covered) < 0.99


def test_p_value_of_a_ratio_agrees_with_its_interval() -> None:
    rng = np.random.default_rng(3)
    found = synthetic.nested(rng, groups=1, clusters=12, size=4)
    for number in range(150):
        whole = synthetic.changes(rng, 48, 0.5, 0.2)
        estimate = ratios(found, whole * (rng.random(48) < 0.6), whole, resamples=4000, seed=number)[0]
        if not math.isnan(estimate.low):
            assert (estimate.p_value <= 0.05) == (not estimate.low <= 0 <= estimate.high)


def test_a_denominator_that_halves_may_turn_is_the_reason_and_not_the_clusters() -> None:
    whole = np.tile([1.0, -1.0, 1.0, -1.0, 0.0], 6)
    whole[0] = 0.0
    estimate = ratios(synthetic.design(range(30)), np.abs(whole), whole + 0.05, resamples=FAST)[0]
    assert estimate.reason.startswith("what it is divided by is 0 or less in too many halves of the 30 clusters")


def test_sum_of_tasks_by_hand_and_beside_the_normal_approximation() -> None:
    rng = np.random.default_rng(1)
    one, other = synthetic.design(range(300)), synthetic.design(range(200))
    first, second = synthetic.changes(rng, 300), synthetic.changes(rng, 200, 0.3, 0.2)
    drawn = [Sample.of(found, values, resamples=4000) for found, values in ((one, first), (other, second))]
    estimate = combination(drawn, (1.0, -1.0))
    error = math.hypot(first.std(ddof=1) / math.sqrt(300), second.std(ddof=1) / math.sqrt(200))
    assert estimate.value == pytest.approx(first.mean() - second.mean())
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * error, rel=0.08)
    assert (estimate.n, estimate.n_clusters) == (500, 500)


def test_sum_of_tasks_needs_clusters_in_each() -> None:
    drawn = [Sample.of(synthetic.design(range(n)), np.ones(n), resamples=FAST) for n in (3, 50)]
    estimate = combination(drawn, (0.5, 0.5))
    assert estimate.value == 1.0
    assert "3 in one task" in estimate.reason


def test_sum_of_tasks_covers_where_changes_are_rare_and_its_p_value_agrees() -> None:
    rng = np.random.default_rng(2)
    designs = [synthetic.nested(rng, groups=1, clusters=clusters, size=3) for clusters in (20, 100)]
    covered = []
    for number in range(80):
        drawn = [
            Sample.of(found, synthetic.changes(rng, len(found.clusters), 0.05, 0.0), resamples=FAST, seed=number)
            for found in designs
        ]
        alike, shown = (combination(drawn, weights, seed=number) for weights in ((1.0, -1.0), (0.5, 0.5)))
        covered.append(alike.low <= 0 <= alike.high)
        for estimate in (alike, shown):
            assert estimate.p_value > 0.05 or not estimate.low <= 0 <= estimate.high
            assert estimate.low <= estimate.value <= estimate.high
    assert np.mean(covered) >= 0.93


def test_same_seed_same_bits() -> None:
    rng = np.random.default_rng(1)
    found, values = synthetic.nested(rng), synthetic.changes(rng, 192)
    drawn = [Sample.of(found, values, resamples=FAST)] * 2
    assert combination(drawn, (0.5, 0.5), seed=4) == combination(drawn, (0.5, 0.5), seed=4)
