"""Simulated flips have the rates and correlation that are stated, and power agrees with theory where there is one."""

import math

import numpy as np
import pytest
from scipy import sparse, special

from chaintune.errors import DataError
from chaintune.stats import Design, Flips, Sample, biased, flips_of, grown, needed_clusters, simulated_power
from chaintune.stats.latent import moved
from chaintune.stats.simulation import draw_changes, planted_losses
from tests import synthetic


def many(groups: int = 2, clusters: int = 2000, size: int = 4) -> Design:
    return synthetic.nested(np.random.default_rng(0), groups=groups, clusters=clusters, size=size)


def labelled(groups: int = 3, clusters: int = 40) -> Design:
    """Groups of 1 to 3 labels to 1, each cluster of two examples of one label."""
    codes = np.repeat(np.arange(groups * clusters), 2)
    members = np.zeros((len(codes), groups))
    members[np.arange(len(codes)), codes // clusters] = 1
    labels = np.where(codes % clusters < clusters * (1 + codes // clusters) / (1 + groups), "a", "b")
    return Design.of(codes, sparse.csr_array(members)).balanced_over(labels, {}, needed=needed_clusters(0.95))


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.6])
@pytest.mark.parametrize("rates", [(0.12, 0.08), (0.03, 0.01)])
def test_drawn_flips_are_those_that_were_stated(rates: tuple[float, float], correlation: float) -> None:
    flips = Flips(*rates, correlation)
    losses = np.full(16_000, flips.loss)
    drawn = flips_of(Sample.of(many(), draw_changes(np.random.default_rng(1), many(), flips, losses), resamples=1))
    assert (drawn.forgot, drawn.learned) == pytest.approx(rates, rel=0.15)
    assert drawn.correlation == pytest.approx(correlation, abs=0.06)


def test_drawn_seeds_scatter_as_stated() -> None:
    flips, found = Flips(0.1, 0.1, 0.1, seed_sd=0.05, group_seed_sd=0.04), many(6, 300)
    values = draw_changes(np.random.default_rng(1), found, flips, np.zeros(len(found.clusters)), seeds=60)
    drawn = flips_of(Sample.of(found, values, resamples=1))
    assert drawn.seed_sd == pytest.approx(0.053, abs=0.012)
    assert drawn.group_seed_sd == pytest.approx(0.04, abs=0.008)


@pytest.mark.parametrize("loss", [-0.1, 0.0, 0.3])
def test_an_effect_adds_flips_of_one_kind_and_takes_away_the_other(loss: float) -> None:
    flips = Flips(0.1, 0.1)
    forgot, learned = moved(flips.thresholds, flips.shift(loss))
    assert forgot - learned == pytest.approx(loss, abs=1e-4)
    assert ((forgot > 0.1) == (learned < 0.1)) or loss == 0


@pytest.mark.parametrize("reference", ["overall", "rest"])
@pytest.mark.parametrize("found", [many(3, 1000), labelled(3, 3000)], ids=["plain", "over labels"])
def test_the_planted_bias_is_that_of_the_affected_group(found: Design, reference: str) -> None:
    flips = Flips(0.15, 0.05)
    losses = planted_losses(found, 2, flips, 0.1, "biased_forgetting", reference)  # type: ignore[arg-type]
    assert losses is not None
    values = draw_changes(np.random.default_rng(1), found, flips, losses)
    estimates = biased(Sample.of(found, values, resamples=100), reference=reference)  # type: ignore[arg-type]
    assert estimates[2].value == pytest.approx(0.1, abs=0.02)
    assert max(estimates[1].value, estimates[3].value) < 0.02


@pytest.mark.parametrize(("n", "effect"), [(400, 0.05), (1000, 0.03), (400, 0.1)])
def test_power_of_independent_examples_is_that_of_the_z_test(n: int, effect: float) -> None:
    flips = Flips(0.1, 0.1)
    forgot, learned = moved(flips.thresholds, flips.shift(effect))
    ratio = effect / math.sqrt((forgot + learned - effect**2) / n)
    expected = float(special.ndtr(ratio - 1.96))
    simulated = simulated_power(synthetic.design(range(n)), [0], flips, effect)
    assert simulated.value == pytest.approx(expected, abs=3 * math.sqrt(expected * (1 - expected) / 200) + 0.02)
    assert simulated.error == pytest.approx(math.sqrt(expected * (1 - expected) / 200), abs=0.02)


def test_nothing_planted_is_hardly_ever_shown() -> None:
    found = many(6, 20)
    whole = simulated_power(found, [0], Flips(0.1, 0.1, 0.2), 1e-9, draws=100)
    group = simulated_power(found, range(1, 7), Flips(0.1, 0.1, 0.2), 1e-9, draws=60)
    # Half of 5 % at most, with three standard errors.
    assert whole.value <= 0.025 + 3 * math.sqrt(0.025 / 100)
    assert group.value <= 0.025 + 3 * math.sqrt(0.025 / 60)


def test_power_falls_with_correlation_with_tests_and_with_the_scatter_of_seeds() -> None:
    found, flips = many(6, 25), Flips(0.1, 0.1)
    plain = simulated_power(found, [1], flips, 0.15, draws=60).value
    assert simulated_power(found, [1], Flips(0.1, 0.1, 0.4), 0.15, draws=60).value < plain
    assert simulated_power(found, range(1, 7), flips, 0.15, affected=1, draws=60).value < plain
    few = simulated_power(many(1, 60), [0], flips, 0.08, seeds=3, draws=40).value
    assert simulated_power(many(1, 60), [0], Flips(0.1, 0.1, seed_sd=0.08), 0.08, seeds=3, draws=40).value < few


def test_the_same_seed_draws_the_same_bits_and_says_how_far_it_is() -> None:
    calls: list[tuple[int, int]] = []
    once, again = (
        simulated_power(many(2, 12), [1, 2], Flips(0.1, 0.1), 0.2, draws=10, on_draw=lambda *at: calls.append(at))
        for _ in range(2)
    )
    assert once == again
    assert calls[:10] == [(number, 10) for number in range(1, 11)]


def test_a_grown_design_has_more_clusters_of_the_same_kind() -> None:
    for found in (many(2, 3), labelled(3, 60)):
        more = grown(found, 3)
        assert more.n_clusters.tolist() == (3 * found.n_clusters).tolist()
        assert more.own_n.tolist() == (3 * found.own_n).tolist()
        assert more.n_outside.tolist() == (3 * found.n_outside).tolist()


def test_an_effect_that_cannot_be_has_no_power() -> None:
    assert math.isnan(simulated_power(many(2, 12), [0], Flips(0.1, 0.1, right=0.3), 0.5, draws=2).value)
    assert math.isnan(simulated_power(many(2, 12), [1, 2], Flips(0.1, 0.1), 0.9, draws=2).value)


@pytest.mark.parametrize(
    "rates",
    [{"forgot": 1.2}, {"learned": -0.1}, {"forgot": 0.6, "learned": 0.6}, {"right": 0.05}, {"seed_sd": math.inf}],
)
def test_refuses_rates_that_cannot_be(rates: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"expected|can be forgotten"):
        Flips(**{"forgot": 0.1, "learned": 0.1, **rates})


def test_refuses_a_group_that_is_not_tested() -> None:
    with pytest.raises(DataError, match="column 2"):
        simulated_power(many(2, 12), [1], Flips(0.1, 0.1), 0.1, affected=2)
    with pytest.raises(DataError, match="column 0"):
        simulated_power(many(2, 12), [0], Flips(0.1, 0.1), 0.1, statistic="biased_forgetting")
