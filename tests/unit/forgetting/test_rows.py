"""Rows of several seeds: the detectable change is one that is shown."""

import math
from dataclasses import replace

import numpy as np
import pytest

from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import Subject, forgetting_rows
from chaintune.records import ResultRow
from chaintune.stats import Flips, simulated_power
from chaintune.stats.simulation import draw_changes
from tests import synthetic
from tests.synthetic import Floats

FAST = Inference(resamples=400)
SUBJECT = Subject("x", synthetic.checkpoint("s", "c").of_every_seed, "s", "s")

# Value, ends of the interval that is judged, and corrected p-value.
FROZEN = {
    ("over_groups", "forgetting", ""): (0.07962963, -0.06794645, 0.21006418, math.nan),
    ("over_groups", "forgetting", "g0"): (0.37962963, -0.11496884, 0.73397192, 0.08739076),
    ("over_groups", "biased_forgetting", "g0"): (0.30000000, 0.09211312, 0.49888067, 0.01248439),
    ("separate", "forgetting", ""): (0.07962963, -0.06325126, 0.20468324, math.nan),
    ("separate", "forgetting", "g0"): (0.37962963, 0.00038146, 1.00000000, 0.04993758),
    ("separate", "biased_forgetting", "g0"): (0.30000000, -0.05700858, 0.95984380, 0.08739076),
}


def grouped(groups: int, clusters: int) -> Grouping:
    found = synthetic.nested(np.random.default_rng(0), groups=groups, clusters=clusters, size=3)
    return Grouping((("", ""), *(("faith", f"g{group}") for group in range(groups))), found)


def pooled(groups: Grouping, values: Floats, metric: str) -> list[ResultRow]:
    rows = forgetting_rows(SUBJECT, groups, values, range(len(values)), FAST)
    return [row for row in rows if (row.seed, row.metric) == ("all", metric)]


def answers(rng: np.random.Generator, n: int, seeds: int) -> Floats:
    """Changes that seeds share in half of the examples."""
    shared = synthetic.changes(rng, n, 0.15, 0.15)
    alone = np.stack([synthetic.changes(rng, n, 0.15, 0.15) for _ in range(seeds)])
    return np.where(rng.random(n) < 0.5, shared, alone)


@pytest.mark.parametrize(("seeds", "groups", "clusters"), [(3, 2, 25), (5, 5, 20)])
def test_the_detectable_difference_of_seeds_is_shown_after_correction(seeds: int, groups: int, clusters: int) -> None:
    found, flips = grouped(groups, clusters), Flips(0.15, 0.15)
    n = len(found.design.clusters)
    drawn = [
        draw_changes(np.random.default_rng(number), found.design, flips, np.zeros(n), seeds=seeds)
        for number in range(3)
    ]
    told = [row.estimate.value for each in drawn for row in pooled(found, each, "detectable_biased_forgetting")]
    power = simulated_power(found.design, range(1, groups + 1), flips, float(np.median(told)), seeds=seeds, draws=16)
    # 80 %, less two and a half standard errors of 16 data sets.
    assert power.value > 0.55


def test_the_detectable_loss_of_the_whole_over_seeds_is_shown_in_four_of_five_simulated_ones() -> None:
    found, flips = grouped(2, 25), Flips(0.15, 0.15, 0.1, seed_sd=0.02)
    n = len(found.design.clusters)
    told = []
    for number in range(5):
        drawn = draw_changes(np.random.default_rng(number), found.design, flips, np.zeros(n), seeds=3)
        told += [row.estimate.value for row in pooled(found, drawn, "detectable_forgetting") if row.is_whole]
    often = [
        simulated_power(found.design, [0], flips, times * float(np.median(told)), seeds=3, draws=120).value
        for times in (0.75, 1.0, 1.25)
    ]
    # At the figure itself a share of 120 has a standard error of 3.7 points.
    assert often[0] < 0.76
    assert 0.68 < often[1] < 0.92
    assert often[2] > 0.82


def test_numbers_of_seeds_stay_what_they_are_with_their_variance_shared_and_apart() -> None:
    """Frozen, so that a change of either option is seen."""
    found = grouped(5, 12)
    found = replace(found, design=replace(found.design, pools=np.array([0] + [1] * 5)))
    flips = Flips(0.15, 0.1, 0.1, seed_sd=0.04, group_seed_sd=0.03)
    losses = 0.05 + 0.4 * found.design.members[:, [1]].toarray()[:, 0]
    values = draw_changes(np.random.default_rng(1), found.design, flips, losses, seeds=3)
    ends = {
        (how, metric, row.group): (row.estimate.value, *row.estimate.limits, row.estimate.p_adjusted)
        for how, groups in (("over_groups", found), ("separate", found.seeds_apart()))
        for metric in ("forgetting", "biased_forgetting")
        for row in pooled(groups, values, metric)
        if row.group in ("", "g0")
    }
    for place, numbers in FROZEN.items():
        assert ends[place] == pytest.approx(numbers, abs=1e-6, nan_ok=True), place
    assert set(ends) == set(FROZEN)


def test_two_seeds_of_many_groups_can_show_nothing_and_say_why() -> None:
    found = grouped(11, 8)
    values = answers(np.random.default_rng(0), len(found.design.clusters), 2)
    for row in pooled(found, values, "detectable_biased_forgetting"):
        assert math.isnan(row.estimate.value)
        assert row.estimate.reason == "too few clusters or seeds to show any change"


def test_power_of_the_whole_and_of_groups_stands_in_rows() -> None:
    found = grouped(4, 20)
    rows = forgetting_rows(SUBJECT, found, answers(np.random.default_rng(0), len(found.design.clusters), 1), [0], FAST)
    value = {(row.metric, row.group): row.estimate.value for row in rows}
    assert 0 <= value["power_5", "g0"] <= value["power_10", "g0"] < value["power_10", ""] <= 1
    assert value["examples_needed", "g0"] > 60
    assert value["clusters_needed", "g0"] == pytest.approx(value["examples_needed", "g0"] / 3, abs=1)
    units = {row.metric: row.unit for row in rows}
    assert [units[metric] for metric in ("power_10", "examples_needed")] == ["share", "examples"]
