"""Means in groups, differences between a group and the others, and the spread over groups."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chaintune.records import Estimate
from chaintune.stats.clusters import Design, Floats
from chaintune.stats.halves import Halves, halves, interval, ratio_draws, sign_flip_p
from chaintune.stats.multiplicity import Adjustment, adjust
from chaintune.stats.power import detectable, effective_clusters
from chaintune.stats.rates import Differences, Rates, contrast_limits, contrast_p

Reference = Literal["overall", "rest"]

# Skewness of an estimate beyond which sign flips and halves are no longer trusted, see the page on statistics.
MEAN_SKEWNESS = 0.4
CONTRAST_SKEWNESS = 0.3

HALVES = "random halves of the clusters"
RATES = "exact binomial limits at the effective sample size"
SIGN_FLIP = "cluster sign-flip test"


@dataclass(frozen=True, eq=False)
class Sample:
    """Values of examples between -1 and 1, summed over clusters and over random halves of the clusters.

    Shape: values `[E]`, sums `[C, K]`.
    """

    design: Design
    values: Floats
    sums: Floats
    half_sums: Halves
    half_sizes: Halves

    @classmethod
    def of(cls, design: Design, values: Floats, *, resamples: int, seed: int) -> "Sample":
        """Draw the halves once; everything else is arithmetic on them."""
        sums = design.sums(values)
        drawn = halves(np.concatenate([sums, design.sizes], axis=1), resamples=resamples, seed=seed)
        k = sums.shape[1]
        parts = [Halves(drawn.sums[:, cut], drawn.totals[cut]) for cut in (slice(k), slice(k, None))]
        return cls(design, values, sums, *parts)


def needed_clusters(level: float) -> int:
    """Fewest clusters from which an interval at this level can be read."""
    return math.ceil(1 + math.log2(1 / (1 - level)) - 1e-9)


def means(sample: Sample, *, level: float = 0.95) -> list[Estimate]:
    """Mean of the values in each group, the whole task first, and the test that it is 0.

    Undefined: the value in an empty group, the interval where clusters are too few.
    """
    low, high = interval(*ratio_draws(sample.half_sums, sample.half_sizes), level)
    p_values = sign_flip_p(sample.half_sums, np.abs(sample.sums).sum(axis=0))
    n = sample.design.n
    value = sample.sums.sum(axis=0) / np.maximum(n, 1)
    rare = _skewness(sample.sums - value * sample.design.sizes) > MEAN_SKEWNESS
    if rare.any():
        bounds = Differences.of(sample.design, sample.values).limits(level)
        low, high = (np.where(rare, bound, end) for bound, end in zip(bounds, (low, high), strict=True))
    methods = [f"{RATES if r else HALVES}; {SIGN_FLIP}" for r in rare]
    return _estimates(sample.design, (value, low, high, p_values), methods, level)


def biased(sample: Sample, *, level: float = 0.95, reference: Reference = "overall") -> list[Estimate]:
    """Mean in each group minus the mean of the whole task or of the rest, and the test that they are equal.

    The group's share of the task is held at its observed value, so both references share one test.

    Undefined: in the whole task, and in a group that holds every example.
    """
    numerator, denominator = _contrast_halves(sample)
    sums, sizes = contrast_columns(sample)
    low, high = interval(*ratio_draws(numerator, denominator), level)
    p_values = sign_flip_p(numerator, np.abs(sums).sum(axis=0))
    total = sizes.sum(axis=0)
    value = np.divide(sums.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    rare = _contrast_skewness(sample, sums) > CONTRAST_SKEWNESS
    if rare.any():
        pair = (Differences.of(sample.design, sample.values), Differences.outside(sample.design, sample.values))
        bounds = contrast_limits(*pair, level)
        low, high = (np.where(rare, bound, end) for bound, end in zip(bounds, (low, high), strict=True))
        p_values = np.where(rare, contrast_p(*pair), p_values)
    scale = 1 - _shares(sample.design) if reference == "overall" else np.ones_like(total)
    methods = [RATES if r else f"{HALVES}; {SIGN_FLIP} with equality imposed" for r in rare]
    estimates = _estimates(sample.design, (value * scale, low * scale, high * scale, p_values), methods, level)
    return [_unless_whole(estimate, share) for estimate, share in zip(estimates, _shares(sample.design), strict=True)]


def disparity(sample: Sample, groups: list[int]) -> tuple[Estimate, float]:
    """Largest minus smallest mean among some groups, and what it would be on average if all were alike.

    Args:
        sample: values in their groups.
        groups: columns of the design that take part.
    """
    n = sample.design.n[groups]
    everybody = sample.sums[:, 0].sum() / sample.design.n[0]
    flipped = 2 * sample.half_sums.sums - sample.half_sums.totals
    flipped_sizes = 2 * sample.half_sizes.sums - sample.half_sizes.totals
    null = (flipped[:, groups] - everybody * flipped_sizes[:, groups]) / n
    spread = np.ptp(null, axis=1)
    value = float(np.ptp(sample.sums.sum(axis=0)[groups] / n))
    # Row 0 is the data themselves, so the p-value is never 0.
    p_value = float((spread >= value - 1e-12).mean())
    members = sample.design.sizes[:, groups].sum(axis=1) > 0
    estimate = Estimate(
        value,
        p_value=p_value,
        n=int(sample.design.n[0]),
        n_clusters=int(members.sum()),
        method=f"{SIGN_FLIP} with equality imposed",
        reason="no interval: a maximum over noisy groups is too large on average, see its null expectation",
    )
    return estimate, float(spread[1:].mean()) if len(spread) > 1 else math.nan


def adjusted(estimates: list[Estimate], method: Adjustment) -> list[Estimate]:
    """The same estimates, their p-values corrected for being one family."""
    corrected = adjust(np.array([estimate.p_value for estimate in estimates]), method)
    return [
        Estimate(**{name: getattr(e, name) for name in e.__slots__} | {"p_adjusted": float(p)})
        for e, p in zip(estimates, corrected, strict=True)
    ]


def detectable_means(sample: Sample, *, error_rate: float) -> Floats:
    """Smallest mean that these data show with 80 % probability. Shape: `[K]`."""
    return detectable(sample.design, sample.sums, sample.design.sizes, error_rate=error_rate)


def detectable_biased(sample: Sample, *, error_rate: float, reference: Reference = "overall") -> Floats:
    """Smallest difference between group and reference that these data show with 80 % probability."""
    sums, sizes = contrast_columns(sample)
    scale = 1 - _shares(sample.design) if reference == "overall" else 1.0
    value = scale * detectable(sample.design, sums, sizes, error_rate=error_rate)
    return np.asarray(np.where(_shares(sample.design) < 1, value, np.nan))


def contrast_columns(sample: Sample) -> tuple[Floats, Floats]:
    """Cluster scores of group minus rest: the estimate is the ratio of their totals. Shape: `[C, K]`."""
    return _contrast(sample.design, sample.sums, sample.design.sizes, sample.sums[:, 0].sum())


def _contrast_halves(sample: Sample) -> tuple[Halves, Halves]:
    total = sample.sums[:, 0].sum()
    sums = _contrast(sample.design, sample.half_sums.sums, sample.half_sizes.sums, total)
    totals = _contrast(sample.design, sample.half_sums.totals[None], sample.half_sizes.totals[None], total)
    return Halves(sums[0], totals[0][0]), Halves(sums[1], totals[1][0])


def _contrast(design: Design, sums: Floats, sizes: Floats, total: float) -> tuple[Floats, Floats]:
    """Score of a regression on membership, membership and values both freed from their mean."""
    share, mean = _shares(design), total / max(int(design.n[0]), 1)
    centred = sizes - share * sizes[:, :1]
    return sums - share * sums[:, :1] - mean * centred, sizes * (1 - 2 * share) + share**2 * sizes[:, :1]


def _shares(design: Design) -> Floats:
    return np.asarray(design.n / max(int(design.n[0]), 1))


def _skewness(residuals: Floats) -> Floats:
    """Size of the skewness of each column's total, as its clusters suggest. Shape: `[C, K]` to `[K]`."""
    second = (residuals**2).sum(axis=0)
    third = np.abs((residuals**3).sum(axis=0))
    known = second > 1e-18
    return np.asarray(np.where(known, third / np.where(known, second, 1.0) ** 1.5, np.inf))


