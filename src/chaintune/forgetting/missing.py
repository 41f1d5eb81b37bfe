"""What examples without a score could change of rows: forgetting, that of groups beside others, and differences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from chaintune.forgetting.bounds import (
    AT_ENDS,
    Apart,
    Ends,
    Incomplete,
    Place,
    both_ends,
    bounds_of_bias,
    bounds_of_change,
    disparities,
)
from chaintune.forgetting.grouping import Label
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import Subject
from chaintune.forgetting.runs import Runs
from chaintune.forgetting.verdicts import verdict
from chaintune.records import Checkpoint, Estimate, ResultRow
from chaintune.records.amounts import margin_in
from chaintune.records.results import LOWER_BOUND, UPPER_BOUND


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

    A group's biased forgetting has such bounds too, the lower one with the group at its best and all others at their
    worst. Its row has the interval from the lower end of the one to the upper end of the other, and its p-value shows a
    difference only where both do. A disparity has its least and its largest value, and no p-value.

    Args:
        rows: of the examples that have all scores; those without a verdict stay as they are, but for these two.
        subject: of the rows.
        incomplete: all examples; None where none lacks a score.
        seeds: of its values.
        options: how sure.
    """
    if incomplete is None:
        return list(rows)
    known = _Known.of(rows, subject, incomplete, seeds, options)
    told, behind = [], []
    for row in rows:
        if row.metric == "disparity":
            told.append(replace(row, estimate=known.spread(row)))
        elif apart := known.bias(row):
            told.append(replace(row, estimate=apart.estimate))
            behind += _behind(row, apart.ends)
        elif row.verdict and not math.isnan(row.estimate.low):
            ends, reason = known.change(row)
            margin = margin_in(row.unit, options.margin, row.margin)
            word = verdict(ends[0], upper=ends[1], margin=margin, level=options.level)
            told.append(replace(row, verdict=word, verdict_reason=reason))
            behind += _behind(replace(row, verdict=""), ends)
        else:
            told.append(row)
    return [*told, *behind]


def between_bounds(
    rows: Sequence[ResultRow],
    subject: Subject,
    incomplete: Incomplete | None,
    seeds: Sequence[int],
    options: Inference,
) -> list[ResultRow]:
    """Rows of differences that have no verdict, which missing scores do not make shown either.

    Each has the interval from the lower end of the one bound to the upper end of the other, and a p-value that shows a
    difference only where both bounds do. Where nothing bounds a score it has neither, and the reason.

    Args:
        rows: of the examples that have all scores.
        subject: of the rows.
        incomplete: all examples; None where none lacks a score.
        seeds: of its values.
        options: how sure.
    """
    if incomplete is None:
        return list(rows)
    known = _Known.of(rows, subject, incomplete, seeds, options)
    return [replace(row, estimate=known.difference(row)) for row in rows]


