"""Bounds of changes of which some examples lack a score, of the whole task, of groups, and of groups beside others.

Source: Manski (1990), "Nonparametric bounds on treatment effects".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

import numpy as np

from chaintune.forgetting.changes import by_dimension, comparable_columns, dimension_disparity
from chaintune.forgetting.grouping import Grouping, Label
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import Subject, by_seed
from chaintune.records import Estimate
from chaintune.stats import Sample, biased, own_means
from chaintune.stats.clusters import MANY_GROUPS, Floats
from chaintune.stats.families import judged
from chaintune.stats.multiplicity import Adjustment, correct

Ends = tuple[Estimate, Estimate]
Place = tuple[str, Label]  # seed, and dimension and group

AT_ENDS = "what lacks a score is at its best and at its worst"


@dataclass(frozen=True, eq=False)
class Incomplete:
    """All examples of two checkpoints, some of which lack a score under one of them or both.

    Attributes:
        groups: of the examples.
        before, after: values from 0, the worst, to 1, the best, a row for each seed; NaN where there is no score.
        minus: another change of the same examples, of which half the distance is asked; None where it is this change.

    Shape: before, after `[S, E]`.
    """

    groups: Grouping
    before: Floats
    after: Floats
    minus: "Incomplete | None" = field(default=None, kw_only=True)

    def extremes(self) -> tuple[Floats, Floats]:
        """The smallest and the largest change, before minus after, that each example can have. Shape: `[S, E]` each."""
        least, most = (
            np.nan_to_num(self.before, nan=worst) - np.nan_to_num(self.after, nan=best)
            for worst, best in ((0.0, 1.0), (1.0, 0.0))
        )
        if self.minus is None:
            return least, most
        others = self.minus.extremes()
        return (least - others[1]) / 2, (most - others[0]) / 2

    def apart(self, column: int) -> tuple[Floats, Floats]:
        """The changes that bring a group as far below the others as can be, and as far above. Shape: `[S, E]` each."""
        (least, most), inside = self.extremes(), self.groups.design.columns[:, [column]].toarray()[:, 0] > 0
        return np.where(inside, least, most), np.where(inside, most, least)


@dataclass(frozen=True, eq=False)
class Apart:
    """Biased forgetting of a group where scores are missing: what is told of it, and its bounds."""

    estimate: Estimate
    ends: Ends


def bounds_of_change(
    subject: Subject, incomplete: Incomplete, seeds: Sequence[int], options: Inference
) -> dict[Place, Ends]:
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


def bounds_of_bias(
    subject: Subject, incomplete: Incomplete, seeds: Sequence[int], options: Inference
) -> dict[Place, Apart]:
    """Both bounds of each group's biased forgetting, of each seed and of all; of no more than `MANY_GROUPS`."""
    groups, unit = incomplete.groups, subject.item_unit
    known: dict[Place, Apart] = {}
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
                    known[seed, groups.labels[column]] = Apart(unit.difference(one.estimate), ends)
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


def _corrected(several: Sequence[_BesideOthers], options: Inference) -> list[Apart | None]:
    """The groups of a dimension, corrected as one family; None of those that have no interval.

    Every group is filled in otherwise, so there are no joint draws, and step-down minP is replaced by Holm.
    """
    level = options.level
    method: Adjustment = "bh" if options.adjust == "bh" else "holm"
    plain = [one.ends(level) for one in several]
    between = [both_ends(*ends) for ends in plain]
    p_values = np.array([both.p_value for both in between])
    made = correct(p_values, method, error_rate=(1 - level) / options.pairs)
    known: list[Apart | None] = []
    for one, ends, both, adjusted, rate in zip(
        several, plain, between, made.p_adjusted.tolist(), made.error_rates.tolist(), strict=True
    ):
        if math.isnan(both.p_value):
            known.append(None)
            continue
        strict = one.ends(1 - rate)
        limits = (strict[0].low, strict[1].high)
        told = judged(both, min(options.pairs * adjusted, 1.0), limits, level=level)
        known.append(Apart(told, ends))
    return known


def both_ends(lower: Estimate, upper: Estimate) -> Estimate:
    """From the lower end of one bound to the upper end of the other.

    Its p-values are those of a difference that both have on one side; 1 where they do not, NaN without an interval.
    """
    side = lower if lower.value > 0 else upper if upper.value < 0 else None
    p_value, p_adjusted = (side.p_value, side.p_adjusted) if side else (1.0, 1.0 if lower.is_adjusted else math.nan)
    if math.isnan(lower.low) or math.isnan(upper.low):
        p_value = p_adjusted = math.nan
    return replace(
        lower, high=upper.high, high_adjusted=upper.high_adjusted, p_value=p_value, p_adjusted=p_adjusted,
        method=f"{lower.method}; {AT_ENDS}",
    )  # fmt: skip


def disparities(
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
