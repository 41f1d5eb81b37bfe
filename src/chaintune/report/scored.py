"""What one model answers: a row for each task, and for each group of a dimension."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chaintune.forgetting.chance import answers_of
from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import mean_scores
from chaintune.forgetting.units import Unit
from chaintune.records import Answers, Estimate, ResultRow, Scores
from chaintune.records.amounts import plain
from chaintune.records.metrics import Direction
from chaintune.records.scales import levels_in_tables
from chaintune.report.answers import ANSWERS_HEADER, answers_cells, remarks
from chaintune.report.cells import Table, metric_notes
from chaintune.report.outcomes import outcome_table


@dataclass(frozen=True, slots=True)
class Scored:
    """Mean score, a share of right answers where no other unit is; dimension and group are empty for the whole task."""

    dimension: str
    group: str
    accuracy: Estimate
    unit: str
    answers: Answers
    item_metric: str = ""
    direction: Direction = "more"

    def as_result(self, task: str) -> ResultRow:
        """The same as a row of results."""
        about = ("", "", "", "", 0, "", task, "accuracy", self.dimension, self.group, "")
        row = ResultRow(*about, self.accuracy, item_metric=self.item_metric, unit=self.unit, answers=self.answers)
        return replace(row, direction=self.direction)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; what is undefined is None."""
        own = {name: getattr(self, name) for name in ("dimension", "group", "unit", "item_metric", "direction")}
        numbers: dict[str, Any] = plain(self.accuracy) | plain(self.answers)
        return own | numbers


def scored_rows(scores: Scores, by: Sequence[str] = ()) -> list[Scored]:
    """The whole task, then each group of the dimensions that the task has; examples without a score are left out.

    Args:
        scores: of one model on one task.
        by: dimensions; one that the task lacks is passed over.
    """
    every = scores
    scores = scores.with_scores()
    groups = grouping(scores, [dimension for dimension in by if dimension in scores.dimensions])
    values = scores.item_scores()
    unit = Unit.of(scores.metric, [values])
    options = Inference()
    means = mean_scores(groups, unit.inward(values)[np.newaxis], unit, options)
    own_dimensions = [dimension for dimension in by if dimension in every.dimensions]
    answers = answers_of([scores], groups, ([every], grouping(every, own_dimensions)))
    return [
        Scored(*label, unit.level(mean), scores.metric.unit, own, scores.metric.name, scores.metric.direction)
        for label, mean, own in zip(groups.labels, means, answers, strict=True)
    ]


def scored_tables(rows: Mapping[str, Sequence[Scored]]) -> list[Table]:
    """One table of all tasks, then one for each task and dimension.

    Args:
        rows: task -> its rows.
    """
    whole = [(task, row) for task, means in rows.items() for row in means if not row.dimension]
    notes = metric_notes({task: row.as_result(task) for task, row in whole})
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


def _table(title: str, first: str, rows: Sequence[tuple[str, Scored]], notes: Sequence[str] = ()) -> Table:
    shares = all(row.as_result("").is_accuracy for _, row in rows)
    name = "accuracy" if shares else "score"
    what = "Share of right answers" if shares else "Mean score, a share of right answers where nothing else is named"
    note = " ".join([f"{what}, with its 95 % interval.", *notes])
    header = (first, "n", "clusters", name, *ANSWERS_HEADER)
    return Table(title or name.capitalize(), note, header, tuple((called, *_cells(row)) for called, row in rows))


def _cells(row: Scored) -> tuple[str, ...]:
    mean = levels_in_tables(row.unit).short(row.accuracy, named=True)
    return (str(row.accuracy.n), str(row.accuracy.n_clusters), mean, *answers_cells([row.answers], row.unit))
