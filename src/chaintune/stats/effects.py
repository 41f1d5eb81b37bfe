"""Means in groups, and differences between a group and the others."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from chaintune.records import Estimate
from chaintune.stats.balanced import combined, contrast, error_of, label_factors, label_limits
from chaintune.stats.clusters import Design, Floats, Integers, Labels
from chaintune.stats.contrasts import (
    SCATTER_FLOOR,
    contrast_errors,
    contrast_parts,
    contrast_scatter,
    least_error,
    least_errors,
    shares,
)
from chaintune.stats.convolution import error_of_draws, flip_test
from chaintune.stats.halves import Halves, agreeing, interval, ratio_draws
from chaintune.stats.multiplicity import Adjustment, adjust
from chaintune.stats.power import effective_clusters
from chaintune.stats.rates import MEAN_SKEWNESS, Differences, Rates, combine, moments, t_quantile, t_tails
from chaintune.stats.sample import Sample, both_halves, in_parts, needed_clusters, skewness
from chaintune.stats.seeds import crossed, seed_noise
from chaintune.stats.skewed import skewed_errors, skewed_limits, skewed_t

Reference = Literal["overall", "rest"]
Level = float | Floats
Numbers = tuple[Floats, Floats, Floats, Floats]
Inferred = tuple[Floats, Floats, Floats, Floats, Floats]

HALVES = "random halves of the clusters"
RATES = "exact binomial limits at the effective sample size"
SKEWED = "no narrower than Student's t corrected for skewness"
OUTERMOST = f"{HALVES}, {SKEWED} and limits of rates between the outermost scores"
SIGN_FLIP = "cluster sign-flip test"
FLOOR = f"at no less than {SCATTER_FLOOR:.0%} of the common scatter"
SEEDS = "crossed with seeds"
MODERATED = "their variance moderated over the groups of the dimension"
OVER_RECIPES = "the whole task's variance moderated over the recipes of the study"

NOISE_DRAWS = 10_000
_COLUMNS_AT_ONCE = 64


def means(sample: Sample, *, level: Level = 0.95, bounded: bool = True) -> list[Estimate]:
    """Mean of the values in each group, the whole task first, and the test that it is 0.

    A group's scatter is never taken for less than a share of the whole task's, in the p-value and at both ends of the
    interval: one that is quiet by chance would be called kept where clusters are rarely lost whole, and called
    forgotten where they are rarely gained whole.

    Args:
        sample: of the values.
        level: of the intervals, one for all or one for each group.
        bounded: values are changes between -1 and 1; where few differ from 0, exact limits of rates then hold, and
            where the design says that the ends are no more than the outermost values, they guard skewed means all the
            same, and so does a t that is corrected for skewness. Else they are levels, whose scatter differs between
            groups: no guard holds, and no test is made.

    Undefined: the value in an empty group and where a label has too few clusters, the interval where clusters are too
        few.
    """

    def of_part(part: Sample) -> tuple[Floats, ...]:
        sizes, halves = np.broadcast_to(part.design.weights, part.seed_sums.shape), (part.half_sums, part.half_sizes)
        flips = part.once(_own_flips)
        inferred = _inferred(part.seed_sums, sizes, halves, part.own(level), part, flips, recipes=part.design.recipes)
        squares = (part.design.sizes**2).sum(axis=0)
        skewed = skewness(part.sums - part.value * part.design.weights)
        own = () if part.design.bounded else skewed_errors(part.sums, part.design.weights)
        return *inferred, skewed, squares, *own

    value, low, high, p_value, off, skewed, squares, *own = in_parts(sample, of_part, alone=True)
    numbers = value, low, high, p_value if bounded else np.full_like(p_value, np.nan)
    margin = _own_seed_margin(sample, level)
    if sample.design.labels is not None:
        numbers = _at_least_t(numbers, *own_errors(sample), margin, level)
    methods = [HALVES] * len(value)
    if bounded:
        errors, freedom = least_errors(sample, squares)
        numbers = _at_least_t(numbers, errors, freedom, margin, level, bound=1.0 if sample.design.bounded else math.inf)
        if not sample.design.bounded:
            numbers = _at_least_skewed(numbers, own[0], own[1], sample.design.own_clusters, margin, level)
        rare = skewed > MEAN_SKEWNESS
        numbers = _where_rare(rare, numbers, rare_limits(sample, level), margin) if rare.any() else numbers
        off = np.where(numbers[3] > p_value, np.nan, off)
        floors = [f"; {FLOOR}" if floor else "" for floor in (errors > 0).tolist()]
        made = zip(rare.tolist(), off.tolist(), floors, strict=True)
        by_rates, by_halves = (RATES, HALVES) if sample.design.bounded else (OUTERMOST, f"{HALVES}, {SKEWED}")
        methods = [f"{by_rates if r else by_halves}; {SIGN_FLIP}{exactness(error)}{floor}" for r, error, floor in made]
    estimates = _estimates(sample, numbers, methods, level)
    if sample.design.recipes is None or sample.n_seeds == 1:
        return estimates
    return [replace(one, method=one.method and f"{one.method}, {OVER_RECIPES}") for one in estimates]


def biased(sample: Sample, *, level: Level = 0.95, reference: Reference = "overall") -> list[Estimate]:
    """Mean in each group minus the mean of the whole task or of the rest, and the test that they are equal.

    The group's share of the task is held at its observed value, so both references share one test.

    Over labels each reference has a test of its own, for a label's examples in the group are another share of each
    label's.

    Undefined: in the whole task, and in a group that holds every example; the interval where clusters are too few
        in the group or outside it.
    """
    if sample.design.labels is not None:
        return _biased_over_labels(sample, level=level, reference=reference)
    value, low, high, p_value, off = in_parts(sample, lambda part: _contrasts(part, part.own(level)))
    share = shares(sample.design)
    scale = 1 - share if reference == "overall" else np.ones_like(share)
    value, low, high = (np.where(scale > 0, array, 0.0) * scale for array in (value, low, high))
    estimates = _estimates(sample, (value, low, high, p_value), [_how_biased(error) for error in off.tolist()], level)
    facts = zip(estimates, share.tolist(), sample.design.n_outside.tolist(), _needed(level, len(share)), strict=True)
    return [_comparable(*each) for each in facts]


def _how_biased(error: float) -> str:
    return f"{HALVES}; {SIGN_FLIP} with equality imposed{exactness(error)}; {FLOOR}"


def _contrasts(sample: Sample, level: Level) -> Inferred:
    """Each group minus the rest."""
    seed_sums, sizes, numerator, denominator = contrast_parts(sample)
    flips, parts = sample.once(_contrast_flips), (numerator, denominator)
    value, low, high, p_value, off = _inferred(seed_sums, sizes, parts, level, sample, flips)
    scatter = contrast_scatter(sample, sizes[0])
    error, freedom = least_error(scatter, sizes[0]), effective_clusters(scatter) - 1
    by_seeds = seed_margin(seed_sums, sizes, level, sample.seed, sample.design.pools)
    margin = np.hypot(t_quantile((1 + level) / 2, freedom) * error, by_seeds)
    low, high = np.minimum(low, value - margin), np.maximum(high, value + margin)
    by_t = t_tails(value, error, freedom)
    return value, low, high, np.maximum(p_value, by_t), np.where(by_t > p_value, np.nan, off)


def exactness(error: float) -> str:
    """Says of a p-value how far it may be off; nothing where it is NaN, for it is that of another distribution."""
    if math.isnan(error):
        return ""
    return f" (p ± {error:.1g})" if error else " (exact p)"


def rare_limits(sample: Sample, level: Level) -> tuple[Floats, Floats]:
    """Exact limits of the mean in each group, of values that are mostly 0. Shape: `[K]`."""
    if (labels := sample.design.labels) is None:
        return sample.once(_differences).limits(level)
    return combined(labels.shares, *_change_limits(sample, labels, level))[1:]


def _differences(sample: Sample) -> Differences:
    return Differences.of(sample.design, sample.values, sample.by_seed)


def _moments(sample: Sample) -> tuple[Floats, ...]:
    """Those of each group's mean; a seed's own values say how far they are from 0 and 1."""
    squared = sample.design.members.T @ (sample.by_seed**2).mean(axis=0)
    return moments(sample.sums, sample.design.sizes, squared)


def _change_limits(
    sample: Sample, labels: Labels, level: Level, *, whole: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Mean change of each label in each group, or in the whole task, and its exact limits. Shape: `[L, K]`."""
    rises, falls = (
        label_limits(sample.design, labels, np.maximum(part, 0.0), level, whole=whole)
        for part in (sample.values, -sample.values)
    )
    return rises[0] - falls[0], *combine(rises, falls)


