"""Pairs of curvature and forgetting, made by hand."""

import math
from dataclasses import replace

import polars as pl
import pytest
from scipy.stats import spearmanr

from chaintune.forgetting.options import Inference
from chaintune.forgetting.sharpness import PAIRS_SCHEMA, sharpness_pairs, sharpness_rows
from chaintune.records import CheckpointCurvature, Curvature, Estimate, ResultRow
from tests import synthetic

LR = (("lr", "1"),)
RADII = [5.0, 1.0, 3.0, 4.0, 2.0]
LOST = [0.2, 0.0, 0.3, 0.4, 0.1]


def bent(task: str, seed: int, radius: float) -> CheckpointCurvature:
    found = Curvature(task, "full", radius, radius, -1.0, 0.0, 0.0, (), 1.0, 0.1, 8, 4, 16, 100, 20, 1.0, 0)
    return CheckpointCurvature(synthetic.checkpoint(task, base="tiny", variant=LR, seed=seed), found)


def lost(chain: str, seed: int, value: float, *, stage: int = 2, reference: str = "a", group: str = "") -> ResultRow:
    estimate = Estimate(value, value - 0.1, value + 0.1, n=50)
    dimension = "side" if group else ""
    return ResultRow(
        "s", "tiny", chain, "lr=1", stage, reference, reference, "forgetting", dimension, group, str(seed), estimate,
        reference_keys=(synthetic.checkpoint(reference, base="tiny", variant=LR, seed=seed).key,),
    )  # fmt: skip


def test_a_pair_joins_a_checkpoint_with_what_the_next_stage_alone_made_of_it() -> None:
    rows = [
        lost("a>b", 0, 0.25),
        lost("a>b", 0, 0.9, group="left"),
        replace(lost("a>b", 0, 0.4), item_metric="accuracy_per_byte", deciding=False),
        lost("a>b>c", 0, 0.8, stage=3),
        lost("a>c", 0, 0.5),
        lost("a>b", 1, 0.7),
        lost("b>a", 0, 0.6, reference="b"),
        lost("a>b with a@10%", 0, 0.1),
        replace(lost("a>b with a@10%", 0, 0.9), metric="recovery", mitigation="rehearse"),
    ]
    pairs = sharpness_pairs([bent("a", 0, 3.0)], rows)
    assert pairs.schema == PAIRS_SCHEMA
    assert pairs.select("chain", "seed", "radius", "forgetting").rows() == [
        ("a>b", "0", 3.0, 0.25),
        ("a>c", "0", 3.0, 0.5),
    ]
    assert pairs["forgetting_low"].to_list() == pytest.approx([0.15, 0.4])


def test_correlation_for_each_task_and_for_all() -> None:
    measured = [bent(task, seed, radius) for task in "ab" for seed, radius in enumerate(RADII)]
    rows = [lost("a>b", seed, value) for seed, value in enumerate(LOST)]
    rows += [lost("b>a", seed, -value, reference="b") for seed, value in enumerate(LOST)]
    pairs = sharpness_pairs(measured, rows)
    found = sharpness_rows(measured, pairs, study="s", options=Inference(resamples=1000))
    own = [row for row in found if row.metric == "curvature"]
    assert [row.estimate.value for row in own] == RADII * 2
    assert all(row.estimate.reason.startswith("no interval") for row in own)
    by_task = {row.task: row.estimate for row in found if row.metric == "curvature_forgetting_correlation"}
    assert by_task["a"].value == pytest.approx(spearmanr(RADII, LOST).statistic)
    assert by_task["b"].value == pytest.approx(-by_task["a"].value)
    assert by_task[""].n == 10
    assert abs(by_task[""].value) < 0.1
    assert by_task["a"].low < by_task["a"].value < by_task["a"].high


def test_nothing_measured_gives_an_empty_table() -> None:
    pairs = sharpness_pairs([], [lost("a>b", 0, 0.1)])
    assert pairs.is_empty()
    assert pairs.schema == pl.Schema(PAIRS_SCHEMA)
    assert sharpness_rows([], pairs, study="s", options=Inference(resamples=100)) == []


def test_an_undefined_curvature_is_told() -> None:
    measured = [bent("a", seed, math.nan if seed == 2 else 1.0 + seed) for seed in range(5)]
    pairs = sharpness_pairs(measured, [lost("a>b", seed, value) for seed, value in enumerate(LOST)])
    (found,) = [
        row.estimate
        for row in sharpness_rows(measured, pairs, study="s", options=Inference(resamples=100))
        if row.metric == "curvature_forgetting_correlation"
    ]
    assert math.isnan(found.value)
    assert "undefined" in found.reason
    assert found.n == 5
