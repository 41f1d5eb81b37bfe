"""What one model answers: a row for each task, and for each group of a dimension."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.units import Unit, complete
from chaintune.records import Estimate, Scores
from chaintune.report.cells import Table, interval
from chaintune.stats import rates


@dataclass(frozen=True, slots=True)
class Scored:
    """Share of right answers; dimension and group are empty for the whole task."""

    dimension: str
    group: str
    accuracy: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; what is undefined is None."""
        numbers = asdict(self.accuracy).items()
        plain = {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in numbers}
        return {"dimension": self.dimension, "group": self.group, **plain}


def scored_rows(scores: Scores, by: Sequence[str] = ()) -> list[Scored]:
    """The whole task, then each group of the dimensions that the task has.

    Args:
        scores: of one model on one task.
        by: dimensions; one that the task lacks is passed over.
    """
    groups = grouping(scores, [dimension for dimension in by if dimension in scores.dimensions])
    values = complete(scores)
    unit = Unit.of(scores.metric, [values])
    means = (unit.level(estimate) for estimate in rates(groups.design, unit.inward(values)))
    return [Scored(*label, estimate) for label, estimate in zip(groups.labels, means, strict=True)]


def scored_tables(rows: Mapping[str, Sequence[Scored]]) -> list[Table]:
    """One table of all tasks, then one for each task and dimension.

    Args:
        rows: task -> its rows.
    """
    whole = [(task, *_cells(row)) for task, found in rows.items() for row in found if not row.dimension]
    note = "Share of right answers, with its 95 % interval."
    tables = [Table("Accuracy", note, ("task", "n", "clusters", "accuracy"), tuple(whole))]
    for task, found in rows.items():
        for dimension in dict.fromkeys(row.dimension for row in found if row.dimension):
            cells = tuple((row.group, *_cells(row)) for row in found if row.dimension == dimension)
            tables.append(Table(f"{task}: {dimension}", note, (dimension, "n", "clusters", "accuracy"), cells))
    return tables


def _cells(row: Scored) -> tuple[str, str, str]:
    return str(row.accuracy.n), str(row.accuracy.n_clusters), interval(row.accuracy, points=False)
