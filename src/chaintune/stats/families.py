"""Groups of a dimension as one family of tests: corrected p-values, and intervals at the level of each test's step."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chaintune.errors import number_of
from chaintune.records import Estimate
from chaintune.stats.balanced import contrast
from chaintune.stats.clusters import MANY_GROUPS, Floats
from chaintune.stats.contrasts import contrast_parts
from chaintune.stats.effects import Level, Reference, biased, means
from chaintune.stats.halves import halves
from chaintune.stats.multiplicity import Adjustment, correct, null_p_values, one_test
from chaintune.stats.sample import Sample

# No more tests, and no more draws of all of them, are held together.
MOST_JOINT_TESTS = MANY_GROUPS
_MOST_CELLS = 2**24
NAMES: dict[Adjustment, str] = {"minp": "step-down minP", "holm": "Holm", "bh": "Benjamini and Hochberg"}


@dataclass(frozen=True)
class Statistic:
    """What is estimated of each group of a sample, and how its tests hang together.

    Attributes:
        estimates: of each group, the whole task first, at a level for all or one for each.
        flips: totals of some groups under joint sign flips of the clusters, the data first; None where seeds are
            crossed with clusters, which have no joint draws.
        complementary: whether two complementary groups are one test.
    """

    estimates: Callable[[Level], list[Estimate]]
    flips: Callable[[Sequence[int]], Floats] | None
    complementary: Callable[[Sequence[int]], bool]


@dataclass(frozen=True, eq=False)
class Corrected:
    """Estimates that were tested in families.

    Attributes:
        estimates: of each group, the whole task first.
        first_steps: error rate of the first step of the correction that each group is part of; that of a single test
            where it is part of none. Shape: `[K]`.
    """

    estimates: list[Estimate]
    first_steps: Floats


def own_means(sample: Sample) -> Statistic:
    """The mean of each group, against 0."""

    def flips(columns: Sequence[int]) -> Floats:
        part, places = _beside(sample, columns)
        return np.asarray(2 * part.half_sums.sums[:, places] - part.half_sums.totals[places])

    return Statistic(
        lambda level: means(sample, level=level), None if sample.n_seeds > 1 else flips, lambda _columns: False
    )


def group_contrasts(sample: Sample, *, reference: Reference = "overall") -> Statistic:
    """The mean of each group minus that of the whole task or of the rest."""
    labels = sample.design.labels

    def flips(columns: Sequence[int]) -> Floats:
        if labels is None:
            part, places = _beside(sample, columns)
            drawn = contrast_parts(part)[2]
        else:
            made = contrast(sample.design, labels, sample.label_sums, sample.values, overall=reference == "overall")
            drawn, places = halves(made.sums.mean(axis=0), resamples=sample.resamples, seed=sample.seed), list(columns)
        return np.asarray(2 * drawn.sums[:, places] - drawn.totals[places])

    def complementary(columns: Sequence[int]) -> bool:
        # Labels weigh a group against the whole otherwise than its complement.
        return labels is None or reference == "rest" or bool((labels.only[list(columns)] >= 0).all())

    return Statistic(
        lambda level: biased(sample, level=level, reference=reference),
        None if sample.n_seeds > 1 else flips,
        complementary,
    )


def corrected(
    sample: Sample,
    families: Sequence[Sequence[int]],
    statistic: Statistic,
    *,
    level: float,
    method: Adjustment,
    pairs: int = 1,
) -> Corrected:
    """The estimates of each group; those of a family with a corrected p-value and the interval of its test's step.

    Args:
        sample: of the values.
        families: columns of the groups of each dimension; a column of none is left as it is.
        statistic: of the groups.
        level: of the intervals; one minus it is the error rate of each family.
        method: of the correction. Step-down minP is replaced by Holm where there are no joint draws, or too many tests.
        pairs: of checkpoints that have such a family each: the error rate holds for all of them together (Bonferroni).
    """
    rate = (1 - level) / pairs
    estimates = statistic.estimates(level)
    adjusted, levels = np.full(len(estimates), math.nan), np.full(len(estimates), level)
    notes, first_steps = [""] * len(estimates), np.full(len(estimates), 1 - level)
    among = f"; Bonferroni over {pairs} pairs of checkpoints" if pairs > 1 else ""
    for family in families:
        columns = [column for column in family if not math.isnan(estimates[column].p_value)]
        if not columns:
            continue
        tests = one_test(sample.design, columns, complementary=statistic.complementary(columns))
        first = [columns[tests.index(number)] for number in range(max(tests) + 1)]
        # Of groups that are one test the p-values are equal, but for what is drawn of seeds.
        p_values = np.zeros(len(first))
        np.maximum.at(p_values, tests, [estimates[column].p_value for column in columns])
        used, why = _method(method, statistic, len(first), sample.resamples)
        null = null_p_values(statistic.flips(first)) if used == "minp" and statistic.flips else None
        correction = correct(p_values, used, error_rate=rate, null=null)
        adjusted[columns] = np.minimum(pairs * correction.p_adjusted[tests], 1.0)
        levels[columns] = 1 - correction.error_rates[tests]
        first_steps[list(family)] = correction.first_step
        note = f"; {NAMES[used]} over {number_of(len(first), 'test')}{why}" if len(first) > 1 else ""
        for column in columns:
            notes[column] = note + among
    at_steps = statistic.estimates(levels) if (levels > level + 1e-9).any() else estimates
    known = []
    for one, step, p_value, note in zip(estimates, at_steps, adjusted.tolist(), notes, strict=True):
        if math.isnan(p_value):
            known.append(one)
            continue
        own = judged(replace(one, method=one.method + note), p_value, (step.low, step.high), level=level)
        is_alone = not note and own.limits == (one.low, one.high)
        known.append(replace(own, low_adjusted=math.nan, high_adjusted=math.nan) if is_alone else own)
    return Corrected(known, first_steps)


def judged(estimate: Estimate, p_adjusted: float, ends: tuple[float, float], *, level: float) -> Estimate:
    """The estimate with its corrected p-value and the interval of its step, which then leave out 0 together or not.

    Args:
        estimate: with its interval at the level of the family.
        p_adjusted: of its test.
        ends: of the interval at the level of the step; NaN where clusters are too few for that level.
        level: of the family.
    """
    # Values lie between -1 and 1, so that is what an interval says that says nothing.
    low, high = (-1.0, 1.0) if math.isnan(ends[0]) else ends
    low, high = min(low, estimate.low), max(high, estimate.high)
    if p_adjusted > 1 - level:  # an end and a p-value that were drawn apart may part by a hair
        low, high = min(low, 0.0), max(high, 0.0)
    return replace(estimate, p_adjusted=p_adjusted, low_adjusted=low, high_adjusted=high)


def _method(method: Adjustment, statistic: Statistic, tests: int, resamples: int) -> tuple[Adjustment, str]:
    """The correction that can be made, and why it is not the one asked for."""
    if method != "minp":
        return method, ""
    if statistic.flips is None:
        return "holm", ", as seeds have no joint draws"
    if tests > MOST_JOINT_TESTS or tests * resamples > _MOST_CELLS:
        return "holm", f", as step-down minP takes at most {min(MOST_JOINT_TESTS, _MOST_CELLS // resamples)}"
    return "minp", ""


def _beside(sample: Sample, columns: Sequence[int]) -> tuple[Sample, list[int]]:
    """A sample that has the groups, densely, and their columns there."""
    part = sample.beside(slice(min(columns), max(columns) + 1))
    return part, list(columns) if part is sample else [column - min(columns) + 1 for column in columns]
