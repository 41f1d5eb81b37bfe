"""Several seeds: crossed with clusters."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from chaintune.stats import Design, Sample, adjusted, biased, combination, disparity, means, rates, ratios
from chaintune.stats.clusters import Integers
from chaintune.stats.halves import halves
from chaintune.stats.seeds import crossed, farthest, seed_noise, seed_variances
from tests import synthetic
from tests.synthetic import Floats

FAST = 200
GROUPS = 11
CLUSTERS = 16
ONE_POOL = np.array([0] + [1] * GROUPS)


def pooled(design: Design) -> Design:
    """The design with the groups of one dimension."""
    return replace(design, pools=np.minimum(np.arange(design.members.shape[1]), 1))


def normal_sums(rng: np.random.Generator, seeds: int, deviations: Floats, *, noise: float = 1.0) -> Floats:
    """Sums of groups of as many clusters, the whole task first, whose seeds deviate each by its own. Shape `[S, C, K]`.

    Shape: deviations `[S, G]`.
    """
    groups = deviations.shape[1]
    homes = np.repeat(np.arange(groups), CLUSTERS)
    drawn = deviations[:, homes] + noise * rng.standard_normal((seeds, len(homes)))
    own = drawn[:, :, None] * (homes[:, None] == np.arange(groups))
    return np.concatenate([drawn[:, :, None], own], axis=2)


def sizes_of(sums: Floats) -> Floats:
    """One example a cluster."""
    groups = sums.shape[2] - 1
    homes = np.repeat(np.arange(groups), CLUSTERS)
    sizes = np.concatenate([np.ones((len(homes), 1)), 1.0 * (homes[:, None] == np.arange(groups))], axis=1)
    return np.broadcast_to(sizes, sums.shape)


def freedom_of(sums: Floats, pools: Integers) -> Floats:
    return seed_variances(sums, sizes_of(sums), pools)[2]


def answers(rng: np.random.Generator, seeds: int, shift: float) -> Floats:
    """Changes under several seeds, whose rates of forgetting lie `shift` to both sides of 0.3."""
    chances = 0.3 + shift * np.linspace(-1, 1, seeds)
    return np.stack([synthetic.changes(rng, 192, chance, 0.1) for chance in chances])


def test_value_is_the_mean_over_seeds_and_says_how_many() -> None:
    rng = np.random.default_rng(0)
    found, values = synthetic.nested(rng), answers(rng, 3, 0.1)
    estimate = means(Sample.of(found, values, resamples=FAST))[0]
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.n_seeds == 3
    assert estimate.n == 192
    assert "seeds" in estimate.method


def test_seeds_that_agree_to_the_last_example_add_nothing() -> None:
    rng = np.random.default_rng(0)
    found, one = synthetic.nested(rng), synthetic.changes(rng, 192)
    alone = means(Sample.of(found, one, resamples=4000))[0]
    three = means(Sample.of(found, np.stack([one] * 3), resamples=4000))[0]
    assert [three.low, three.high] == pytest.approx([alone.low, alone.high], abs=0.01)


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    found = synthetic.nested(rng)
    alike, unlike = (means(Sample.of(found, answers(rng, 3, shift), resamples=FAST))[0] for shift in (0.0, 0.25))
    assert unlike.high - unlike.low > 1.5 * (alike.high - alike.low)


@pytest.mark.parametrize("resamples", [99, 128, 499])
def test_the_interval_leaves_out_zero_exactly_where_the_p_value_says_so(resamples: int) -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(0.02, 0.01, (2 * resamples, 400))
    columns = np.stack([rng.normal(0.05, 0.2, 60), np.ones(60)], axis=1)
    drawn = halves(columns, resamples=resamples, seed=0)
    top, bottom = (drawn.columns(slice(k, k + 1)) for k in (0, 1))
    for level in (0.9, 0.95, np.linspace(0.9, 0.97, 400)):
        low, high, p_value = crossed(top, bottom, noise, level)
        assert ((low > 0) | (high < 0)).tolist() == (p_value <= 1 - np.asarray(level)).tolist()


def test_what_all_groups_share_does_not_blur_their_difference() -> None:
    rng = np.random.default_rng(2)
    found, values = synthetic.nested(rng), answers(rng, 3, 0.25)
    whole = means(Sample.of(found, values, resamples=FAST))[0]
    bias = biased(Sample.of(found, values, resamples=FAST))[1]
    assert bias.high - bias.low < whole.high - whole.low


def test_variances_by_hand() -> None:
    sums = np.array([[[4.0], [2.0]], [[2.0], [0.0]]])
    between, within, freedom = seed_variances(sums, np.full((2, 2, 1), 2.0))
    # Seed means 1.5 and 0.5 of four examples each; their clusters differ alike, so nothing is left over.
    assert between[0] == pytest.approx(0.5 / 2)
    assert within[0] == pytest.approx(0.0, abs=1e-12)
    assert freedom[0] == 1.0


def test_one_seed_has_no_seed_noise() -> None:
    noise = seed_noise(np.ones((1, 5, 2)), np.ones((1, 5, 2)), 10, 0)
    assert not noise.any()


def test_covers_the_recipe_where_seeds_differ() -> None:
    rng = np.random.default_rng(5)
    found = synthetic.nested(rng, groups=1, clusters=30)
    covered = []
    for number in range(150):
        chances = np.clip(0.25 + 0.08 * rng.standard_normal(3), 0.02, 0.8)
        values = np.stack([synthetic.changes(rng, 120, chance, 0.1) for chance in chances])
        estimate = means(Sample.of(found, values, resamples=FAST, seed=number))[0]
        covered.append(estimate.low <= 0.15 <= estimate.high)
    assert np.mean(covered) > 0.9


def test_rates_and_ratios_and_sums_of_tasks_take_seeds_too() -> None:
    rng = np.random.default_rng(6)
    found, values = synthetic.nested(rng), answers(rng, 3, 0.1)
    assert rates(found, np.abs(values))[0].n_seeds == 3
    ratio = ratios(found, values, np.ones_like(values), resamples=FAST)[0]
    assert ratio.value == pytest.approx(values.mean())
    assert ratio.n_seeds == 3
    both = combination([Sample.of(found, values, resamples=FAST)] * 2, (1.0, -1.0))
    assert both.value == 0.0
    assert both.n_seeds == 3
    assert both.low < 0 < both.high


def test_same_seed_same_bits_and_other_seed_other_interval() -> None:
    rng = np.random.default_rng(0)
    found, values = synthetic.nested(rng), answers(rng, 3, 0.1)
    first, again, other = (means(Sample.of(found, values, resamples=FAST, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_alone_a_column_has_the_seeds_own_variance_and_draws() -> None:
    rng = np.random.default_rng(0)
    sums = normal_sums(rng, 3, rng.standard_normal((3, 4)))
    sizes = sizes_of(sums)
    values = sums.sum(axis=1) / sizes.sum(axis=1)
    between, within, freedom = seed_variances(sums, sizes)
    np.testing.assert_allclose(between, values.var(axis=0, ddof=1) / 3)
    assert (freedom == 2).all()
    draws = np.random.default_rng([7, 1])
    inflation = 2 / draws.chisquare(2, (50, 5))
    by_hand = draws.standard_normal((50, 5)) * np.sqrt(np.maximum(between * inflation - within, 0.0))
    np.testing.assert_array_equal(seed_noise(sums, sizes, 50, 7), by_hand)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_groups_that_scatter_alike_lend_each_other_degrees_of_freedom(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    freedom = [freedom_of(normal_sums(rng, seeds, np.zeros((seeds, GROUPS))), ONE_POOL) for _ in range(20)]
    assert np.median(freedom) > 3 * (seeds - 1)
    assert np.max(freedom) <= GROUPS * (seeds - 1)


def test_moderated_variances_lie_between_the_own_and_the_common_one_and_nearer_the_truth() -> None:
    rng = np.random.default_rng(3)
    errors: dict[str, list[Floats]] = {"alone": [], "pooled": []}
    for _ in range(30):
        sums = normal_sums(rng, 3, 0.5 * rng.standard_normal((3, GROUPS)))
        for name, pools in (("alone", None), ("pooled", ONE_POOL[1:])):
            between = seed_variances(sums[:, :, 1:], sizes_of(sums)[:, :, 1:], pools)[0]
            errors[name].append(np.log(between / ((0.25 + 1 / CLUSTERS) / 3)))
    assert np.std(errors["pooled"]) < 0.5 * np.std(errors["alone"])


def test_a_group_that_scatters_far_more_is_drawn_less_to_the_others() -> None:
    rng = np.random.default_rng(4)
    alike, unlike = [], []
    for _ in range(20):
        deviations = 0.5 * rng.standard_normal((5, GROUPS))
        alike.append(freedom_of(normal_sums(rng, 5, deviations), ONE_POOL)[1:])
        deviations[:, 0] *= 8
        unlike.append(freedom_of(normal_sums(rng, 5, deviations), ONE_POOL)[1:])
    assert np.median(unlike) < 0.7 * np.median(alike)


def test_what_the_whole_task_shares_is_not_counted_once_a_group() -> None:
    rng = np.random.default_rng(5)
    freedom = [freedom_of(normal_sums(rng, 3, np.tile(5 * rng.standard_normal((3, 1)), (1, GROUPS))), ONE_POOL)
               for _ in range(10)]  # fmt: skip
    assert np.max(freedom) < 4


def test_groups_that_seeds_move_in_one_pattern_are_worth_one() -> None:
    rng = np.random.default_rng(6)
    pattern = np.linspace(-3, 3, GROUPS)
    sums = normal_sums(rng, 5, rng.standard_normal((5, 1)) * pattern, noise=0.01)
    np.testing.assert_array_equal(freedom_of(sums, ONE_POOL)[1:], 4.0)


def test_complementary_groups_are_one_and_mirror_each_other() -> None:
    rng = np.random.default_rng(7)
    design = pooled(synthetic.nested(rng, groups=2, clusters=20))
    values = answers(rng, 3, 0.1)[:, :160]
    one, other = biased(Sample.of(design, values, resamples=FAST))[1:]
    # Draws that are 0 but for rounding count on one side or the other.
    assert one.p_value == pytest.approx(other.p_value, abs=0.02)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    alone = biased(Sample.of(replace(design, pools=None), values, resamples=4000))[1]
    assert one.high - one.low == pytest.approx(alone.high - alone.low, rel=0.25)


def test_seeds_that_agree_add_nothing_to_groups_either() -> None:
    rng = np.random.default_rng(8)
    design, one = pooled(synthetic.nested(rng)), synthetic.changes(rng, 192)
    for estimates in (means, biased):
        alone, three = (estimates(Sample.of(design, rows, resamples=4000)) for rows in (one, np.stack([one] * 3)))
        for column in range(1, 5):
            assert [three[column].low, three[column].high] == pytest.approx(
                [alone[column].low, alone[column].high], abs=0.02
            )


def test_groups_without_any_change_have_an_interval_from_the_others() -> None:
    rng = np.random.default_rng(9)
    design = pooled(synthetic.nested(rng))
    values = answers(rng, 3, 0.1) * (design.members[:, [1]].toarray()[:, 0] == 0)
    estimates = means(Sample.of(design, values, resamples=FAST))
    assert all(np.isfinite([one.low, one.high]).all() and one.low <= one.value <= one.high for one in estimates)
    nothing = means(Sample.of(design, np.zeros_like(values), resamples=FAST))
    assert all(one.value == 0 and one.low <= 0 <= one.high for one in nothing)


def test_order_of_groups_says_nothing_to_the_last_bit() -> None:
    rng = np.random.default_rng(10)
    design, values = pooled(synthetic.nested(rng)), answers(rng, 3, 0.1)
    turned = replace(design, members=design.members[:, [0, 3, 1, 4, 2]])
    for estimates in (means, biased):
        first, second = (estimates(Sample.of(one, values, resamples=FAST)) for one in (design, turned))
        assert [second[column] for column in (2, 4, 1, 3)] == first[1:]
    spreads = [disparity(Sample.of(one, values, resamples=FAST), [1, 2, 3, 4])[0].p_value for one in (design, turned)]
    assert spreads[0] == spreads[1]


def test_dimensions_do_not_share_with_each_other() -> None:
    rng = np.random.default_rng(11)
    sums = normal_sums(rng, 3, rng.standard_normal((3, 8)))
    both = seed_variances(sums, sizes_of(sums), np.array([0, 1, 1, 1, 1, 2, 2, 2, 2]))
    first = seed_variances(sums[:, :, :5], sizes_of(sums)[:, :, :5], np.array([0, 1, 1, 1, 1]))
    for one, other in zip(both, first, strict=True):
        np.testing.assert_array_equal(one[:5], other)


def test_method_says_that_seeds_were_moderated() -> None:
    rng = np.random.default_rng(12)
    design, values = synthetic.nested(rng), answers(rng, 3, 0.1)
    shared = means(Sample.of(pooled(design), values, resamples=FAST))
    assert "moderated" not in shared[0].method
    assert "moderated over the groups" in shared[1].method
    assert "moderated" not in means(Sample.of(design, values, resamples=FAST))[1].method
    two = pooled(synthetic.nested(rng, groups=2, clusters=24))
    assert "moderated" not in means(Sample.of(two, values, resamples=FAST))[1].method, "two groups lend nothing"


def seed_cell(rng: np.random.Generator, seeds: int, deviation: float, extra: float = 0.0) -> Floats:
    """Changes of 11 groups of 16 clusters of two; seeds move the whole task and, less, each group. Shape `[S, E]`."""
    homes, clusters = np.repeat(np.arange(GROUPS), 2 * CLUSTERS), np.repeat(np.arange(GROUPS * CLUSTERS), 2)
    latent = deviation * rng.standard_normal((seeds, 1)) + 0.1 * rng.standard_normal((seeds, GROUPS))[:, homes]
    shared = 0.3 * rng.standard_normal((1, GROUPS * CLUSTERS)) + 0.3 * rng.standard_normal((seeds, GROUPS * CLUSTERS))
    latent = latent + shared[:, clusters] + np.sqrt(0.82) * rng.standard_normal((seeds, len(homes)))
    latent[:, homes == 0] += extra
    low, high = float(stats.norm.ppf(0.06)), float(stats.norm.ppf(0.86))
    return np.asarray(1.0 * (latent > high) - 1.0 * (latent < low))


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "least_power"), [(2, 0.1), (3, 0.4)])
def test_shows_a_difference_of_25_points_and_keeps_its_error_rate(seeds: int, least_power: float) -> None:
    rng = np.random.default_rng(seeds)
    design, number = pooled(synthetic.nested(rng, groups=GROUPS, clusters=CLUSTERS, size=2)), 300
    covered, alarms, shown = [], [], []
    for draw in range(number):
        none, some = (seed_cell(rng, seeds, 0.155, extra) for extra in (0.0, 0.77))
        quiet, loud = (adjusted(biased(Sample.of(design, values, resamples=499, seed=draw))[1:], "holm")
                       for values in (none, some))  # fmt: skip
        covered += [one.low <= 0 <= one.high for one in quiet]
        alarms.append(any(one.p_adjusted <= 0.05 for one in quiet))
        shown.append(loud[0].p_adjusted <= 0.05)
    # Two binomial standard errors of 300 sets.
    assert np.mean(covered) >= 0.94
    assert np.mean(alarms) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / number)
    assert np.mean(shown) >= least_power


def test_farthest_seed_by_hand() -> None:
    place, away, p_value = farthest(np.array([1.0, 2.0, 3.0, 2.0, 12.0]))
    assert place == 4
    assert away == 10.0
    # Grubbs' statistic against the bound of its tables: G**2 = 80 / 22 or so, t = 10 / (sqrt(2 / 3) * sqrt(5 / 4)).
    assert p_value == pytest.approx(5 * 2 * stats.t.sf(10 / np.sqrt(2 / 3 * 5 / 4), 3))
    assert farthest(np.array([1.0, 2.0, 3.0, 2.0, -8.0]))[1] == -10.0


def test_farthest_of_equal_seeds_is_undefined_and_of_one_apart_is_sure() -> None:
    assert np.isnan(farthest(np.ones(4))[2])
    assert farthest(np.array([0.0, 0.0, 0.0, 1.0]))[2] == 0.0


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_farthest_of_normal_seeds_is_called_so_in_one_of_twenty(seeds: int) -> None:
    rng, number = np.random.default_rng(seeds), 1500
    called = [farthest(rng.standard_normal(seeds))[2] <= 0.05 for _ in range(number)]
    assert 0.03 <= np.mean(called) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / number)


def test_seeds_that_agree_by_luck_make_no_other_one_far() -> None:
    rng = np.random.default_rng(1)
    counts = rng.binomial(300, 0.2, (1500, 3)) / 300
    noise = float(np.sqrt(0.16 / 300))
    called = [farthest(one, noise)[2] <= 0.05 for one in counts]
    assert np.mean(called) <= 0.05
    assert np.mean([farthest(one)[2] <= 0.05 for one in counts]) > 0.07  # ties of two counts


def test_farthest_sees_a_collapse() -> None:
    rng = np.random.default_rng(0)
    called = [farthest(np.append(rng.standard_normal(9), 6.0))[2] <= 0.05 for _ in range(200)]
    assert np.mean(called) > 0.8


def test_a_recipe_that_no_seed_moves_borrows_no_scatter() -> None:
    others = np.random.default_rng(3).standard_normal((3, GROUPS * CLUSTERS, 2))
    quiet = np.zeros((3, GROUPS * CLUSTERS, 1))
    noise = seed_noise(quiet, np.ones_like(quiet), FAST, 0, np.zeros(1, dtype=np.int64), others)
    assert not noise.any()