def own_errors(sample: Sample) -> tuple[Floats, Floats]:
    """Standard error and degrees of freedom of the balanced mean in each group. Shape: `[K]` each."""
    labels = sample.design.labels
    assert labels is not None  # noqa: S101 - asked of balanced means only
    errors, freedom = error_of(labels.influences(sample.label_sums.mean(axis=0)), labels.worth)
    # A group of one label is a plain mean, whose halves need no other limits.
    return np.where(labels.only >= 0, 0.0, errors), freedom


def _biased_over_labels(sample: Sample, *, level: Level, reference: Reference) -> list[Estimate]:
    design, labels = sample.design, sample.design.labels
    assert labels is not None  # noqa: S101 - asked of balanced means only
    made = contrast(design, labels, sample.label_sums, sample.values, overall=reference == "overall")
    weights = np.broadcast_to(made.weights, made.sums.shape)
    drawn = both_halves(made.sums.mean(axis=0), made.weights, resamples=sample.resamples, seed=sample.seed)
    flips = _flips(drawn[0], made.sums)
    *plain, by_flips, off = _inferred(made.sums, weights, drawn, level, sample, flips)
    margin = seed_margin(made.sums, weights, level, sample.seed, design.pools)
    numbers = _at_least_t((plain[0], plain[1], plain[2], by_flips), *contrast_errors(made, labels), margin, level)
    off = np.where(numbers[3] > by_flips, np.nan, off)
    # A label held against the others has no common scatter to lean on: it may be the one that hardly changes.
    rare = skewness(made.sums.mean(axis=0) - plain[0] * made.weights) > MEAN_SKEWNESS
    if (rare & (labels.only >= 0)).any():
        factors = label_factors(labels, overall=reference == "overall")
        exact = combined(factors, *_change_limits(sample, labels, level, whole=True))
        numbers = _where_rare(rare & (labels.only >= 0), numbers, exact[1:], margin)
    n, clusters = (labels.n * labels.compared).sum(axis=0), labels.clusters_of(labels.compared)
    estimates = []
    for k, (value, low, high, p_value) in enumerate(np.stack(numbers, axis=1).tolist()):
        known = Estimate(value, n=int(n[k]), n_clusters=int(clusters[k]), n_seeds=sample.n_seeds)
        if not labels.compared[:, k].any():
            estimates.append(replace(known, value=math.nan, reason=labels.why_no_contrast(k)))
        elif low == high:
            estimates.append(replace(known, reason="all examples changed alike"))
        else:
            how = _how_biased(float(off[k])) + labels.note(k, labels.compared)
            how += of_seeds(design, sample.n_seeds, k)
            estimates.append(replace(known, low=low, high=high, p_value=p_value, method=how))
    return estimates


