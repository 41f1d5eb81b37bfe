"""Groups of a dimension as one family: error rate, groups that are one test, and intervals that follow the verdict."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from chaintune.records import Estimate
from chaintune.stats import Design, Sample, corrected, group_contrasts, one_test, own_means
from chaintune.stats.clusters import Floats
from chaintune.stats.families import MOST_JOINT_TESTS
from chaintune.stats.multiplicity import Adjustment, correct, null_p_values

CLUSTERS, SIZE, LEVEL = 60, 4, 0.95
CODES = np.repeat(np.arange(CLUSTERS), SIZE)
E = len(CODES)
METHODS: tuple[Adjustment, ...] = ("minp", "holm", "bh")


def members(shape: str, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Memberships of groups of a dimension. Shape: `[E, G]`."""
    some = rng.random((E, 4)) < 0.3
    if shape == "complementary":
        return np.stack([some[:, 0], ~some[:, 0]], axis=1)
    if shape == "overlapping":
        return rng.random((E, 6)) < 0.3
    if shape == "nested":
        return np.concatenate([some, some | (rng.random((E, 4)) < 0.1), some[:, :2]], axis=1)
    return np.asarray((CODES % 6)[:, None] == np.arange(6))


def sample(groups: NDArray[np.bool_], rng: np.random.Generator, *, loss: float = 0.0, seeds: int = 1) -> Sample:
    """Changes of 15 % either way, correlated within clusters; the first group loses more by a share of its examples."""
    design = Design.of(CODES, sparse.csr_array(groups.astype(np.float64)))
    latent = 0.4 * rng.standard_normal(CLUSTERS)[CODES] + 0.9 * rng.standard_normal((seeds, E))
    planted = groups[:, 0] & (rng.random((seeds, E)) < loss)
    values: Floats = np.where(planted | (latent > 1.0), 1.0, np.where(latent < -1.0, -1.0, 0.0))
    return Sample.of(design, values, resamples=299, seed=3)


def families(one: Sample, method: Adjustment = "minp") -> tuple[list[Estimate], list[Estimate]]:
    """Forgetting and biased forgetting of all groups as one dimension."""
    columns = [list(range(1, one.design.members.shape[1]))]
    mean, bias = (
        corrected(one, columns, statistic, level=LEVEL, method=method).estimates
        for statistic in (own_means(one), group_contrasts(one))
    )
    return mean, bias


def leaves_out_0(estimate: Estimate) -> bool:
    low, high = estimate.limits
    return low > 0 or high < 0


# 200 data sets of a true rate of 5 % leave a standard error of 1.54 points: three of them are allowed for.
@pytest.mark.parametrize("shape", ["complementary", "overlapping", "nested", "apart"])
def test_a_family_without_differences_raises_an_alarm_in_5_percent(shape: str) -> None:
    count, alarms = 200, np.zeros(2)
    for number in range(count):
        rng = np.random.default_rng([number, len(shape)])
        made = families(sample(members(shape, rng), rng))
        alarms += [any(one.is_shown(LEVEL) for one in some[1:]) for some in made]
    assert (100 * alarms / count <= 5 + 3 * 1.54).all(), alarms


def test_draws_say_how_tests_hang_together() -> None:
    rng = np.random.default_rng(1)
    flips = rng.standard_normal((4_000, 3))
    flips[0] = 10.0  # the data, further out than any draw
    twins = np.stack([flips[:, 0], flips[:, 0], -flips[:, 0], flips[:, 1], flips[:, 2]], axis=1)
    alone, joint = (
        correct(np.full(n, 0.01), "minp", null=null_p_values(some)).p_adjusted for n, some in ((3, flips), (5, twins))
    )
    assert joint[0] == pytest.approx(alone[0])
    assert alone[0] == pytest.approx(1 - 0.99**3, abs=0.006)  # 4,000 draws: a standard error of 0.0027


def test_a_guard_on_a_p_value_is_kept() -> None:
    flips = np.random.default_rng(2).standard_normal((999, 1))
    assert correct(np.array([0.2]), "minp", null=null_p_values(flips)).p_adjusted == pytest.approx([0.2])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seeds", [1, 2])
def test_complementary_groups_are_one_test_of_their_difference(method: Adjustment, seeds: int) -> None:
    rng = np.random.default_rng(4)
    one = sample(members("complementary", rng), rng, loss=0.1, seeds=seeds)
    mean, bias = families(one, method)
    assert bias[1].p_adjusted == bias[2].p_adjusted == max(bias[1].p_value, bias[2].p_value)
    assert seeds > 1 or bias[1].p_value == bias[2].p_value
    # Their own means are two tests.
    assert max(mean[1].p_adjusted, mean[2].p_adjusted) >= min(mean[1].p_value, mean[2].p_value)
    assert "over 2 tests" in mean[1].method
    assert "over" not in bias[1].method.rpartition(";")[2]


@pytest.mark.parametrize("method", METHODS)
def test_equal_groups_count_once(method: Adjustment) -> None:
    rng = np.random.default_rng(5)
    groups = members("apart", rng)
    plain = families(sample(groups, np.random.default_rng(6), loss=0.2), method)
    twice = families(sample(np.hstack([groups, groups[:, :3]]), np.random.default_rng(6), loss=0.2), method)
    for once, again in zip(plain, twice, strict=True):
        assert [one.p_adjusted for one in again[1:7]] == pytest.approx([one.p_adjusted for one in once[1:]])
        assert [one.p_adjusted for one in again[7:]] == [one.p_adjusted for one in again[1:4]]


