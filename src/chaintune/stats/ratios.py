"""Ratios of means, and sums of means over tasks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from chaintune.records import Estimate
from chaintune.stats.clusters import Design, Floats
from chaintune.stats.convolution import error_of_draws, flip_test
from chaintune.stats.effects import HALVES, RATES, SEEDS, SIGN_FLIP, exactness, of_seeds, rare_limits
from chaintune.stats.halves import agreeing, interval, ratio_draws
from chaintune.stats.rates import MEAN_SKEWNESS
from chaintune.stats.sample import Sample, both_halves, needed_clusters, skewness
from chaintune.stats.seeds import crossed, seed_noise, seed_variances

Ends = Callable[[float], tuple[float, float]]

# Bisections of the p-values between 0 and 1.
_HALVINGS = 16


def ratios(
    design: Design,
    numerators: Floats,
    denominators: Floats,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    rare: str = "too one-sided changes",
) -> list[Estimate]:
    """Ratio of two sums over the examples of each group, the whole task first, and the test that it is 0.

    Args:
        design: clusters and groups of the examples.
        numerators: of each example, a row for each seed where there are several.
        denominators: of each example, whose sum is what the ratio is relative to.
        level: of the intervals.
        resamples: halves of the clusters to draw.
        seed: of the draws.
        rare: what a reason calls values of which few stand out, behind 'too few and'.

    Shape: numerators and denominators `[E]` or `[S, E]`.

    Undefined: where the denominators sum to 0 or less, or clusters or events are too few.
    """  # fmt: skip
    tops, bottoms = (
        np.stack([design.mean_sums(row) for row in np.atleast_2d(part)]) for part in (numerators, denominators)
    )
    k = tops.shape[2]
    top, bottom = both_halves(tops.mean(axis=0), bottoms.mean(axis=0), resamples=resamples, seed=seed)
    positive = bottom.totals > 0
    value = np.divide(top.totals, bottom.totals, out=np.full(k, np.nan), where=positive)
    if len(tops) == 1:
        drawn_ratios = ratio_draws(top, bottom)
        p_value, errors = flip_test(top, tops[0])
        beyond = _share_beyond(value, *drawn_ratios)
        errors = np.where(beyond > p_value, error_of_draws(beyond, len(top.sums)), errors)
        p_value = np.maximum(p_value, beyond)
        low, high = agreeing(np.nan_to_num(value), interval(*drawn_ratios, level), drawn_ratios, p_value, level)
    else:
        noise = seed_noise(tops, bottoms, 2 * (len(top.sums) - 1), seed, design.pools)
        low, high, p_value = crossed(top, bottom, noise, level)
        errors = error_of_draws(p_value, len(top.sums))
    residuals = tops.mean(axis=0) - np.nan_to_num(value) * bottoms.mean(axis=0)
    stand_out = np.where(skewness(residuals) > MEAN_SKEWNESS, rare, "")
    numbers = np.stack([value, low, high, p_value, errors])
    return [
        _ratio(design, column, numbers[:, column], len(tops), (str(stand_out[column]), level)) for column in range(k)
    ]


def _share_beyond(value: Floats, lows: Floats, highs: Floats) -> Floats:
    """Share of the halves whose ratio lies beyond 0 or is none, which the sign flips of the numerator leave out."""
    turned = np.where(value > 0, lows, -highs)
    return np.asarray(((turned < 0) + (turned == 0) / 2).mean(axis=0))


def ratio_limits(top: Estimate, bottom: Estimate) -> tuple[float, float]:
    """Limits of `top / bottom` from the limits of both, which may be lopsided, as if the two were independent.

    Donner and Zou (2012), *Closed-form confidence intervals for functions of the normal mean and standard deviation*.
    Where `top` and `bottom` rise together the interval is wider than it need be.

    Args:
        top: with an interval.
        bottom: whose interval lies above 0.

    Example:
        >>> ratio_limits(Estimate(0.0, -0.04, 0.04), Estimate(0.2, 0.1, 0.3))
        (-0.2309401076758503, 0.2309401076758503)
    """
    below, above = bottom.value - bottom.low, bottom.high - bottom.value
    low = _root(top.value, top.value - top.low, bottom.value, above if top.low > 0 else below, -1)
    high = _root(top.value, top.high - top.value, bottom.value, below if top.high > 0 else above, 1)
    return low, high


def _root(top: float, top_margin: float, bottom: float, bottom_margin: float, sign: int) -> float:
    """The ratio at which `top - ratio * bottom` lies as far from 0 as both margins together reach."""
    curve = bottom**2 - bottom_margin**2
    if curve <= 0:
        return sign * math.inf
    inside = (top * bottom) ** 2 - curve * (top**2 - top_margin**2)
    return (top * bottom + sign * math.sqrt(max(0.0, inside))) / curve


def combination(samples: Sequence[Sample], weights: Sequence[float], *, level: float = 0.95, seed: int = 0) -> Estimate:
    """Weighted sum of the means of different tasks, whose clusters have nothing to do with each other.

    Args:
        samples: one a task, all with the same seeds in the same order.
        weights: of the tasks' means.
        level: of the interval.
        seed: of the draws.
    """
    value = sum(weight * float(sample.value[0]) for sample, weight in zip(samples, weights, strict=True))
    for sample in samples:
        if not sample.design.own_n[0]:
            return Estimate.undefined(sample.design.why_no_mean(0), n_seeds=sample.n_seeds)
    clusters = [int(sample.design.own_clusters[0]) for sample in samples]
    known = Estimate(
        value, n=sum(int(sample.design.own_n[0]) for sample in samples), n_clusters=sum(clusters),
        n_seeds=samples[0].n_seeds,
    )  # fmt: skip
    if min(clusters) < needed_clusters(level):
        needed = f"at least {needed_clusters(level)} are needed"
        return replace(known, reason=f"too few clusters for an interval: {min(clusters)} in one task, {needed}")
    errors, noise = _errors(samples, weights, np.random.default_rng(seed))
    drawn, tail = value + errors + noise, (1 - level) / 2
    low, high = float(np.quantile(drawn, tail)), float(np.quantile(drawn, 1 - tail))
    rarer = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p_value = min(1.0, 2 * (rarer + 1) / (len(drawn) + 1))
    method = f"{HALVES} of each task{exactness(float(error_of_draws(np.array(p_value), len(drawn) // 2)))}"
    if any(_is_rare(sample) for sample in samples):
        tasks = [(weight, float(one.value[0]), _ends(one)) for one, weight in zip(samples, weights, strict=True)]
        ends = _guarded(tasks, level, noise)
        low, high = min(low, ends[0]), max(high, ends[1])
        p_value = max(p_value, _guarded_p(tasks, noise))
        method = f"{method}, {RATES} where changes are rare"
    method += f"; {SEEDS}" if known.n_seeds > 1 else ""
    return replace(known, low=low, high=high, p_value=p_value, method=method)


def _is_rare(sample: Sample) -> bool:
    residuals = sample.sums - sample.value * sample.design.weights
    return bool(skewness(residuals[:, :1])[0] > MEAN_SKEWNESS)


def _guarded(tasks: Sequence[tuple[float, float, Ends]], level: float, noise: Floats) -> tuple[float, float]:
    """Ends from those of the tasks' means, as if tasks were independent but for their seeds (Zou and Donner 2008).

    Args:
        tasks: weight, mean and ends of the mean at any level.
        level: of the interval.
        noise: draws of the error that comes from the seeds.
    """
    value, below, above = 0.0, 0.0, 0.0
    for weight, mean, ends in tasks:
        low, high = ends(level)
        sides = (mean - low, high - mean) if weight > 0 else (high - mean, mean - low)
        value += weight * mean
        below += (weight * sides[0]) ** 2
        above += (weight * sides[1]) ** 2
    margin = float(np.quantile(np.abs(noise), level))
    return value - math.hypot(math.sqrt(below), margin), value + math.hypot(math.sqrt(above), margin)


def _ends(sample: Sample) -> Ends:
    """Ends of a task's mean from its clusters alone, exact limits where changes are rare."""
    drawn = ratio_draws(*(half.columns(slice(1)) for half in (sample.half_sums, sample.half_sizes)))
    rare = _is_rare(sample)

    def ends(level: float) -> tuple[float, float]:
        low, high = (float(end[0]) for end in interval(*drawn, level))
        if not rare:
            return low, high
        least, most = (float(end[0]) for end in rare_limits(sample, level))
        return min(low, least), max(high, most)

    return ends