def _behind(row: ResultRow, ends: Ends) -> list[ResultRow]:
    return [
        replace(row, metric=f"{row.metric}{name}", estimate=estimate)
        for name, estimate in zip((LOWER_BOUND, UPPER_BOUND), ends, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known of changes where scores are missing; nothing where nothing bounds a score.

    Attributes:
        sizes: examples of each group, those without a score among them.
        complete: examples of the whole task that have all scores, by seed.
        changes: bounds of the change of the whole task and of each group.
        apart: of the biased forgetting of each group.
        spreads: disparity of each dimension by seed, at its least and its largest where a score is missing.
    """

    sizes: Mapping[Label, int]
    complete: Mapping[str, int]
    changes: Mapping[Place, Ends]
    apart: Mapping[Place, Apart]
    spreads: Mapping[tuple[str, str], Estimate]

    @classmethod
    def of(
        cls,
        rows: Sequence[ResultRow],
        subject: Subject,
        incomplete: Incomplete,
        seeds: Sequence[int],
        options: Inference,
    ) -> "_Known":
        """What the rows of a change ask for."""
        sizes = dict(zip(incomplete.groups.labels, incomplete.groups.design.n.tolist(), strict=True))
        complete = {row.seed: row.estimate.n for row in rows if row.verdict and row.is_whole}
        if not all(map(math.isfinite, subject.item_unit.metric.range)):
            return cls(sizes, complete, {}, {}, {})
        asked, bounds = {row.metric for row in rows}, bounds_of_change(subject, incomplete, seeds, options)
        bias = bounds_of_bias(subject, incomplete, seeds, options) if "biased_forgetting" in asked else {}
        spreads = disparities(subject, incomplete, seeds, bounds, options) if "disparity" in asked else {}
        return cls(sizes, complete, bounds, bias, spreads)

    def change(self, row: ResultRow) -> tuple[Ends, str]:
        """The bounds of a change, and why there are none."""
        label = (row.dimension, row.group)
        n = self.sizes[label]
        if n == row.estimate.n:
            return (row.estimate, row.estimate), ""
        if (row.seed, label) in self.changes:
            return self.changes[row.seed, label], ""
        reason = _no_bounds(n - row.estimate.n, n, row.unit)
        return (Estimate.undefined(reason, n=n),) * 2, reason

    def bias(self, row: ResultRow) -> Apart | None:
        """Biased forgetting with the interval from one bound to the other, or without one and with the reason.

        None of what is no biased forgetting, or has no interval in any case.
        """
        known, one = self.apart.get((row.seed, (row.dimension, row.group))), row.estimate
        if row.metric != "biased_forgetting" or math.isnan(one.value):
            return None
        if known is None and math.isnan(one.low):
            return None
        if known is None:
            own = self._open(row)
            return Apart(own, (replace(own, value=math.nan),) * 2)
        return Apart(_around(one, known.estimate), known.ends)

    def difference(self, row: ResultRow) -> Estimate:
        """A change, or biased forgetting, with the interval from one bound to the other, or the reason for none."""
        if apart := self.bias(row):
            return apart.estimate
        if math.isnan(row.estimate.low):
            return row.estimate
        ends, reason = self.change(row)
        if reason:
            return _without_interval(row.estimate, reason)
        return row.estimate if ends[0] == ends[1] else _around(row.estimate, both_ends(*ends))

    def spread(self, row: ResultRow) -> Estimate:
        """The disparity with its least and its largest value and no p-value, or with neither and the reason."""
        known = self.spreads.get((row.seed, row.dimension))
        if math.isnan(row.estimate.value):
            return row.estimate
        if known is None:
            return self._open(row)
        if math.isnan(known.low):
            return known
        reason = f"no interval and no p-value; least and largest where {AT_ENDS}"
        return replace(row.estimate, low=known.low, high=known.high, p_value=math.nan, method="", reason=reason)

    def _open(self, row: ResultRow) -> Estimate:
        n = self.sizes["", ""]
        return _without_interval(row.estimate, _no_bounds(n - self.complete.get(row.seed, 0), n, row.unit))


def _without_interval(one: Estimate, reason: str) -> Estimate:
    return Estimate(one.value, n=one.n, n_clusters=one.n_clusters, n_seeds=one.n_seeds, reason=reason)


def _around(one: Estimate, both: Estimate) -> Estimate:
    """The estimate with the interval and p-values of both bounds."""
    # What the examples with all scores say may lie beyond what all of them can have.
    low, high = min(both.low, one.value), max(both.high, one.value)
    ends = (math.nan, math.nan)
    if both.is_adjusted:
        ends = (min(both.low_adjusted, one.value), max(both.high_adjusted, one.value))
    return replace(
        one, low=low, high=high, low_adjusted=ends[0], high_adjusted=ends[1], p_value=both.p_value,
        p_adjusted=both.p_adjusted, method=both.method, reason="",
    )  # fmt: skip


def _no_bounds(left_out: int, n: int, unit: str) -> str:
    return f"{left_out} of {n} examples without a score, which in {unit or 'this unit'} has no bounds"
