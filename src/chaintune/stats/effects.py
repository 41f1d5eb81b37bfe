"""Means in groups, differences between a group and the others, and the spread over groups."""

import math
from dataclasses import replace
from typing import Literal
from zlib import crc32

import numpy as np

from chaintune.records import Estimate
from chaintune.stats.balanced import Contrast, combined, contrast, error_of, label_factors, label_limits, spread_parts
from chaintune.stats.clusters import Design, Floats, Integers, Labels
from chaintune.stats.halves import Halves, halves, interval, ratio_draws, sign_flip_p
from chaintune.stats.multiplicity import Adjustment, adjust
from chaintune.stats.power import SeedScatter, detectable, detectable_over_seeds, effective_clusters
from chaintune.stats.rates import Differences, Rates, combine, standard_errors, t_quantile, t_tails
from chaintune.stats.sample import Sample, both_halves, needed_clusters, skewness
from chaintune.stats.seeds import crossed, seed_noise, seed_variances

Reference = Literal["overall", "rest"]
Numbers = tuple[Floats, Floats, Floats, Floats]

# Both figures are chosen by simulation, see docs/explanation/statistics.md: skewness of a mean beyond which its
# halves are not trusted alone, and the share of the task's common scatter that a contrast's must not fall below.
MEAN_SKEWNESS = 0.3
SCATTER_FLOOR = 0.85

HALVES = "random halves of the clusters"
RATES = "exact binomial limits at the effective sample size"
SIGN_FLIP = "cluster sign-flip test"
BIASED = f"{HALVES}; {SIGN_FLIP} with equality imposed; at no less than {SCATTER_FLOOR:.0%} of the common scatter"
SEEDS = "crossed with seeds"

_NOISE_DRAWS = 10_000
_COLUMNS_AT_ONCE = 64


def means(sample: Sample, *, level: float = 0.95, bounded: bool = True) -> list[Estimate]:
    """Mean of the values in each group, the whole task first, and the test that it is 0.

    Args:
        sample: of the values.
        level: of the interval.
        bounded: values lie between -1 and 1; where few differ from 0, exact limits of rates then hold.

    Undefined: the value in an empty group and where a label has too few clusters, the interval where clusters are too
        few.
    """
    sizes = np.broadcast_to(sample.design.weights, sample.seed_sums.shape)
    numbers = _inferred(sample.seed_sums, sizes, (sample.half_sums, sample.half_sizes), level, sample.seed)
    rare = bounded & (skewness(sample.sums - sample.value * sample.design.weights) > MEAN_SKEWNESS)
    if rare.any() or sample.design.labels is not None:
        margin = seed_margin(sample.seed_sums, sizes, level, sample.seed)
        if sample.design.labels is not None:
            numbers = _at_least_t(numbers, *own_errors(sample), margin, level)
        numbers = _where_rare(rare, numbers, rare_limits(sample, level), margin)
    return _estimates(sample, numbers, [f"{RATES if r else HALVES}; {SIGN_FLIP}" for r in rare], level)


def biased(sample: Sample, *, level: float = 0.95, reference: Reference = "overall") -> list[Estimate]:
    """Mean in each group minus the mean of the whole task or of the rest, and the test that they are equal.

    The group's share of the task is held at its observed value, so both references share one test.

    Over labels each reference has a test of its own, for a label's examples in the group are another share of each
    label's.

    Undefined: in the whole task, and in a group that holds every example; the interval where clusters are too few
        in the group or outside it.
    """
    if sample.design.labels is not None:
        return _biased_over_labels(sample, level=level, reference=reference)
    seed_sums, sizes, numerator, denominator = _contrast_sums(sample)
    value, low, high, p_value = _inferred(seed_sums, sizes, (numerator, denominator), level, sample.seed)
    scatter = _contrast_scatter(sample, sizes[0])
    error, freedom = _least_error(scatter, sizes[0]), effective_clusters(scatter) - 1
    margin = np.hypot(t_quantile((1 + level) / 2, freedom) * error, seed_margin(seed_sums, sizes, level, sample.seed))
    low, high = np.minimum(low, value - margin), np.maximum(high, value + margin)
    p_value = np.maximum(p_value, t_tails(value, error, freedom))
    share = shares(sample.design)
    scale = 1 - share if reference == "overall" else np.ones_like(share)
    value, low, high = (np.where(scale > 0, array, 0.0) * scale for array in (value, low, high))
    estimates = _estimates(sample, (value, low, high, p_value), [BIASED] * len(share), level)
    outside = _clusters_outside(sample.design)
    needed = needed_clusters(level)
    return [_comparable(*each, needed) for each in zip(estimates, share.tolist(), outside.tolist(), strict=True)]


