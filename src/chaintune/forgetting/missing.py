"""What examples without a score could change: forgetting with each at its best and at its worst.

Source: Manski (1990), "Nonparametric bounds on treatment effects".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from chaintune.forgetting.changes import by_dimension
from chaintune.forgetting.grouping import Grouping, Label
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import Subject, by_seed
from chaintune.forgetting.runs import Runs
from chaintune.forgetting.verdicts import verdict
from chaintune.records import Checkpoint, Estimate, ResultRow
from chaintune.records.amounts import margin_in
from chaintune.records.results import LOWER_BOUND, UPPER_BOUND
from chaintune.stats import Sample, own_means
from chaintune.stats.clusters import Floats


@dataclass(frozen=True, eq=False)
class Incomplete:
    """All examples of two checkpoints, some of which lack a score under one of them or both.

    Attributes:
        groups: of the examples.
        before, after: values from 0, the worst, to 1, the best, a row for each seed; NaN where there is no score.

    Shape: before, after `[S, E]`.
    """

    groups: Grouping
    before: Floats
    after: Floats

    def extremes(self) -> tuple[Floats, Floats]:
        """The smallest and the largest change, before minus after, that each example can have. Shape: `[S, E]` each."""
        least, most = (
            np.nan_to_num(self.before, nan=worst) - np.nan_to_num(self.after, nan=best)
            for worst, best in ((0.0, 1.0), (1.0, 0.0))
        )
        return least, most


def incomplete_between(
    runs: Runs, sides: tuple[Sequence[Checkpoint], Sequence[Checkpoint]], seeds: Sequence[int], task: str
) -> Incomplete | None:
    """All examples of a task under two conditions, one a seed each; None where none was left out."""
    if task not in runs.every_group:
        return None
    return Incomplete(runs.every_group[task], *(runs.every_stacked(own, seeds, task) for own in sides))


def with_bounds(
    rows: Sequence[ResultRow],
    subject: Subject,
    incomplete: Incomplete | None,
    seeds: Sequence[int],
    options: Inference,
) -> list[ResultRow]:
    """Rows of a change with verdicts that missing scores cannot turn, and behind them the bounds that these rest on.

    A row `forgetting_lower_bound` is the forgetting with every example at the best score it may have had after and the
    worst before, `forgetting_upper_bound` the other way round, each with its interval. A loss is shown by the lower
    bound, that it was kept or gained by the upper. A group of which no example was left out keeps its own estimate as
    both; where nothing bounds a score, any other is inconclusive.

    Args:
        rows: of the examples that have all scores; those without a verdict stay as they are.
        subject: of the rows.
        incomplete: all examples; None where none lacks a score.
        seeds: of its values.
        options: how sure.
    """
    if incomplete is None:
        return list(rows)
    bounds = _bounds(subject, incomplete, seeds, options)
    sizes = dict(zip(incomplete.groups.labels, incomplete.groups.design.n.tolist(), strict=True))
    judged, behind = [], []
    for row in rows:
        if not row.verdict or math.isnan(row.estimate.low):
            judged.append(row)
            continue
        label, reason = (row.dimension, row.group), ""
        n = round(sizes[label])
        if n == row.estimate.n:
            known = (row.estimate, row.estimate)
        elif (row.seed, label) in bounds:
            known = bounds[row.seed, label]
        else:  # nothing bounds a score
            left_out = f"{n - row.estimate.n} of {n} examples without a score"
            reason = f"{left_out}, which in {row.unit or 'this unit'} has no bounds"
            known = (Estimate.undefined(reason, n=n),) * 2
        lower, upper = (
            replace(row, metric=f"{row.metric}{name}", estimate=estimate, verdict="")
            for name, estimate in zip((LOWER_BOUND, UPPER_BOUND), known, strict=True)
        )
        margin = margin_in(row.unit, options.margin, row.margin)
        word = verdict(known[0], upper=known[1], margin=margin, level=options.level)
        judged.append(replace(row, verdict=word, verdict_reason=reason))
        behind += [lower, upper]
    return [*judged, *behind]


def _bounds(
    subject: Subject, incomplete: Incomplete, seeds: Sequence[int], options: Inference
) -> dict[tuple[str, Label], tuple[Estimate, Estimate]]:
    """Both bounds of the whole task and of every group, of each seed and of all; none where nothing bounds a score."""
    unit, groups = subject.item_unit, incomplete.groups
    if not all(map(math.isfinite, unit.metric.range)):
        return {}
    bounds = {}
    for seed, positions in by_seed(seeds):
        ends = []
        for values in incomplete.extremes():
            sample = Sample.of(groups.design, values[positions], resamples=options.resamples, seed=options.seed)
            estimates = by_dimension(groups, sample, own_means(sample), options)
            ends.append([unit.difference(estimate) for estimate in estimates])
        for label, lower, upper in zip(groups.labels, *ends, strict=True):
            bounds[seed, label] = (lower, upper)
    return bounds
