"""What examples without a score could change: forgetting, and that of groups beside others, at best and at worst.

Source: Manski (1990), "Nonparametric bounds on treatment effects".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from chaintune.forgetting.changes import by_dimension, comparable_columns, dimension_disparity
from chaintune.forgetting.grouping import Grouping, Label
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import Subject, by_seed
from chaintune.forgetting.runs import Runs
from chaintune.forgetting.verdicts import verdict
from chaintune.records import Checkpoint, Estimate, ResultRow
from chaintune.records.amounts import margin_in
from chaintune.records.results import LOWER_BOUND, UPPER_BOUND
from chaintune.stats import Sample, biased, own_means
from chaintune.stats.clusters import MANY_GROUPS, Floats
from chaintune.stats.families import judged
from chaintune.stats.multiplicity import Adjustment, correct

Ends = tuple[Estimate, Estimate]
Place = tuple[str, Label]  # seed, and dimension and group

_AT_ENDS = "what lacks a score is at its best and at its worst"


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

    def apart(self, column: int) -> tuple[Floats, Floats]:
        """The changes that bring a group as far below the others as can be, and as far above. Shape: `[S, E]` each."""
        (least, most), inside = self.extremes(), self.groups.design.columns[:, [column]].toarray()[:, 0] > 0
        return np.where(inside, least, most), np.where(inside, most, least)


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


def _behind(row: ResultRow, ends: Ends) -> list[ResultRow]:
    return [
        replace(row, metric=f"{row.metric}{name}", estimate=estimate)
        for name, estimate in zip((LOWER_BOUND, UPPER_BOUND), ends, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class _Apart:
    """Biased forgetting of a group where scores are missing: what is told of it, and its bounds."""

    estimate: Estimate
    ends: Ends


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
    apart: Mapping[Place, _Apart]
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
        asked, bounds = {row.metric for row in rows}, _bounds(subject, incomplete, seeds, options)
        bias = _bounds_of_bias(subject, incomplete, seeds, options) if "biased_forgetting" in asked else {}
        spreads = _spreads(subject, incomplete, seeds, bounds, options) if "disparity" in asked else {}
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

    def bias(self, row: ResultRow) -> _Apart | None:
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
            return _Apart(own, (replace(own, value=math.nan),) * 2)
        both = known.estimate
        # What the examples with all scores say may lie beyond what all of them can have.
        low, high = min(both.low, one.value), max(both.high, one.value)
        ends = (math.nan, math.nan)
        if both.is_adjusted:
            ends = (min(both.low_adjusted, one.value), max(both.high_adjusted, one.value))
        told = replace(
            one, low=low, high=high, low_adjusted=ends[0], high_adjusted=ends[1], p_value=both.p_value,
            p_adjusted=both.p_adjusted, method=both.method, reason="",
        )  # fmt: skip
        return _Apart(told, known.ends)

    def spread(self, row: ResultRow) -> Estimate:
        """The disparity with its least and its largest value and no p-value, or with neither and the reason."""
        known = self.spreads.get((row.seed, row.dimension))
        if math.isnan(row.estimate.value):
            return row.estimate
        if known is None:
            return self._open(row)
        if math.isnan(known.low):
            return known
        reason = f"no interval and no p-value; least and largest where {_AT_ENDS}"
        return replace(row.estimate, low=known.low, high=known.high, p_value=math.nan, method="", reason=reason)

    def _open(self, row: ResultRow) -> Estimate:
        n = self.sizes["", ""]
        reason, one = _no_bounds(n - self.complete.get(row.seed, 0), n, row.unit), row.estimate
        return Estimate(one.value, n=one.n, n_clusters=one.n_clusters, n_seeds=one.n_seeds, reason=reason)


def _no_bounds(left_out: int, n: int, unit: str) -> str:
    return f"{left_out} of {n} examples without a score, which in {unit or 'this unit'} has no bounds"


def _bounds(subject: Subject, incomplete: Incomplete, seeds: Sequence[int], options: Inference) -> dict[Place, Ends]:
    """Both bounds of the whole task and of every group, of each seed and of all."""
    unit, groups = subject.item_unit, incomplete.groups
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


def _bounds_of_bias(
    subject: Subject, incomplete: Incomplete, seeds: Sequence[int], options: Inference
) -> dict[Place, _Apart]:
    """Both bounds of each group's biased forgetting, of each seed and of all; of no more than `MANY_GROUPS`."""
    groups, unit = incomplete.groups, subject.item_unit
    known: dict[Place, _Apart] = {}
    for dimension in groups.dimensions:
        columns = groups.columns(dimension)
        if len(columns) > MANY_GROUPS:
            continue
        beside = [_BesideOthers.of(incomplete, column, options) for column in columns]
        for seed, positions in by_seed(seeds):
            several = [one.at(positions) for one in beside]
            for column, one in zip(columns, _corrected(several, options), strict=True):
                if one is not None:
                    lower, upper = one.ends
                    ends = (unit.difference(lower), unit.difference(upper))
                    known[seed, groups.labels[column]] = _Apart(unit.difference(one.estimate), ends)
    return known


