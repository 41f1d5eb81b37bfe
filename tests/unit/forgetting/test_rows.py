"""Rows of several seeds: the detectable change is one that is shown."""

import math

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
    # Four in five, less two and a half standard errors of 16 data sets.
    assert power.value > 0.55


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
