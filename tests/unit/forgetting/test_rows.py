"""Rows of several seeds: the detectable change is one that is shown."""

import math

import numpy as np
import pytest

from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import Subject, forgetting_rows
from chaintune.records import ResultRow
from chaintune.stats import Sample, adjusted, biased
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
    rng = np.random.default_rng(seeds)
    found = grouped(groups, clusters)
    n, first = len(found.design.clusters), found.design.members[:, [1]].toarray()[:, 0] > 0
    told = [
        row.estimate.value
        for _ in range(3)
        for row in pooled(found, answers(rng, n, seeds), "detectable_biased_forgetting")
    ]
    least = float(np.median(told)) / (1 - 1 / groups)
    shown = []
    for _ in range(40):
        values = answers(rng, n, seeds)
        turned = first & (rng.random(n) < least / 0.7)
        planted = np.where(turned & (values == 0), 1.0, values)
        estimates = adjusted(biased(Sample.of(found.design, planted, resamples=FAST.resamples))[1:], "holm")
        shown.append(estimates[0].p_adjusted <= 0.05)
    assert np.mean(shown) > 0.65


def test_two_seeds_of_many_groups_can_show_nothing_and_say_why() -> None:
    found = grouped(11, 8)
    values = answers(np.random.default_rng(0), len(found.design.clusters), 2)
    for row in pooled(found, values, "detectable_biased_forgetting"):
        assert math.isnan(row.estimate.value)
        assert row.estimate.reason == "too few clusters or seeds to show any change"