def rare_limits(sample: Sample, level: float) -> tuple[Floats, Floats]:
    """Exact limits of the mean in each group, of values that are mostly 0. Shape: `[K]`."""
    if (labels := sample.design.labels) is None:
        return Differences.of(sample.design, sample.values).limits(level)
    return combined(labels.shares, *_change_limits(sample, labels, level))[1:]


def _change_limits(sample: Sample, labels: Labels, level: float) -> tuple[Floats, Floats, Floats]:
    """Mean change of each label in each group and its exact limits. Shape: `[L, K]`."""
    rises, falls = (
        label_limits(sample.design, labels, np.maximum(part, 0.0), level) for part in (sample.values, -sample.values)
    )
    return rises[0] - falls[0], *combine(rises, falls)


def own_errors(sample: Sample) -> tuple[Floats, Floats]:
    """Standard error and degrees of freedom of the balanced mean in each group. Shape: `[K]` each."""
    labels = sample.design.labels
    assert labels is not None  # noqa: S101 - asked of balanced means only
    errors, freedom = error_of(labels.influences(sample.label_sums.mean(axis=0)), labels.worth)
    # A group of one label is a plain mean, whose halves need no other limits.
    return np.where(labels.only >= 0, 0.0, errors), freedom


def _biased_over_labels(sample: Sample, *, level: float, reference: Reference) -> list[Estimate]:
    design, labels = sample.design, sample.design.labels
    assert labels is not None  # noqa: S101 - asked of balanced means only
    made = contrast(design, labels, sample.label_sums, sample.values, overall=reference == "overall")
    weights = np.broadcast_to(made.weights, made.sums.shape)
    drawn = both_halves(made.sums.mean(axis=0), made.weights, resamples=sample.resamples, seed=sample.seed)
    numbers = _inferred(made.sums, weights, drawn, level, sample.seed)
    margin = seed_margin(made.sums, weights, level, sample.seed)
    numbers = _at_least_t(numbers, *_contrast_errors(made, labels), margin, level)
    # A label held against the others has no common scatter to lean on: it may be the one that hardly changes.
    rare = skewness(made.sums.mean(axis=0) - numbers[0] * made.weights) > MEAN_SKEWNESS
    if (rare & (labels.only >= 0)).any():
        factors = label_factors(labels, overall=reference == "overall")
        exact = combined(factors, *(part[:, :1] for part in _change_limits(sample, labels, level)))
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
            how = BIASED + labels.note(k, labels.compared) + (f"; {SEEDS}" if sample.n_seeds > 1 else "")
            estimates.append(replace(known, low=low, high=high, p_value=p_value, method=how))
    return estimates


def _contrast_errors(made: Contrast, labels: Labels) -> tuple[Floats, Floats]:
    """Standard error of a contrast, at no less than the share of the common scatter, and its degrees of freedom."""
    # A group of dimension `label` is held against examples of other labels, which lie outside it.
    errors, freedom = error_of(made.influences, np.where(labels.only >= 0, labels.worth[:, :1], labels.worth))
    least = SCATTER_FLOOR * np.sqrt(made.scatter.sum(axis=0))
    return np.maximum(errors, least), np.minimum(freedom, np.maximum(effective_clusters(made.scatter) - 1, 1.0))


def rates(design: Design, values: Floats, *, level: float = 0.95, seed: int = 0) -> list[Estimate]:
    """Mean in each group of values between 0 and 1, the whole task first. No test is made.

    Args:
        design: clusters and groups of the examples.
        values: of each example, a row for each seed where there are several.
        level: of the interval.
        seed: of the draws that several seeds need.

    Shape: values `[E]` or `[S, E]`.
    """
    sample = Sample.of(design, values, resamples=1, seed=seed)
    sizes = np.broadcast_to(design.weights, sample.seed_sums.shape)
    margin = seed_margin(sample.seed_sums, sizes, level, sample.seed)
    if design.labels is None:
        counted = Rates.of(sample.sums, design.sizes)
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