def rates(design: Design, values: Floats, *, level: Level = 0.95, seed: int = 0) -> list[Estimate]:
    """Mean in each group of values between 0 and 1, the whole task first. No test is made.

    Args:
        design: clusters and groups of the examples.
        values: of each example, a row for each seed where there are several.
        level: of the intervals, one for all or one for each group.
        seed: of the draws that several seeds need.

    Shape: values `[E]` or `[S, E]`.
    """
    sample = Sample.of(design, values, resamples=1, seed=seed)
    margin = _own_seed_margin(sample, level)
    if design.labels is None:
        counted = Rates.of_moments(*in_parts(sample, _moments, alone=True))
        value, bounds = counted.value, counted.limits(level)
    else:
        value, *ends = combined(design.labels.shares, *label_limits(design, design.labels, sample.values, level))
        bounds = (ends[0], ends[1])
    unknown = np.full(len(value), np.nan)
    numbers = _where_rare(np.ones(len(unknown), dtype=bool), (value, unknown, unknown, unknown), bounds, margin)
    if design.labels is not None:
        value, low, high, _ = _at_least_t(numbers, *own_errors(sample), margin, level)
        numbers = value, np.maximum(low, 0.0), np.minimum(high, 1.0), unknown
    return _estimates(sample, numbers, [RATES] * len(unknown), level)


