"""What is told to be detectable is what simulated flips need, judged by the procedure of a comparison .

The formula judges a group at the first step of its family's correction.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import special

from chaintune.stats import (
    Adjustment,
    Design,
    Flips,
    Sample,
    corrected,
    detectable_biased,
    detectable_means,
    group_contrasts,
    means,
    own_means,
    simulated_power,
)
from chaintune.stats.clusters import Floats
from chaintune.stats.detectable import prospect_of_biased, prospect_of_means
from chaintune.stats.power import Curve
from chaintune.stats.simulation import Statistic, draw_changes
from tests import synthetic

# Groups, clusters of each, examples of each, and flips.
LAYOUTS = {
    "quickstart": ((11, 15, 2), Flips(0.1, 0.1, 0.1)),
    "hundred a group": ((11, 25, 4), Flips(0.1, 0.1, 0.1)),
    "nearly all right": ((11, 25, 4), Flips(0.015, 0.015, 0.05)),
    "without clusters": ((3, 100, 1), Flips(0.1, 0.1)),
    "a hundred clusters": ((4, 100, 4), Flips(0.12, 0.07, 0.1)),
    "clusters that change alike": ((11, 25, 4), Flips(0.06, 0.02, 0.25)),
}
# A difference that is 10 % larger moves the power from 80 % to so much, one that is 10 % smaller to so little: the
# estimate lies 3.8 standard errors from 0 at a step of 11 tests, 2.8 of one.
_MORE, _LESS = (float(special.ndtr(special.ndtri(0.8) + sign * 0.38)) for sign in (1, -1))


def layout(name: str) -> tuple[Design, Flips]:
    (groups, clusters, size), flips = LAYOUTS[name]
    return synthetic.nested(np.random.default_rng(0), groups=groups, clusters=clusters, size=size), flips


def told(found: Design, flips: Flips, statistic: Statistic, column: int, adjust: Adjustment = "minp") -> float:
    """Median over ten data sets in which nothing is planted."""
    values = [
        draw_changes(np.random.default_rng([7, seed]), found, flips, np.full(len(found.clusters), flips.loss))
        for seed in range(10)
    ]
    of, limit = (own_means, detectable_means) if statistic == "forgetting" else (group_contrasts, detectable_biased)
    limits, families = [], [columns_of(found, column)] if column else []
    for rows in values:
        sample = Sample.of(found, rows, resamples=1_000)
        rates = corrected(sample, families, of(sample), level=0.95, method=adjust).first_steps
        limits.append(limit(sample, error_rate=rates)[column])
    return float(np.median(limits))


def columns_of(found: Design, column: int) -> Sequence[int]:
    return range(1, found.members.shape[1]) if column else [0]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize(("statistic", "column"), [("forgetting", 0), ("forgetting", 1), ("biased_forgetting", 1)])
def test_the_detectable_difference_is_shown_four_times_in_five(name: str, statistic: Statistic, column: int) -> None:
    found, flips = layout(name)
    columns, draws = columns_of(found, column), 50
    least = told(found, flips, statistic, column)
    power = simulated_power(found, columns, flips, least, statistic=statistic, draws=draws)
    assert _LESS - 2.5 * power.error <= power.value <= _MORE + 2.5 * power.error


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize(("statistic", "column"), [("forgetting", 0), ("forgetting", 1), ("biased_forgetting", 1)])
def test_the_detectable_difference_is_within_ten_percent(name: str, statistic: Statistic, column: int) -> None:
    found, flips = layout(name)
    columns = columns_of(found, column)
    least = told(found, flips, statistic, column)
    less, more = (
        simulated_power(found, columns, flips, times * least, statistic=statistic, draws=400) for times in (0.9, 1.1)
    )
    assert less.value <= 0.8 + 2 * less.error
    assert more.value >= 0.8 - 2 * more.error


@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])  # most scores move by little; by more; nearly flips
@pytest.mark.parametrize("column", [0, 1])
def test_the_detectable_change_of_scores_between_0_and_1_is_shown_four_times_in_five(
    spread: float, column: int
) -> None:
    rng, found = np.random.default_rng(5), synthetic.nested(np.random.default_rng(0), groups=5, clusters=30, size=1)

    def lost(shift: float, n: int = len(found.clusters)) -> Floats:
        before = rng.normal(0.0, 2.0, n)
        return np.asarray(special.expit(before) - special.expit(before + rng.normal(-shift, spread, n)))

    least = np.median(
        [detectable_means(Sample.of(found, lost(0.0), resamples=1), error_rate=0.05)[column] for _ in range(9)]
    )
    low, high = 0.0, 8.0
    for _ in range(12):
        low, high = (
            ((low + high) / 2, high) if lost((low + high) / 2, 20_000).mean() < least else (low, (low + high) / 2)
        )
    p_values = [means(Sample.of(found, lost(high), resamples=50))[column].p_value for _ in range(60)]
    assert 0.6 <= float(np.mean(np.array(p_values) <= 0.05)) <= 0.95
    # Nearly twice the half-width of an interval, in a normal law 1.43 times.
    assert least <= 1.9 * special.ndtri(0.975) * float(lost(0.0, 20_000).std()) / np.sqrt(found.n[column])


@pytest.mark.parametrize("column", [0, 1])
def test_power_and_what_it_takes_agree_with_the_detectable_difference(column: int) -> None:
    found, flips = layout("hundred a group")
    values = draw_changes(np.random.default_rng(3), found, flips, np.zeros(len(found.clusters)))
    sample, rate = Sample.of(found, values, resamples=100), 0.05 / (11 if column else 1)
    prospect = (prospect_of_biased if column else prospect_of_means)(sample, error_rate=rate)
    least = float(prospect.detectable()[column])
    assert prospect.power(least)[column] == pytest.approx(0.8, abs=0.01)
    assert prospect.growth(least)[column] == pytest.approx(1.0, abs=0.03)
    assert prospect.power(least / 3)[column] < 0.2
    times = float(prospect.growth(least / 2)[column])
    grown = prospect.tests.grown(np.full(len(found.n), times))
    half = np.full(len(found.n), least / 2 / float(prospect.scale[column]))
    assert Curve(grown, rate).power(half)[column] == pytest.approx(0.8, abs=0.02)
    # Close to the square of the ratio, less what few clusters cost.
    assert 2.5 < times < 4.5


def test_power_by_formula_is_that_of_simulated_flips() -> None:
    found, flips = layout("quickstart")
    values = draw_changes(np.random.default_rng(3), found, flips, np.zeros(len(found.clusters)))
    prospect = prospect_of_means(Sample.of(found, values, resamples=100), error_rate=0.05)
    simulated = simulated_power(found, [0], flips, 0.05, draws=150)
    assert prospect.power(0.05)[0] == pytest.approx(simulated.value, abs=3 * simulated.error + 0.08)
