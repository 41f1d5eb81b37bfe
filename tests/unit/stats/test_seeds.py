"""Several seeds: crossed with clusters."""

import numpy as np
import pytest

from chaintune.stats import Sample, biased, combination, means, rates, ratios
from chaintune.stats.halves import halves
from chaintune.stats.seeds import crossed, seed_noise, seed_variances
from tests import synthetic
from tests.synthetic import Floats

FAST = 200


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
    between, within = seed_variances(sums, np.full((2, 2, 1), 2.0))
    # Seed means 1.5 and 0.5 of four examples each; their clusters differ alike, so nothing is left over.
    assert between[0] == pytest.approx(0.5 / 2)
    assert within[0] == pytest.approx(0.0, abs=1e-12)


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
