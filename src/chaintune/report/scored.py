"""What one model answers: a row for each task, and for each group of a dimension."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chaintune.forgetting.chance import answers_of
from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import mean_scores
from chaintune.forgetting.units import Unit
from chaintune.records import ResultRow, Scores
from chaintune.records.amounts import plain
from chaintune.records.scales import levels_in
from chaintune.report.answers import ANSWERS_HEADER, answers_cells, remarks
from chaintune.report.cells import Table, metric_notes
from chaintune.report.outcomes import outcome_table


def scored_rows(scores: Scores, by: Sequence[str] = ()) -> list[ResultRow]:
    """The whole task, then each group of the dimensions that the task has; examples without a score are left out."""
    every = scores
    scores = scores.with_scores()
    groups = grouping(scores, [dimension for dimension in by if dimension in scores.dimensions])
    values = scores.item_scores()
    unit = Unit.of(scores.metric, [values])
    options = Inference()
    means = mean_scores(groups, unit.inward(values)[np.newaxis], unit, options)
    own_dimensions = [dimension for dimension in by if dimension in every.dimensions]
    answers = answers_of([scores], groups, ([every], grouping(every, own_dimensions)))
    metric, about = scores.metric, ("", "", "", "", 0, "", scores.task, "accuracy")
    facts: dict[str, Any] = {"item_metric": metric.name, "unit": metric.unit, "direction": metric.direction}
    return [
        ResultRow(*about, *label, "", unit.level(mean), answers=own, **facts)
        for label, mean, own in zip(groups.labels, means, answers, strict=True)
    ]


def scored_json(row: ResultRow) -> dict[str, Any]:
    """What one model answers of a row, as `chaintune score --json` prints it; what is undefined is None."""
    own = {name: getattr(row, name) for name in ("dimension", "group", "unit", "item_metric", "direction")}
    numbers: dict[str, Any] = plain(row.estimate) | plain(row.answers)
    return own | numbers


def scored_tables(rows: Mapping[str, Sequence[ResultRow]]) -> list[Table]:
    """One table of all tasks, then one for each task and dimension."""
    whole = [(task, row) for task, means in rows.items() for row in means if not row.dimension]
    notes = metric_notes(dict(whole))
    notes += [text for task, row in whole for text in remarks(task, row.answers)]
    tables = [_table("", "task", whole, notes)]
    for task, means in rows.items():
        answered = [(f"{row.dimension}: {row.group}" if row.dimension else "the whole", row.answers) for row in means]
        known = [((name,), answers) for name, answers in answered if answers.outcomes]
        tables += [outcome_table(f"Answers to {task}", ("group",), known)] if known else []
        for dimension in dict.fromkeys(row.dimension for row in means if row.dimension):
            groups = [(row.group, row) for row in means if row.dimension == dimension]
            tables.append(_table(f"{task}: {dimension}", dimension, groups))
    return tables


def _table(title: str, first: str, rows: Sequence[tuple[str, ResultRow]], notes: Sequence[str] = ()) -> Table:
    shares = all(row.is_accuracy for _, row in rows)
    name = "accuracy" if shares else "score"
    what = "Share of right answers" if shares else "Mean score, a share of right answers where nothing else is named"
    note = " ".join([f"{what}, with its 95 % interval.", *notes])
    header = (first, "n", "clusters", name, *ANSWERS_HEADER)
    lines = tuple((called, *_cells(row)) for called, row in rows)
    return Table(title or name.capitalize(), note, header, lines).without_empty(ANSWERS_HEADER)


def _cells(row: ResultRow) -> tuple[str, ...]:
    mean = levels_in(row.unit).short(row.estimate, named=True)
    return (str(row.estimate.n), str(row.estimate.n_clusters), mean, *answers_cells([row.answers], row.unit))