def test_tests_are_told_by_their_examples() -> None:
    inside = np.array([[1, 1, 0, 1, 0, 0], [1, 1, 0, 0, 1, 0], [0, 0, 1, 1, 1, 0], [0, 0, 1, 0, 0, 0]], dtype=bool)
    design = Design.of(np.arange(4), sparse.csr_array(inside.astype(np.float64)))
    columns = [1, 2, 3, 4, 5, 6]
    assert one_test(design, columns, complementary=False) == [0, 0, 1, 2, 3, 4]
    assert one_test(design, columns, complementary=True) == [0, 0, 0, 1, 2, 3]
    assert one_test(design, [], complementary=True) == []


@pytest.mark.parametrize("shape", ["complementary", "overlapping", "nested", "apart"])
def test_the_interval_of_a_step_leaves_out_0_exactly_where_a_difference_is_shown(shape: str) -> None:
    shown: Counter[str] = Counter()
    adjusted: Counter[str] = Counter()
    for number in range(30):
        rng = np.random.default_rng([number, 9])
        drawn = sample(members(shape, rng), rng, loss=rng.choice([0.0, 0.2, 0.5]), seeds=1 + number % 2)
        for method in METHODS:
            mean, bias = families(drawn, method)
            for one in (*mean[1:], *bias[1:]):
                assert leaves_out_0(one) == one.is_shown(LEVEL)
                assert not leaves_out_0(one) or one.p_adjusted <= 1 - LEVEL
                low, high = one.limits
                assert (low <= one.low) & (high >= one.high)
                shown[method] += one.is_shown(LEVEL)
                adjusted[method] += one.is_adjusted
    for method in METHODS:
        assert shown[method] > 5, method
        assert adjusted[method] > 5 or shape == "complementary", method


@pytest.mark.parametrize("method", ["minp", "holm"])
def test_error_rates_of_steps_and_corrected_p_values_say_the_same(method: Adjustment) -> None:
    rng = np.random.default_rng(8)
    for _ in range(200):
        flips = rng.standard_normal((999, 5)) @ (np.eye(5) + rng.random((5, 5)))
        flips[0] *= rng.choice([1.0, 3.0])
        null = null_p_values(flips)
        p_values = np.minimum(null[0] * rng.choice([1.0, 3.0], 5), 1.0)  # as a guard raises them
        made = correct(p_values, method, null=null)
        assert ((p_values <= made.error_rates) == (made.p_adjusted <= 0.05)).all()
        holm = correct(p_values, "holm").p_adjusted
        assert (p_values <= made.p_adjusted).all()
        assert (made.p_adjusted <= holm + 1e-12).all()


def test_many_groups_or_several_seeds_fall_back_to_holm_and_say_so() -> None:
    rng = np.random.default_rng(7)
    many = MOST_JOINT_TESTS + 1
    one = sample(rng.random((E, many)) < 0.5, rng)
    holm, minp = (families(one, method)[0][1] for method in ("holm", "minp"))
    assert minp.p_adjusted == holm.p_adjusted
    assert f"Holm over {many} tests, as step-down minP takes at most {MOST_JOINT_TESTS}" in minp.method
    crossed = families(sample(members("apart", rng), rng, seeds=3))[1][1]
    assert "Holm over 6 tests, as seeds have no joint draws" in crossed.method


def test_a_level_that_few_clusters_cannot_reach_excludes_nothing() -> None:
    # Seven clusters a group have an interval at 95 %, none at the level of six tests.
    codes = np.repeat(np.arange(42), 3)
    groups = (codes % 6)[:, None] == np.arange(6)
    design = Design.of(codes, sparse.csr_array(groups.astype(np.float64)))
    values: Floats = np.where(groups[:, 0], 1.0, np.random.default_rng(0).choice([-1.0, 0.0, 1.0], len(codes)))
    one = corrected(
        (made := Sample.of(design, values, resamples=999)), [range(1, 7)], own_means(made), level=LEVEL, method="holm"
    ).estimates[2]
    assert math.isfinite(one.low)
    assert one.limits == (-1.0, 1.0)


def test_groups_in_blocks_have_the_same_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(11)
    groups = members("overlapping", rng)
    whole = sample(groups, np.random.default_rng(1), loss=0.2)
    before = families(whole)
    monkeypatch.setattr("chaintune.stats.clusters.MANY_GROUPS", 3)
    monkeypatch.setattr("chaintune.stats.clusters._GROUPS_AT_ONCE", 2)
    after = families(sample(groups, np.random.default_rng(1), loss=0.2))
    for one, other in zip(before, after, strict=True):
        assert _numbers(one[1:]) == pytest.approx(_numbers(other[1:]))


def _numbers(estimates: Sequence[Estimate]) -> list[float]:
    return [number for one in estimates for number in (one.p_value, one.p_adjusted, *one.limits)]


def test_draws_that_tie_with_an_exact_p_value_a_hair_below_theirs_count() -> None:
    null = null_p_values(1.0 * np.random.default_rng(0).choice([-1, 1], (4_000, 4, 8)).sum(axis=2))
    drawn, exact = (correct(p_values, "minp", null=null).p_adjusted for p_values in (null[0], 0.999 * null[0]))
    assert exact == pytest.approx(drawn, rel=0.01)