def disparity(sample: Sample, groups: list[int]) -> tuple[Estimate, float]:
    """Largest minus smallest mean among some groups, and what it would be on average if all were alike.

    Args:
        sample: values in their groups.
        groups: columns of the design that take part.
    """
    labels, clusters = sample.design.labels, sample.design.n_clusters[groups]
    # Flips of few clusters spread too little; the factor is that of a variance from as many values.
    spreading = np.sqrt(clusters / np.maximum(clusters - 1, 1))
    if labels is None:
        n = sample.design.n[groups]
        flipped = 2 * sample.half_sums.sums - sample.half_sums.totals
        flipped_sizes = 2 * sample.half_sizes.sums - sample.half_sizes.totals
        means, null = sample.value, flipped[:, groups] - sample.value[0] * flipped_sizes[:, groups]
        null, least = null * (spreading / n), _least_scatter(sample, groups)
    else:
        by_label = sample.label_sums.mean(axis=0)
        means, errors, scatter = spread_parts(sample.design, labels, by_label, sample.values)
        drawn = halves(errors[:, groups], resamples=sample.resamples, seed=sample.seed)
        null = (2 * drawn.sums - drawn.totals) * spreading
        least = SCATTER_FLOOR**2 * scatter[:, groups].sum(axis=0)
    null = null + _missing_scatter(sample, groups, least, null)
    if sample.n_seeds > 1:
        seed_sums, sizes = _contrast_by_seed(sample)
        null = null + seed_noise(seed_sums[:, :, groups], sizes[:, :, groups], len(null), sample.seed)
    spread = np.ptp(null, axis=1)
    value = float(np.ptp(means[groups]))
    estimate = Estimate(
        value,
        # Row 0 is the data themselves, so the p-value is never 0.
        p_value=float(((spread[1:] >= value - 1e-12).sum() + 1) / len(spread)),
        n=int(sample.design.n[0]),
        n_clusters=int((sample.design.sizes[:, groups].sum(axis=1) > 0).sum()),
        n_seeds=sample.n_seeds,
        method=f"{SIGN_FLIP} with equality imposed; at no less than {SCATTER_FLOOR:.0%} of the common scatter",
        reason="no interval: a maximum over noisy groups is too large on average, see its null expectation",
    )
    return estimate, float(spread[1:].mean()) if len(spread) > 1 else math.nan


def adjusted(estimates: list[Estimate], method: Adjustment) -> list[Estimate]:
    """The same estimates, their p-values corrected for being one family."""
    corrected = adjust(np.array([estimate.p_value for estimate in estimates]), method)
    return [replace(e, p_adjusted=float(p)) for e, p in zip(estimates, corrected, strict=True)]


def detectable_means(sample: Sample, *, error_rate: float) -> Floats:
    """Smallest mean that these data show with 80 % probability. Shape: `[K]`."""
    sizes = np.broadcast_to(sample.design.weights, sample.seed_sums.shape)
    if sample.design.labels is None:
        errors, freedom = standard_errors(sample.sums, sizes[0]), effective_clusters(sizes[0]) - 1
    else:
        errors, freedom = own_errors(sample)
    limits = _detectable(sample, errors, (sample.seed_sums, sizes), error_rate, freedom)
    return np.where(sample.design.own_n > 0, limits, np.nan)


def detectable_biased(sample: Sample, *, error_rate: float, reference: Reference = "overall") -> Floats:
    """Smallest difference between group and reference that these data show with 80 % probability."""
    if (labels := sample.design.labels) is not None:
        made = contrast(sample.design, labels, sample.label_sums, sample.values, overall=reference == "overall")
        by_seed = (made.sums, np.broadcast_to(made.weights, made.sums.shape))
        errors, freedom = _contrast_errors(made, labels)
        limits = _detectable(sample, errors, by_seed, error_rate, freedom)
        return np.where(labels.compared.any(axis=0), limits, np.nan)
    seed_sums, sizes, *_ = _contrast_sums(sample)
    share = shares(sample.design)
    scatter = _contrast_scatter(sample, sizes[0])
    errors = np.maximum(standard_errors(seed_sums.mean(axis=0), sizes[0]), _least_error(scatter, sizes[0]))
    freedom = np.minimum(effective_clusters(sample.design.sizes), effective_clusters(scatter)) - 1
    limits = _detectable(sample, errors, (seed_sums, sizes), error_rate, freedom)
    enough = _clusters_outside(sample.design) >= needed_clusters(1 - error_rate)
    return np.asarray(np.where((share < 1) & enough, limits * (1 - share if reference == "overall" else 1.0), np.nan))


def _detectable(
    sample: Sample, errors: Floats, by_seed: tuple[Floats, Floats], error_rate: float, freedom: Floats
) -> Floats:
    """Of ratios of totals. Shape: errors and freedom `[K]`, sums and sizes by seed `[S, C, K]`."""
    if sample.n_seeds == 1:
        return detectable(sample.design, errors, _variances(sample), freedom, error_rate=error_rate)
    scatter = SeedScatter(sample.n_seeds, *seed_variances(*by_seed))
    return detectable_over_seeds(sample.design, errors, _variances(sample), scatter, error_rate=error_rate)


