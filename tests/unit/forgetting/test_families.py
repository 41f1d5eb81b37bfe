"""Whole tasks as one family: error rate over several tasks, intervals that follow the verdicts, and what is told."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from chaintune.forgetting import summarise
from chaintune.forgetting.changes import by_dimension
from chaintune.forgetting.families import Ends, over_tasks, whole_ends
from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import Subject, with_verdict
from chaintune.records import Checkpoint, CheckpointScores, ResultRow, RowKey, Scores, pooled
from chaintune.records.series import series_pairs
from chaintune.report.comparison import comparison_json
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from chaintune.report.words import summary
from chaintune.stats import Adjustment, Sample, adjust, means, own_means
from tests import synthetic
from tests.synthetic import compare_all

TASKS, N = 10, 300
GROUPS = Grouping((("", ""),), synthetic.design(list(range(N))))
OPTIONS = Inference(resamples=199)


def tasks(number: int, *, lost: float = 0.1, options: Inference = OPTIONS) -> tuple[list[ResultRow], list[ResultRow]]:
    """Rows of ten tasks of 300 items; 10 % were learned, a share forgotten; each by itself, and all as a family."""
    rows: list[ResultRow] = []
    ends: dict[tuple[RowKey, str], Ends] = {}
    for task in range(TASKS):
        values = synthetic.changes(np.random.default_rng([number, task]), N, lost if task < 3 else 0.1, 0.1)
        subject = Subject("", Checkpoint(""), "before", f"t{task}")
        estimate = means(Sample.of(GROUPS.design, values, resamples=options.resamples))[0]
        rows.append(with_verdict(subject.row("forgetting", "0", estimate), options))
        ends[rows[-1].key, "0"] = whole_ends(subject.item_unit, GROUPS, values[np.newaxis], [0], options)["0"]
    return rows, over_tasks(rows, ends, options)


def is_moved(rows: list[ResultRow]) -> bool:
    return any(row.verdict in ("forgot", "gained") for row in rows)


def test_of_ten_tasks_without_a_loss_some_one_is_called_lost_in_5_percent() -> None:
    count = 60
    alone, together = np.mean([[is_moved(rows) for rows in tasks(number)] for number in range(count)], axis=0)
    # The standard error of a share of 5 % of 60 is 2.8 points.
    assert together <= 0.05 + 3 * 0.028
    assert alone > 0.2


def test_of_series_without_any_change_some_verdict_is_wrong_in_5_percent() -> None:
    """Five checkpoints, so 7 pairs: of the whole task, and of four groups, in one family each."""
    count, size = 60, 120
    groups = [f"g{number}" for number in range(4)]
    design = synthetic.design(list(range(size)), [[number % 4] for number in range(size)], n_groups=4)
    grouped = Grouping((("", ""), *(("kind", name) for name in groups)), design)
    pairs = series_pairs([str(place) for place in range(5)])
    options = Inference(resamples=199, pairs=len(pairs))
    shown = []
    for number in range(count):
        right = (np.random.default_rng(number).random((5, size)) < 0.8).astype(float)
        rows: list[ResultRow] = []
        ends: dict[tuple[RowKey, str], Ends] = {}
        for start, end in pairs:
            change = right[int(start)] - right[int(end)]
            subject = Subject("", Checkpoint("", variant=(("to", end),)), start, "t")
            sample = Sample.of(design, change, resamples=options.resamples)
            estimates = by_dimension(grouped, sample, own_means(sample), options)
            rows += [
                subject.row("forgetting", "0", one, label) for one, label in zip(estimates, grouped.labels, strict=True)
            ]
            ends[rows[-1].key, "0"] = whole_ends(subject.item_unit, grouped, change[np.newaxis], [0], options)["0"]
        rows = over_tasks([with_verdict(row, options) for row in rows], ends, options)
        uncorrected = min(row.estimate.p_value for row in rows) <= 0.05
        shown.append(
            [is_moved([row for row in rows if row.is_whole is whole]) for whole in (True, False)] + [uncorrected]
        )
    whole, of_groups, alone = np.mean(shown, axis=0)
    # The standard error of a share of 5 % of 60 is 2.8 points.
    assert whole <= 0.05 + 2 * 0.028
    assert of_groups <= 0.05 + 2 * 0.028
    assert alone > 0.5


@pytest.mark.parametrize("method", ["minp", "bh"])
def test_intervals_of_tasks_leave_out_0_exactly_where_a_change_is_shown(method: Adjustment) -> None:
    shown = 0
    for number in range(15):
        alone, together = tasks(number, lost=0.2, options=replace(OPTIONS, adjust=method))
        p_values = np.array([row.estimate.p_value for row in alone])
        corrected = [row.estimate.p_adjusted for row in together]
        assert corrected == pytest.approx(adjust(p_values, "bh" if method == "bh" else "holm"))
        for row, other in zip(alone, together, strict=True):
            low, high = other.estimate.limits
            assert (low > 0 or high < 0) == other.estimate.is_shown(0.95)
            assert (low <= other.estimate.low) & (high >= other.estimate.high)
            assert replace(other.estimate, low_adjusted=math.nan, high_adjusted=math.nan).limits == row.estimate.limits
            assert other.family == "forgetting of 10 tasks"
            shown += other.verdict == "forgot"
    assert shown > 5


def test_what_could_not_be_shown_is_not_shown_by_a_correction() -> None:
    alone, together = tasks(1, lost=0.3)
    assert [row.verdict for row in together[:3]] == ["forgot"] * 3
    options, ends = OPTIONS, {(row.key, row.seed): (lambda _level: (0.01, 0.3)) for row in alone}
    silent = [replace(row, verdict="inconclusive", verdict_reason="at chance") for row in alone]
    assert {row.verdict for row in over_tasks(silent, ends, options)} == {"inconclusive"}


def answers(task: str, number: int, right: float) -> Scores:
    rng = np.random.default_rng([number, len(task)])
    return synthetic.scores((rng.random(N) < right).tolist(), task=task, noise=number)


def test_several_tasks_of_a_comparison_are_a_family_that_the_report_and_the_json_name() -> None:
    before, after = ([answers(task, side, 0.9 - 0.07 * side) for task in ("t", "tt", "ttt")] for side in (0, 1))
    comparisons = compare_all(before, after, resamples=200)
    alone = compare_all(before[0], after[0], resamples=200)[0]
    assert comparisons[0].overall.forgetting.p_value == alone.overall.forgetting.p_value
    one = min((comparison.overall for comparison in comparisons), key=lambda row: row.forgetting.p_value)
    assert one.forgetting.p_adjusted == pytest.approx(3 * one.forgetting.p_value)
    assert math.isnan(alone.overall.forgetting.p_adjusted)
    assert (alone.overall.forgetting_family, one.forgetting_family) == ("", "forgetting of 3 tasks")
    assert "Holm over 3 tasks" in one.forgetting.method
    content = [one["overall"] for one in json.loads(comparison_json(comparisons))["comparisons"]]
    assert {row["forgetting_family"] for row in content} == {"forgetting of 3 tasks"}
    assert min(row["forgetting"]["low_adjusted"] - row["forgetting"]["low"] for row in content) < 0
    results = Results.of(comparisons)
    assert "corrected over tasks as one family: forgetting of 3 tasks" in summary(results)
    assert "adjusted CI" in summary(results)
    assert "corrected over tasks as one family: forgetting of 3 tasks" in result_tables(results)[0].note
    assert "family" not in summary(Results.of([alone]))


def test_tasks_of_a_checkpoint_are_a_family_and_those_of_another_are_not() -> None:
    chains = ((), ("s",), ("s", "c"), ("s", "c", "d"))
    measured = [
        CheckpointScores(
            synthetic.checkpoint(*chain, seed=seed),
            {task: answers(task * 3, 10 * len(chain) + seed, 0.9 - 0.1 * len(chain)) for task in "scd"},
        )
        for chain in chains
        for seed in (0, 1)
    ]
    rows = summarise(
        measured, study="made-up", roles={"s": "safety", "c": "capability", "d": "capability"}, resamples=200
    )
    lost = [row for row in rows if row.metric == "forgetting" and row.is_whole]
    families = {(row.chain, row.seed): row.family for row in lost}
    assert families["s>c", "0"] == families["s>c", "all"] == ""
    assert families["s>c>d", "0"] == families["s>c>d", "all"] == "forgetting of 2 tasks"
    for row in (row for row in lost if row.family):
        assert row.estimate.p_adjusted >= row.estimate.p_value
        low, high = row.estimate.limits
        assert (low > 0 or high < 0) == row.estimate.is_shown(0.95)
    results = Results("x", pooled(rows), 0.95)
    assert "corrected over the tasks of each checkpoint: forgetting of 2 tasks" in summary(results)