@dataclass(frozen=True, eq=False)
class _BesideOthers:
    """A group beside the whole task, as far below the others as can be and as far above."""

    samples: tuple[Sample, Sample]
    options: Inference

    @classmethod
    def of(cls, incomplete: Incomplete, column: int, options: Inference) -> "_BesideOthers":
        """Of a column of the groups."""
        design, (low, high) = incomplete.groups.design.with_whole(column), incomplete.apart(column)
        samples = (Sample.of(design, own, resamples=options.resamples, seed=options.seed) for own in (low, high))
        return cls((next(samples), next(samples)), options)

    def at(self, positions: Sequence[int]) -> "_BesideOthers":
        """The same of some seeds."""
        lower, upper = (replace(one, by_seed=one.by_seed[positions]) for one in self.samples)
        return replace(self, samples=(lower, upper))

    def ends(self, level: float) -> Ends:
        """Biased forgetting at both bounds."""
        lower, upper = (biased(one, level=level, reference=self.options.reference)[1] for one in self.samples)
        return lower, upper


def _corrected(several: Sequence[_BesideOthers], options: Inference) -> list[_Apart | None]:
    """The groups of a dimension, corrected as one family; None of those that have no interval.

    Every group is filled in otherwise, so there are no joint draws, and step-down minP is replaced by Holm.
    """
    level = options.level
    method: Adjustment = "bh" if options.adjust == "bh" else "holm"
    plain = [one.ends(level) for one in several]
    p_values = np.array([_agreed(*ends) for ends in plain])
    made = correct(p_values, method, error_rate=(1 - level) / options.pairs)
    known: list[_Apart | None] = []
    for one, ends, p_value, adjusted, rate in zip(
        several, plain, p_values.tolist(), made.p_adjusted.tolist(), made.error_rates.tolist(), strict=True
    ):
        if math.isnan(p_value):
            known.append(None)
            continue
        lower, upper = ends
        both = replace(lower, high=upper.high, p_value=p_value, method=f"{lower.method}; {_AT_ENDS}")
        strict = one.ends(1 - rate)
        limits = (strict[0].low, strict[1].high)
        both = judged(both, min(options.pairs * adjusted, 1.0), limits, level=level)
        known.append(_Apart(both, ends))
    return known


def _agreed(lower: Estimate, upper: Estimate) -> float:
    """The p-value of a difference that both bounds have on one side; 1 where they do not, NaN without an interval."""
    if math.isnan(lower.low) or math.isnan(upper.low):
        return math.nan
    return lower.p_value if lower.value > 0 else upper.p_value if upper.value < 0 else 1.0


def _spreads(
    subject: Subject,
    incomplete: Incomplete,
    seeds: Sequence[int],
    bounds: Mapping[Place, Ends],
    options: Inference,
) -> dict[tuple[str, str], Estimate]:
    """The disparity of each dimension; of all examples where none lacks a score, else at its least and its largest."""
    groups, unit = incomplete.groups, subject.item_unit
    known: dict[tuple[str, str], Estimate] = {}
    for seed, positions in by_seed(seeds):
        lacks = np.isnan(incomplete.before[positions]) | np.isnan(incomplete.after[positions])
        sample = Sample.of(
            groups.design, incomplete.extremes()[0][positions], resamples=options.resamples, seed=options.seed
        )
        for dimension in groups.dimensions:
            if not lacks.any():
                spread = dimension_disparity(groups, sample, dimension, options)
                known[seed, dimension] = unit.difference(spread.estimate)
                continue
            ends = [bounds[seed, groups.labels[k]] for k in comparable_columns(groups, dimension, options)]
            if pairs := list(permutations(ends, 2)):
                least = max(one[0].value - other[1].value for one, other in pairs)
                most = max(one[1].value - other[0].value for one, other in pairs)
                known[seed, dimension] = Estimate(math.nan, max(least, 0.0), most)
    return known