def _variances(sample: Sample) -> Floats:
    if (labels := sample.design.labels) is not None:
        by_label = sample.label_sums.mean(axis=0)
        squares = sample.design.label_sums(sample.values**2).sum(axis=1) / np.maximum(labels.n, 1)
        counts = np.where(labels.shares.any(axis=0), labels.shares > 0, labels.compared)
        own = np.maximum(squares - labels.means(by_label) ** 2, 0.0) * counts
        return np.asarray(own.sum(axis=0) / np.maximum(counts.sum(axis=0), 1))
    squares = sample.design.sums(sample.values**2).sum(axis=0) / np.maximum(sample.design.n, 1)
    return np.asarray(np.maximum(squares - sample.value**2, 0.0))


def _contrast_by_seed(sample: Sample) -> tuple[Floats, Floats]:
    if sample.design.labels is None:
        seed_sums, sizes, *_ = _contrast_sums(sample)
        return seed_sums, sizes
    made = contrast(sample.design, sample.design.labels, sample.label_sums, sample.values, overall=True)
    return made.sums, np.broadcast_to(made.weights, made.sums.shape)


def contrast_sums(sample: Sample) -> tuple[Floats, Floats]:
    """Cluster scores and weights of group minus rest: the estimate is the ratio of their totals.

    Shape: both `[C, K]`.
    """
    seed_sums, weights, *_ = _contrast_sums(sample)
    return np.asarray(seed_sums.mean(axis=0)), np.asarray(weights[0])


def shares(design: Design) -> Floats:
    """Share of the task's examples that each group holds. Shape: `[K]`."""
    return np.asarray(design.n / max(int(design.n[0]), 1))


def _inferred(sums: Floats, sizes: Floats, halves: tuple[Halves, Halves], level: float, seed: int) -> Numbers:
    """Value, ends of the interval and p-value of each ratio of totals. Shape: sums and sizes `[S, C, K]`."""
    numerator, denominator = halves
    total = denominator.totals
    value = np.divide(numerator.totals, total, out=np.zeros_like(total), where=total > 0)
    if len(sums) == 1:
        scale = np.abs(sums[0]).sum(axis=0)
        # A few columns at a time: each draw of each column is held several times.
        parts = [slice(start, start + _COLUMNS_AT_ONCE) for start in range(0, len(value), _COLUMNS_AT_ONCE)]
        ends = [interval(*ratio_draws(numerator.columns(part), denominator.columns(part)), level) for part in parts]
        p_values = [sign_flip_p(numerator.columns(part), scale[part]) for part in parts]
        low, high = (np.concatenate(end) for end in zip(*ends, strict=True))
        return value, low, high, np.concatenate(p_values)
    draws = 2 * (len(numerator.sums) - 1)
    noise = seed_noise(sums, sizes, draws, seed)
    return value, *crossed(numerator, denominator, noise, level)


def seed_margin(sums: Floats, sizes: Floats, level: float, seed: int) -> Floats:
    """Half-width of the interval that the choice of seeds alone calls for. Shape: `[K]`."""
    if len(sums) == 1:
        return np.zeros(sums.shape[2])
    noise = seed_noise(sums, sizes, _NOISE_DRAWS, seed)
    return np.asarray(np.quantile(np.abs(noise), level, axis=0))


def _at_least_t(numbers: Numbers, errors: Floats, freedom: Floats, seeds: Floats, level: float) -> Numbers:
    """The numbers with limits and p-values that go no less far than those of Student's t. Shape: all `[K]`."""
    value, low, high, p_value = numbers
    margin = np.hypot(t_quantile((1 + level) / 2, freedom) * errors, seeds)
    low, high = np.minimum(low, value - margin), np.maximum(high, value + margin)
    return value, low, high, np.maximum(p_value, np.where(errors > 0, t_tails(value, errors, freedom), 0.0))


def _where_rare(
    rare: np.ndarray[tuple[int], np.dtype[np.bool_]], numbers: Numbers, bounds: tuple[Floats, Floats], margin: Floats
) -> Numbers:
    value, low, high, p_value = numbers
    low = np.where(rare, np.fmin(low, value - np.hypot(value - bounds[0], margin)), low)
    high = np.where(rare, np.fmax(high, value + np.hypot(bounds[1] - value, margin)), high)
    return value, low, high, p_value