def adjusted(estimates: list[Estimate], method: Adjustment) -> list[Estimate]:
    """The same estimates, their p-values corrected for being one family."""
    corrected = adjust(np.array([estimate.p_value for estimate in estimates]), method)
    return [replace(e, p_adjusted=float(p)) for e, p in zip(estimates, corrected, strict=True)]


def _inferred(
    sums: Floats,
    sizes: Floats,
    halves: tuple[Halves, Halves],
    level: Level,
    sample: Sample,
    flips: tuple[Floats, Floats],
    *,
    recipes: Floats | None = None,
) -> Inferred:
    """Value, ends of the interval, p-value and what that is off by, of each ratio of totals.

    Of one seed p-values and what they are off by are those of `flips`.

    Shape: sums and sizes `[S, C, K]`.
    """
    numerator, denominator = halves
    total = denominator.totals
    value = np.divide(numerator.totals, total, out=np.zeros_like(total), where=total > 0)
    if len(sums) == 1:
        # A few columns at a time: each draw of each column is held several times.
        parts = [slice(start, start + _COLUMNS_AT_ONCE) for start in range(0, len(value), _COLUMNS_AT_ONCE)]
        levels = np.broadcast_to(np.asarray(level), value.shape)
        several = []
        for part in parts:
            top = numerator.columns(part)
            ratios = ratio_draws(top, denominator.columns(part))
            ends = interval(*ratios, levels[part])
            several.append(agreeing(value[part], ends, ratios, flips[0][part], levels[part]))
        low, high = (np.concatenate(arrays) for arrays in zip(*several, strict=True))
        return value, low, high, *flips
    draws = 2 * (len(numerator.sums) - 1)
    noise = seed_noise(sums, sizes, draws, sample.seed, sample.design.pools, recipes)
    low, high, p_value = crossed(numerator, denominator, noise, level)
    return value, low, high, p_value, error_of_draws(p_value, len(numerator.sums))


def _own_flips(sample: Sample) -> tuple[Floats, Floats]:
    return _flips(sample.half_sums, sample.seed_sums)


def _contrast_flips(sample: Sample) -> tuple[Floats, Floats]:
    sums, _, numerator, _ = contrast_parts(sample)
    return _flips(numerator, sums)


def _flips(numerator: Halves, sums: Floats) -> tuple[Floats, Floats]:
    """P-values of sign flips and what they are off by; unknown of several seeds. Shape: sums `[S, C, K]`."""
    unknown = np.full(sums.shape[2], np.nan)
    return (unknown, unknown) if len(sums) > 1 else flip_test(numerator, sums[0])


def seed_margin(
    sums: Floats,
    sizes: Floats,
    level: Level,
    seed: int,
    pools: Integers | None,
    recipes: Floats | None = None,
) -> Floats:
    """Half-width of the interval that the choice of seeds alone calls for. Shape: `[K]`."""
    if len(sums) == 1:
        return np.zeros(sums.shape[2])
    noise = seed_noise(sums, sizes, NOISE_DRAWS, seed, pools, recipes)
    levels, margins = np.broadcast_to(np.asarray(level), noise.shape[1:]), np.zeros(noise.shape[1])
    for one in np.unique(levels):
        margins[levels == one] = np.quantile(np.abs(noise[:, levels == one]), one, axis=0)
    return margins


def _own_seed_margin(sample: Sample, level: Level) -> Floats:
    """That of each group's own mean."""
    if sample.n_seeds == 1:
        return np.zeros(len(sample.design.n))
    design, sums = sample.design, sample.seed_sums
    sizes = np.broadcast_to(design.weights, sums.shape)
    return seed_margin(sums, sizes, level, sample.seed, design.pools, design.recipes)


def of_seeds(design: Design, seeds: int, column: int) -> str:
    """What a method says of several seeds, after a semicolon; nothing of one."""
    pools = design.pools
    # Two groups are worth less than the two columns that a variance is moderated over.
    shared = pools is not None and pools[column] > 0 and (pools == pools[column]).sum() > 2
    return "" if seeds == 1 else f"; {SEEDS}, {MODERATED}" if shared else f"; {SEEDS}"