def _guarded_p(tasks: Sequence[tuple[float, float, Ends]], noise: Floats) -> float:
    """Smallest error rate at which the guarded interval leaves out 0."""
    least, most = 0.0, 1.0
    for _ in range(_HALVINGS):
        rate = (least + most) / 2
        low, high = _guarded(tasks, 1 - rate, noise)
        least, most = (rate, most) if low <= 0 <= high else (least, rate)
    return most


def _errors(samples: Sequence[Sample], weights: Sequence[float], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws of the error of a weighted sum of tasks' means, from their clusters and from the seeds apart."""
    draws = 2 * max(len(sample.half_sums.sums) for sample in samples)
    errors = np.zeros(draws)
    deviations, within = np.zeros(samples[0].n_seeds), 0.0
    for sample, weight in zip(samples, weights, strict=True):
        totals, sizes = ((half.sums[1:, 0], half.totals[0]) for half in (sample.half_sums, sample.half_sizes))
        both = [np.concatenate([sums, total - sums]) for sums, total in (totals, sizes)]
        means = both[0][both[1] > 0] / both[1][both[1] > 0]
        errors += weight * (rng.choice(means, draws) - sample.value[0])
        deviations += weight * (sample.seed_sums[:, :, 0].sum(axis=1) / sample.design.own_n[0] - sample.value[0])
        if sample.n_seeds > 1:
            sizes_of = np.broadcast_to(sample.design.weights, sample.seed_sums.shape)[:, :, :1]
            within += weight**2 * float(seed_variances(sample.seed_sums[:, :, :1], sizes_of)[1][0])
    seeds = len(deviations)
    if seeds == 1:
        return errors, np.zeros(draws)
    between = float(deviations.var(ddof=1)) / seeds
    spread = np.maximum(between * (seeds - 1) / rng.chisquare(seeds - 1, draws) - within, 0.0)
    return errors, np.asarray(rng.standard_normal(draws) * np.sqrt(spread))


def _ratio(design: Design, column: int, numbers: Floats, seeds: int, trust: tuple[str, float]) -> Estimate:
    rare, level = trust
    value, low, high, p_value, error = (float(number) for number in numbers)
    n, clusters = int(design.own_n[column]), int(design.own_clusters[column])
    if math.isnan(value):
        reason = "nothing to divide by" if n else design.why_no_mean(column)
        return Estimate.undefined(reason, n=n, n_clusters=clusters, n_seeds=seeds)
    if clusters < needed_clusters(level):
        reason = f"too few clusters for an interval: {clusters}"
    elif not math.isfinite(low + high):
        reason = f"what it is divided by is 0 or less in too many halves of the {clusters} clusters for an interval"
    elif rare:
        reason = f"too few and {rare} among {clusters} clusters for an interval"
    else:
        method = f"{HALVES}; {SIGN_FLIP}{exactness(error)}" + of_seeds(design, seeds, column)
        return Estimate(value, low, high, p_value, n=n, n_clusters=clusters, n_seeds=seeds, method=method)
    return Estimate(value, n=n, n_clusters=clusters, n_seeds=seeds, reason=reason)
