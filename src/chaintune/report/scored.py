"""What one model answers: a row for each task, and for each group of a dimension."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import mean_scores
from chaintune.forgetting.units import Unit
from chaintune.records import Estimate, Scores
from chaintune.records.scales import is_share, levels_in_tables
from chaintune.report.cells import Table


@dataclass(frozen=True, slots=True)
class Scored:
    """Mean score, a share of right answers where no other unit is; dimension and group are empty for the whole task."""

    dimension: str
    group: str
    accuracy: Estimate
    unit: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; what is undefined is None."""
        numbers = asdict(self.accuracy).items()
        plain = {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in numbers}
        return {"dimension": self.dimension, "group": self.group, "unit": self.unit, **plain}


def scored_rows(scores: Scores, by: Sequence[str] = ()) -> list[Scored]:
    """The whole task, then each group of the dimensions that the task has; examples without a score are left out.

    Args:
        scores: of one model on one task.
        by: dimensions; one that the task lacks is passed over.
    """
    scores = scores.with_scores()
    groups = grouping(scores, [dimension for dimension in by if dimension in scores.dimensions])
    values = scores.item_scores()
    unit = Unit.of(scores.metric, [values])
    means = mean_scores(groups, unit.inward(values)[np.newaxis], unit, Inference())
    return [
        Scored(*label, unit.level(mean), scores.metric.unit) for label, mean in zip(groups.labels, means, strict=True)
    ]


def scored_tables(rows: Mapping[str, Sequence[Scored]]) -> list[Table]:
    """One table of all tasks, then one for each task and dimension.

    Args:
        rows: task -> its rows.
    """
    whole = [((task, *_cells(row)), row.unit) for task, means in rows.items() for row in means if not row.dimension]
    tables = [_table("", "task", whole)]
    for task, means in rows.items():
        for dimension in dict.fromkeys(row.dimension for row in means if row.dimension):
            cells = [((row.group, *_cells(row)), row.unit) for row in means if row.dimension == dimension]
            tables.append(_table(f"{task}: {dimension}", dimension, cells))
    return tables


def _table(title: str, first: str, rows: Sequence[tuple[tuple[str, ...], str]]) -> Table:
    shares = all(is_share(unit) for _, unit in rows)
    name = "accuracy" if shares else "score"
    what = "Share of right answers" if shares else "Mean score, a share of right answers where no unit is named"
    cells = tuple(row for row, _ in rows)
    return Table(title or name.capitalize(), f"{what}, with its 95 % interval.", (first, "n", "clusters", name), cells)


def _cells(row: Scored) -> tuple[str, str, str]:
    mean = levels_in_tables(row.unit).short(row.accuracy, named=True)
    return str(row.accuracy.n), str(row.accuracy.n_clusters), mean