def _at_least_t(
    numbers: Numbers, errors: Floats, freedom: Floats | float, seeds: Floats, level: Level, *, bound: float = math.inf
) -> Numbers:
    """The numbers with limits, within a bound, and p-values that go no less far than those of Student's t.

    Shape: all `[K]`.
    """
    value, low, high, p_value = numbers
    margin = np.where(errors > 0, np.hypot(t_quantile((1 + level) / 2, freedom) * errors, seeds), 0.0)
    low, high = np.minimum(low, np.maximum(value - margin, -bound)), np.maximum(high, np.minimum(value + margin, bound))
    return value, low, high, np.maximum(p_value, np.where(errors > 0, t_tails(value, errors, freedom), 0.0))


def _at_least_skewed(
    numbers: Numbers, errors: Floats, skewness: Floats, clusters: Integers, seeds: Floats, level: Level
) -> Numbers:
    """The numbers with limits and p-values that go no less far than those of a t that is corrected for skewness."""
    value, low, high, p_value = numbers
    freedom, known = np.maximum(clusters - 1.0, 1.0), errors > 0
    ends = skewed_limits(value, errors, skewness, freedom, level)
    low = np.where(known, np.minimum(low, value - np.hypot(value - ends[0], seeds)), low)
    high = np.where(known, np.maximum(high, value + np.hypot(ends[1] - value, seeds)), high)
    tails = t_tails(skewed_t(value, errors, skewness), np.ones_like(value), freedom)
    return value, low, high, np.where(known, np.fmax(p_value, tails), p_value)


def _where_rare(
    rare: np.ndarray[tuple[int], np.dtype[np.bool_]], numbers: Numbers, bounds: tuple[Floats, Floats], margin: Floats
) -> Numbers:
    value, low, high, p_value = numbers
    low = np.where(rare, np.fmin(low, value - np.hypot(value - bounds[0], margin)), low)
    high = np.where(rare, np.fmax(high, value + np.hypot(bounds[1] - value, margin)), high)
    return value, low, high, p_value


def _estimates(sample: Sample, numbers: Numbers, methods: list[str], level: Level) -> list[Estimate]:
    design, seeds = sample.design, sample.n_seeds
    estimates = []
    for column, (method, needed) in enumerate(zip(methods, _needed(level, len(methods)), strict=True)):
        n, clusters = int(design.own_n[column]), int(design.own_clusters[column])
        value, low, high, p_value = (float(array[column]) for array in numbers)
        if n == 0:
            facts = {"n": int(design.n[column]), "n_clusters": int(design.n_clusters[column])}
            estimates.append(Estimate.undefined(design.why_no_mean(column), **facts, n_seeds=seeds))
        elif clusters < needed or not math.isfinite(low + high):
            reason = f"too few clusters for an interval: {clusters}, at least {needed} of like size are needed"
            estimates.append(Estimate(value, n=n, n_clusters=clusters, n_seeds=seeds, reason=reason))
        else:
            how = method + ("" if design.labels is None else design.labels.note(column, design.labels.shares > 0))
            how += of_seeds(design, seeds, column)
            estimates.append(Estimate(value, low, high, p_value, n=n, n_clusters=clusters, n_seeds=seeds, method=how))
    return estimates


def _needed(level: Level, groups: int) -> list[int]:
    """Clusters that the interval of each group needs."""
    return [needed_clusters(one) for one in np.broadcast_to(np.asarray(level), groups).tolist()]


def _comparable(estimate: Estimate, share: float, outside: int, needed: int) -> Estimate:
    """The estimate of a contrast, without an interval where the clusters outside are too few or nothing varies."""
    if share < 1 and outside >= needed and estimate.high != estimate.low:
        return estimate
    value = estimate.value if share < 1 else math.nan
    if share == 1:
        reason = "the group is the whole task"
    elif not math.isnan(estimate.low) and outside < needed:
        reason = f"too few clusters outside the group for an interval: {outside}, at least {needed} are needed"
    else:
        reason = estimate.reason or "all examples changed alike"
    return Estimate(value, n=estimate.n, n_clusters=estimate.n_clusters, n_seeds=estimate.n_seeds, reason=reason)