def _contrast_sums(sample: Sample) -> tuple[Floats, Floats, Halves, Halves]:
    """Cluster scores of group minus rest and their halves: the estimate is the ratio of their totals."""
    design, sizes = sample.design, sample.design.sizes
    mean = sample.value[0]
    by_seed = sample.seed_sums[:, :, 0].sum(axis=1) / max(int(design.n[0]), 1)
    scores = [_scores(design, sums, sizes, m) for sums, m in zip(sample.seed_sums, by_seed, strict=True)]
    weights = _weights(design, sizes)
    numerator = Halves(
        _scores(design, sample.half_sums.sums, sample.half_sizes.sums, mean),
        _scores(design, sample.half_sums.totals[None], sample.half_sizes.totals[None], mean)[0],
    )
    denominator = Halves(_weights(design, sample.half_sizes.sums), _weights(design, sample.half_sizes.totals[None])[0])
    return np.stack(scores), np.broadcast_to(weights, sample.seed_sums.shape), numerator, denominator


def _scores(design: Design, sums: Floats, sizes: Floats, mean: float) -> Floats:
    """Scores of a regression on membership, membership and values both freed from their mean."""
    share = shares(design)
    return sums - share * sums[:, :1] - mean * (sizes - share * sizes[:, :1])


def _weights(design: Design, sizes: Floats) -> Floats:
    share = shares(design)
    return sizes * (1 - 2 * share) + share**2 * sizes[:, :1]


def _contrast_scatter(sample: Sample, weights: Floats) -> Floats:
    """What each cluster adds to the variance of group minus rest, at the task's common scatter. Shape: `[C, K]`."""
    sizes = sample.design.sizes
    variance, correlation = _common_scatter(sample)
    leaned = (sizes - shares(sample.design) * sizes[:, :1]) ** 2
    return np.asarray(variance * ((1 - correlation) * weights + correlation * leaned))


def _least_error(scatter: Floats, weights: Floats) -> Floats:
    """Lower bound of the standard error of group minus rest. Shape: both `[C, K]`, result `[K]`.

    Flipping signs takes a group at its own scatter, and a group that happens to have few changes
    understates it; so it is held against that of the whole task.
    """
    total, denominator = scatter.sum(axis=0), weights.sum(axis=0)
    return np.asarray(SCATTER_FLOOR * np.sqrt(total) / np.where(denominator > 0, denominator, 1.0))


def _clusters_outside(design: Design) -> Integers:
    """Clusters with an example that does not lie in each group. Shape: `[K]`."""
    return np.asarray((design.sizes[:, :1] > design.sizes).sum(axis=0), dtype=np.int64)


def _least_scatter(sample: Sample, groups: list[int]) -> Floats:
    """The least variance of a group's mean that is believed. Shape: `[G]`."""
    sizes = sample.design.sizes[:, groups]
    variance, correlation = _common_scatter(sample)
    common = variance * ((1 - correlation) * sizes + correlation * sizes**2).sum(axis=0)
    return np.asarray(SCATTER_FLOOR**2 * common / sample.design.n[groups] ** 2)


def _missing_scatter(sample: Sample, groups: list[int], least: Floats, null: Floats) -> Floats:
    """Draws of what the means of quiet groups lack to the least scatter. Shape: least `[G]`, null `[R + 1, G]`."""
    sizes = sample.design.sizes[:, groups]
    lacking = np.sqrt(np.maximum(least - (null**2).mean(axis=0), 0.0))
    # Another stream than those of the halves and of the seeds, and one a group, so that their order says nothing.
    streams = [np.random.default_rng([sample.seed, 2, crc32(column.tobytes())]) for column in sizes.T]
    draws = np.stack([stream.standard_normal(len(null)) for stream in streams], axis=1)
    return np.asarray(draws * lacking)


def _common_scatter(sample: Sample) -> tuple[float, float]:
    """Variance of the whole task's values, and their correlation within clusters."""
    sizes = sample.design.sizes[:, 0]
    n = max(len(sample.values), 1)
    residuals = sample.values - sample.value[0]
    variance = float((residuals**2).sum()) / n
    between = float(((sample.sums[:, 0] - sample.value[0] * sizes) ** 2).sum()) - variance * n
    pairs = variance * float((sizes**2 - sizes).sum())
    return variance, min(max(between / pairs, 0.0), 1.0) if pairs > 0 else 0.0


def _estimates(sample: Sample, numbers: Numbers, methods: list[str], level: float) -> list[Estimate]:
    design, seeds, needed = sample.design, sample.n_seeds, needed_clusters(level)
    estimates = []
    for column, method in enumerate(methods):
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
            how = how if seeds == 1 else f"{how}; {SEEDS}"
            estimates.append(Estimate(value, low, high, p_value, n=n, n_clusters=clusters, n_seeds=seeds, method=how))
    return estimates


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
