"""Means, biased means and disparity: bad input, theory, invariants, error rates, degenerate data."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import special

from chaintune.errors import DataError
from chaintune.stats import (
    Design,
    Sample,
    adjust,
    adjusted,
    biased,
    detectable_biased,
    detectable_means,
    disparity,
    means,
    needed_clusters,
    rates,
)
from tests import synthetic
from tests.synthetic import Floats

FAST = 200


def sample(found: Design, values: Floats, seed: int = 0) -> Sample:
    return Sample.of(found, values, resamples=FAST, seed=seed)


def test_refuses_values_that_are_not_one_for_each_example() -> None:
    with pytest.raises(DataError, match="3 examples, but 4"):
        sample(synthetic.design(range(4)), np.zeros(3))


def test_refuses_values_that_are_no_numbers() -> None:
    with pytest.raises(DataError, match="NaN"):
        sample(synthetic.design(range(2)), np.array([0.0, math.nan]))


def test_values_by_hand() -> None:
    found = synthetic.design([0, 0, 1, 2, 3, 4, 5, 6], [[0], [0], [0, 1], [1], [1], [1], [], []], n_groups=2)
    values = np.array([1, 0, 1, 0, -1, 0, 0, 1.0])
    whole, first, second = means(sample(found, values))
    assert (whole.value, first.value, second.value) == pytest.approx((2 / 8, 2 / 3, 0.0))
    assert (whole.n, first.n, second.n) == (8, 3, 4)
    assert (whole.n_clusters, first.n_clusters, second.n_clusters) == (7, 2, 4)
    overall = biased(sample(found, values))
    rest = biased(sample(found, values), reference="rest")
    assert [e.value for e in overall[1:]] == pytest.approx([2 / 3 - 1 / 4, -1 / 4])
    assert [e.value for e in rest[1:]] == pytest.approx([2 / 3 - 0 / 5, 0 - 2 / 4])


def test_both_references_share_one_test_and_differ_by_the_share_of_the_rest() -> None:
    rng = np.random.default_rng(0)
    found = synthetic.nested(rng)
    values = synthetic.changes(rng, 192)
    for one, other in zip(biased(sample(found, values)), biased(sample(found, values), reference="rest"), strict=True):
        if not math.isnan(one.value):
            assert one.p_value == other.p_value
            assert [one.low, one.high] == pytest.approx([0.75 * other.low, 0.75 * other.high])


@settings(max_examples=40, deadline=None)
@given(synthetic.populations())
def test_swapping_before_and_after_turns_every_sign(population: tuple[Design, Floats]) -> None:
    found, values = population
    for estimate in (means, biased):
        for one, other in zip(estimate(sample(found, values)), estimate(sample(found, -values)), strict=True):
            assert _same(other.value, -one.value)
            assert _same(other.low, -one.high)
            assert _same(other.high, -one.low)
            assert _same(other.p_value, one.p_value)


@settings(max_examples=40, deadline=None)
@given(synthetic.populations())
def test_renaming_groups_changes_nothing_but_their_place(population: tuple[Design, Floats]) -> None:
    found, values = population
    order = np.arange(found.sizes.shape[1] - 1)[::-1]
    renamed = Design.of(found.clusters, found.members[:, 1:][:, order])
    for estimate in (means, biased):
        first, again = estimate(sample(found, values)), estimate(sample(renamed, values))
        for one, other in zip([first[1:][k] for k in order], again[1:], strict=True):
            for name in ("value", "low", "high", "p_value", "n"):
                assert _same(getattr(one, name), getattr(other, name))


@settings(max_examples=40, deadline=None)
@given(synthetic.populations())
def test_the_order_of_the_examples_does_not_matter(population: tuple[Design, Floats]) -> None:
    found, values = population
    order = np.random.default_rng(1).permutation(len(values))
    shuffled = Design.of(found.clusters[order], found.members[order][:, 1:])
    assert means(sample(found, values)) == means(sample(shuffled, values[order]))


@settings(max_examples=40, deadline=None)
@given(synthetic.populations())
def test_the_value_lies_in_its_interval(population: tuple[Design, Floats]) -> None:
    found, values = population
    for estimate in (*means(sample(found, values)), *biased(sample(found, values))):
        if not math.isnan(estimate.low):
            assert estimate.low - 1e-12 <= estimate.value <= estimate.high + 1e-12
        elif not math.isnan(estimate.value):
            assert estimate.reason


def test_a_group_that_holds_everything_has_no_bias() -> None:
    found = synthetic.design(range(20), [[0]] * 20, n_groups=1)
    estimate = biased(sample(found, np.tile([1.0, 0.0], 10)))[1]
    assert math.isnan(estimate.value)
    assert estimate.reason == "the group is the whole task"


def test_a_rest_of_few_clusters_has_no_interval() -> None:
    codes = np.repeat(np.arange(60), 4)
    found = synthetic.design(codes.tolist(), [[int(code < 4)] for code in codes], n_groups=2)
    drawn = sample(found, synthetic.changes(np.random.default_rng(0), 240))
    large = biased(drawn)[1]
    assert math.isnan(large.p_value)
    assert large.reason == "too few clusters outside the group for an interval: 4, at least 6 are needed"
    assert np.isnan(detectable_biased(drawn, error_rate=0.05)[1])


def test_one_giant_cluster_raises_few_alarms() -> None:
    rng = np.random.default_rng(4)
    sizes = [100] + [2] * 14 + [8] * 15
    codes = np.repeat(np.arange(30), sizes)
    found = synthetic.design(codes.tolist(), [[int(code >= 15)] for code in codes], n_groups=2)
    alarms = []
    for seed in range(150):
        shared, own = synthetic.changes(rng, 30, 0.25, 0.1)[codes], synthetic.changes(rng, len(codes), 0.25, 0.1)
        values = np.where(rng.random(len(codes)) < 0.3, shared, own)
        alarms.append(biased(sample(found, values, seed))[1].p_value <= 0.05)
    assert np.mean(alarms) <= 0.03


def test_an_empty_group_is_undefined() -> None:
    found = synthetic.design(range(20), [[0]] * 20, n_groups=2)
    estimate = means(sample(found, np.tile([1.0, 0.0], 10)))[2]
    assert math.isnan(estimate.value)
    assert estimate.reason == "no examples"


@pytest.mark.parametrize("n", [1, 2, 5])
def test_too_few_clusters_have_a_value_but_no_interval(n: int) -> None:
    estimate = means(sample(synthetic.design(range(n)), np.ones(n)))[0]
    assert estimate.value == 1.0
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.p_value)
    assert f"{n}, at least 6" in estimate.reason


def test_one_cluster_of_many_examples_has_no_interval() -> None:
    estimate = means(sample(synthetic.design([0] * 50), np.tile([1.0, 0.0], 25)))[0]
    assert estimate.value == 0.5
    assert "too few clusters" in estimate.reason


@pytest.mark.parametrize(("value", "low"), [(1.0, 0.8), (-1.0, -1.0), (0.0, -0.17)])
def test_values_that_are_all_alike_leave_room_for_others(value: float, low: float) -> None:
    estimate = means(sample(synthetic.design(range(20)), np.full(20, value)))[0]
    assert estimate.value == value
    assert estimate.low == pytest.approx(low, abs=0.06)
    assert estimate.high > estimate.low


def test_no_bias_is_claimed_when_everything_changed_alike() -> None:
    found = synthetic.nested(np.random.default_rng(0))
    for estimate in biased(sample(found, np.zeros(192)))[1:]:
        assert estimate.value == 0.0
        assert math.isnan(estimate.high)
        assert estimate.reason == "all examples changed alike"


@pytest.mark.parametrize(("level", "needed"), [(0.9, 5), (0.95, 6), (0.99, 8)])
def test_needed_clusters(level: float, needed: int) -> None:
    assert needed_clusters(level) == needed


def test_a_wider_level_gives_a_wider_interval() -> None:
    rng = np.random.default_rng(0)
    drawn = sample(synthetic.nested(rng), synthetic.changes(rng, 192))
    for estimate in (means, biased):
        for narrow, wide in zip(estimate(drawn, level=0.9)[1:], estimate(drawn, level=0.99)[1:], strict=True):
            assert wide.low <= narrow.low
            assert narrow.high <= wide.high


@pytest.mark.parametrize("kind", ["plain", "rare", "seeds", "labels", "many groups"])
def test_a_level_of_each_group_gives_the_interval_that_it_has_at_that_level(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    found = synthetic.nested(rng, clusters=20)
    n = len(found.clusters)
    if kind == "labels":
        found = found.balanced_over(rng.choice(["no", "yes"], n), {}, needed=6)
    if kind == "many groups":
        monkeypatch.setattr("chaintune.stats.clusters.MANY_GROUPS", 3)
        monkeypatch.setattr("chaintune.stats.clusters._GROUPS_AT_ONCE", 2)
    rates_of = (0.04, 0.0) if kind == "rare" else (0.2, 0.1)
    values = np.stack([synthetic.changes(rng, n, *rates_of) for _ in range(3 if kind == "seeds" else 1)])
    levels = np.array([0.95, 0.9, 0.99, 0.95, 0.995])
    drawn = sample(found, values)
    for estimate in (means, biased, lambda one, level: rates(one.design, np.abs(values), level=level)):
        mixed = estimate(drawn, level=levels)
        for k, level in enumerate(levels.tolist()):
            assert repr(mixed[k]) == repr(estimate(drawn, level=level)[k])


def test_a_rate_near_one_gets_an_exact_interval() -> None:
    found = synthetic.design(range(40))
    perfect = rates(found, np.ones(40))[0]
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low == pytest.approx(0.025 ** (1 / 40), abs=1e-9)
    assert math.isnan(perfect.p_value)


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_levels_of_scores_between_0_and_1_have_limits_of_their_own_scatter(spread: float) -> None:
    rng, found = np.random.default_rng(2), synthetic.nested(np.random.default_rng(0), groups=4, clusters=30, size=1)
    truth = float(special.expit(rng.normal(-2.0, spread, 200_000)).mean())
    held, widths, errors = np.zeros(5), np.zeros(5), np.zeros(5)
    for _ in range(100):
        values = special.expit(rng.normal(-2.0, spread, len(found.clusters)))
        estimates = rates(found, values)
        held += [one.low <= truth <= one.high for one in estimates]
        widths += [one.high - one.low for one in estimates]
        errors += values.std() / np.sqrt(found.n)
    assert held.min() >= 90
    assert (widths <= 4.8 * errors).all()  # twice 1.96 of them, and what few examples cost


def test_levels_of_scores_that_are_0_or_1_are_those_of_shares() -> None:
    rng, found = np.random.default_rng(2), synthetic.nested(np.random.default_rng(0), groups=4, clusters=10, size=3)
    values = rng.integers(0, 2, len(found.clusters)).astype(float)
    nearly = np.clip(values, 1e-12, 1 - 1e-12)
    for one, other in zip(rates(found, values), rates(found, nearly), strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-9)


def test_a_rate_without_clusters_is_clopper_and_pearsons() -> None:
    values = np.array([1.0] * 12 + [0.0] * 48)
    estimate = rates(synthetic.design(range(60)), values)[0]
    # 59/60: the standard error divides by n - 1, so 60 examples are worth 59 in their own eyes.
    assert estimate.low == pytest.approx(0.1078, abs=0.002)
    assert estimate.high == pytest.approx(0.3233, abs=0.002)


def test_disparity_by_hand_and_its_null() -> None:
    rng = np.random.default_rng(3)
    found = synthetic.nested(rng, groups=4)
    values = synthetic.changes(rng, 192)
    drawn = sample(found, values)
    estimate, null = disparity(drawn, [1, 2, 3, 4])
    by_hand = [values[found.clusters // 12 == group].mean() for group in range(4)]
    assert estimate.value == pytest.approx(max(abs(a - b) for a, b in combinations(by_hand, 2)))
    assert 0 < null < 0.4
    assert 0 < estimate.p_value <= 1
    assert estimate.reason.startswith("no interval")


def test_disparity_is_seen_where_one_group_alone_forgot() -> None:
    found = synthetic.nested(np.random.default_rng(0))
    values = np.where(found.clusters < 12, 1.0, 0.0)
    assert disparity(sample(found, values), [1, 2, 3, 4])[0].p_value < 0.02


def test_disparity_of_a_group_quiet_by_chance_raises_few_alarms() -> None:
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(110), 3)
    found = synthetic.design(codes.tolist(), [[int(code >= 100)] for code in codes], n_groups=2)
    drawn = [sample(found, synthetic.changes(rng, 330, 0.05, 0.0), seed) for seed in range(80)]
    assert np.mean([disparity(each, [1, 2])[0].p_value <= 0.05 for each in drawn]) <= 0.08


def test_adjusted_keeps_everything_else() -> None:
    rng = np.random.default_rng(0)
    found = means(sample(synthetic.nested(rng), synthetic.changes(rng, 192)))
    corrected = adjusted(found, "holm")
    assert [e.p_adjusted for e in corrected] == pytest.approx(adjust(np.array([e.p_value for e in found])).tolist())
    assert [e.value for e in corrected] == [e.value for e in found]


def test_more_clusters_can_show_less() -> None:
    rng = np.random.default_rng(0)
    small, large = (synthetic.nested(rng, clusters=clusters) for clusters in (10, 90))
    few, many = (sample(found, synthetic.changes(rng, len(found.clusters))) for found in (small, large))
    for limit in (detectable_means, detectable_biased):
        assert np.nanmax(limit(many, error_rate=0.05)) < np.nanmin(limit(few, error_rate=0.05))


def test_nothing_is_detectable_with_too_few_clusters() -> None:
    drawn = sample(synthetic.design([0, 1, 2, 3]), np.array([1.0, 0, 0, 0]))
    assert np.isnan(detectable_means(drawn, error_rate=0.05)).all()


def test_false_alarms_over_groups_keep_their_rate() -> None:
    rng = np.random.default_rng(12)
    found = synthetic.nested(rng, groups=6, clusters=15)
    alone, family = [], []
    for seed in range(150):
        p_values = np.array([e.p_value for e in biased(sample(found, synthetic.changes(rng, 360), seed))[1:]])
        alone += list(p_values <= 0.05)
        family.append(adjust(p_values).min() <= 0.05)
    assert np.mean(alone) <= 0.06
    assert np.mean(family) <= 0.08


def many_groups(rng: np.random.Generator, groups: int = 230, size: int = 8) -> Design:
    codes = np.arange(groups * size)
    borne = [[int(code) % groups, int(code * 7) % groups] for code in codes]
    return synthetic.design((codes // 2).tolist(), borne, n_groups=groups)


def test_many_groups_have_the_same_numbers_however_few_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    found = many_groups(rng)
    values = rng.random(len(found.clusters)) - rng.random(len(found.clusters))

    def numbers() -> str:
        drawn = sample(found, values)
        estimates = [means(drawn), biased(drawn), biased(drawn, reference="rest"), rates(found, np.abs(values))]
        limits = [detectable_means(drawn, error_rate=0.01), detectable_biased(drawn, error_rate=0.01)]
        return repr((estimates, disparity(drawn, list(range(1, 231))), [limit.tolist() for limit in limits]))

    expected = numbers()
    for groups_at_once in (7, 1000):
        monkeypatch.setattr("chaintune.stats.clusters._GROUPS_AT_ONCE", groups_at_once)
        assert numbers() == expected


def test_many_equal_clusters_are_drawn_together_whichever_groups_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaintune.stats.halves._MANY_CLUSTERS", 50)
    found = synthetic.nested(np.random.default_rng(0), groups=4, clusters=30)
    values = np.tile([1.0, 0.0, 0.0, -1.0], 120)
    expected = repr((means(sample(found, values)), biased(sample(found, values))))
    monkeypatch.setattr("chaintune.stats.clusters.MANY_GROUPS", 3)
    monkeypatch.setattr("chaintune.stats.clusters._GROUPS_AT_ONCE", 2)
    assert repr((means(sample(found, values)), biased(sample(found, values)))) == expected


@pytest.mark.parametrize("resamples", [FAST, 1_000_000])
def test_no_array_of_all_clusters_or_halves_and_many_groups_is_held(resamples: int) -> None:
    rng = np.random.default_rng(2)
    found = many_groups(rng)
    drawn = Sample.of(found, synthetic.changes(rng, len(found.clusters)), resamples=resamples)
    assert max(resamples * (len(part.design.n) - 1) for part in drawn.parts()) <= 2**24
    assert sum(len(part.design.n) - 1 for part in drawn.parts()) == len(found.n) - 1
    if resamples == FAST:
        means(drawn), biased(drawn), disparity(drawn, [1, 2, 200])
        detectable_means(drawn, error_rate=0.01), detectable_biased(drawn, error_rate=0.01)
        assert {name for held in (found, drawn) for name in vars(held)}.isdisjoint(
            {"sizes", "label_sums", "seed_sums", "sums", "_halves"}
        )


def _same(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or one == pytest.approx(other, abs=1e-9)