def _contrast_skewness(sample: Sample, scores: Floats) -> Floats:
    """Larger of the contrast's own skewness and of that of as many clusters drawn from the whole task."""
    sizes = sample.design.sizes
    residuals = sample.sums[:, :1] - sample.sums[:, 0].sum() / max(int(sample.design.n[0]), 1) * sizes[:, :1]
    pooled = _skewness(residuals)[0] * np.sqrt(effective_clusters(sizes)[0])
    return np.asarray(np.maximum(_skewness(scores), pooled / np.sqrt(np.maximum(effective_clusters(sizes), 1.0))))


def _estimates(
    design: Design, numbers: tuple[Floats, Floats, Floats, Floats], methods: list[str], level: float
) -> list[Estimate]:
    needed = needed_clusters(level)
    found = []
    for column, method in enumerate(methods):
        n, clusters = int(design.n[column]), int(design.n_clusters[column])
        value, low, high, p_value = (float(array[column]) for array in numbers)
        if n == 0:
            found.append(Estimate.undefined("no examples"))
        elif clusters < needed or not math.isfinite(low + high):
            reason = f"too few clusters for an interval: {clusters}, at least {needed} of like size are needed"
            found.append(Estimate(value, n=n, n_clusters=clusters, reason=reason))
        else:
            found.append(Estimate(value, low, high, p_value, n=n, n_clusters=clusters, method=method))
    return found


def _unless_whole(estimate: Estimate, share: float) -> Estimate:
    if share < 1:
        return estimate
    reason = "the group is the whole task"
    return Estimate.undefined(reason, n=estimate.n, n_clusters=estimate.n_clusters)


def rates(design: Design, values: Floats, *, level: float = 0.95) -> list[Estimate]:
    """Mean in each group of values between 0 and 1, the whole task first. No test is made.

    Shape: values `[E]`.
    """
    found = Rates.of(design.sums(values), design.sizes)
    unknown = np.full(len(found.value), np.nan)
    return _estimates(design, (found.value, *found.limits(level), unknown), [RATES] * len(unknown), level)
