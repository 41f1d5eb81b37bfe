"""Means that are balanced over labels: groups held against the others label by label, and how sure they are.

Everything is a sum of cluster influences, of a mean `sum_l (S_cl - n_cl m_l) / (L N_l)`, so one cluster may hold
several labels. Random halves and sign flips of clusters work on them as on plain sums; where few clusters of one label
decide, limits reach no less far than those of Student's t.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chaintune.stats.clusters import Design, Floats, Labels
from chaintune.stats.rates import Rates


@dataclass(frozen=True, eq=False)
class Contrast:
    """Each group held against the whole task or the rest, over the labels that count in both.

    Attributes:
        sums: of clusters, a seed at a time; over `weights` they give the contrast, and scatter as its influences do.
        weights: of clusters; they add up to 1, or to 0 where nothing can be compared.
        influences: of each label's and cluster's examples on the contrast of the mean over seeds.
        scatter: variance that each cluster adds at the whole task's common scatter.

    Shape: sums `[S, C, K]`, weights and scatter `[C, K]`, influences `[L, C, K]`.
    """

    sums: Floats
    weights: Floats
    influences: Floats
    scatter: Floats


def contrast(design: Design, labels: Labels, by_seed: Floats, values: Floats, *, overall: bool) -> Contrast:
    """The contrast of every group; one of dimension `label` is held against the mean over labels, or over the others.

    Args:
        design: clusters and groups.
        labels: of the examples.
        by_seed: sums of each label and cluster, a seed at a time.
        values: of each example, the mean over the seeds.
        overall: against the whole task, else against the rest.

    Shape: by_seed `[S, L, C, K]`, values `[E]`.
    """
    sizes, whole = labels.sizes, labels.sizes[:, :, :1]
    share = labels.n / np.maximum(labels.n[:, :1], 1)
    leverage = sizes * (1 - 2 * share[:, None]) + share[:, None] ** 2 * whole
    leaned = sizes - share[:, None] * whole
    per_label = _mean_of(labels.compared & (labels.only < 0)) / np.where(share < 1, labels.n * (1 - share), 1.0).clip(1)
    factor = per_label * ((1 - share) if overall else 1.0)
    alone = label_factors(labels, overall=overall) / np.maximum(labels.n[:, :1], 1)
    size = np.abs(alone * labels.n[:, :1]).sum(axis=0)
    weights = (per_label[:, None] * leverage).sum(axis=0)
    weights = weights + (np.abs(alone)[:, None] * whole).sum(axis=0) / np.where(size > 0, size, 1.0)

    def influences(sums: Floats) -> tuple[Floats, Floats]:
        residual = sums[:, :, :1] - labels.means(sums)[:, None, :1] * whole
        scores = sums - labels.means(sums)[:, None, :1] * sizes - share[:, None] * residual
        gap = scores.sum(axis=1) / np.where(share < 1, labels.n * (1 - share), 1.0).clip(1)
        value = (factor * scores.sum(axis=1)).sum(axis=0) + (alone * sums[:, :, :1].sum(axis=1)).sum(axis=0)
        own = factor[:, None] * (scores - gap[:, None] * leverage)
        return own + alone[:, None] * residual, value

    seeds = [influences(sums) for sums in by_seed]
    variances, correlation = common_scatter(design, labels, values)
    scatter = _added(factor, variances, correlation, leverage, leaned)
    scatter = scatter + _added(alone, variances, correlation, whole, whole)
    sums = np.stack([own.sum(axis=0) + value * weights for own, value in seeds])
    return Contrast(sums, weights, influences(by_seed.mean(axis=0))[0], scatter)


def spread_parts(design: Design, labels: Labels, sums: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """What a disparity is made of: each group's mean, its clusters' errors if all groups were alike, their variance.

    A group without a mean of its own counts as the whole task's mean and its own difference from it.

    Args:
        design: clusters and groups.
        labels: of the examples.
        sums: of each label and cluster.
        values: of each example.

    Shape: sums `[L, C, K]`, values `[E]`, results `[K]`, `[C, K]`, `[C, K]`.
    """
    means = labels.means(sums)
    has_own = labels.shares.sum(axis=0) > 0
    shares = np.where(has_own, labels.shares, _mean_of(labels.compared))
    mean = float((labels.shares * means).sum(axis=0)[0])
    alike = np.where(labels.only < 0, means[:, :1], mean)
    per_example = shares / np.maximum(labels.n, 1)
    errors = (per_example[:, None] * (sums - alike[:, None] * labels.sizes)).sum(axis=0)
    variance = _added(per_example, *common_scatter(design, labels, values), labels.sizes, labels.sizes)
    return mean + (shares * (means - np.where(labels.only < 0, means[:, :1], mean))).sum(axis=0), errors, variance


def mean_scatter(design: Design, labels: Labels, values: Floats) -> Floats:
    """Variance of each group's own mean at the whole task's common scatter, label by label.

    Shape: values `[E]`, result `[L, K]`.
    """
    variances, correlation = common_scatter(design, labels, values)
    together = (1 - correlation) * labels.n + correlation * (labels.sizes**2).sum(axis=1)
    return np.asarray(variances[:, None] * (labels.shares / np.maximum(labels.n, 1)) ** 2 * together)


def error_of(influences: Floats, worth: Floats) -> tuple[Floats, Floats]:
    """Standard error of an estimate and its degrees of freedom, from the influences of labels' clusters.

    A label's clusters scatter about their own mean, which few of them pull to themselves, so the influences of `c`
    clusters are grown by the root of `c / (c - 1)`. The degrees of freedom are Satterthwaite's over labels.

    Args:
        influences: of each label and cluster; a cluster may hold several labels.
        worth: clusters of equal size that each label is worth.

    Shape: influences `[L, C, K]`, worth `[L, K]`, results `[K]`.
    """
    grown = influences * np.sqrt(worth / (worth - 1))[:, None]
    by_label = (grown**2).sum(axis=1)
    squares = (by_label**2 / (worth - 1)).sum(axis=0)
    freedom = np.divide(by_label.sum(axis=0) ** 2, squares, out=np.ones_like(squares), where=squares > 0)
    return np.sqrt((grown.sum(axis=0) ** 2).sum(axis=0)), freedom


def common_scatter(design: Design, labels: Labels, values: Floats) -> tuple[Floats, float]:
    """Variance of each label's values in the whole task, and their correlation within clusters.

    Shape: values `[E]`, variances `[L]`.
    """
    residuals = values - labels.means(design.label_sums(values))[labels.codes, 0]
    variances = np.bincount(labels.codes, residuals**2, len(labels.names)) / np.maximum(labels.n[:, 0], 1)
    deviations = np.sqrt(variances)[labels.codes]
    scaled = np.divide(residuals, deviations, out=np.zeros_like(residuals), where=deviations > 0)
    total, count = (np.bincount(design.clusters, one, len(design.sizes)) for one in (scaled, 1.0 * (deviations > 0)))
    pairs = float((count**2 - count).sum())
    correlation = (float((total**2).sum()) - float((scaled**2).sum())) / pairs if pairs > 0 else 0.0
    return variances, min(max(correlation, 0.0), 1.0)


def label_limits(
    design: Design, labels: Labels, values: Floats, level: float | Floats, *, whole: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Mean of each label's values between 0 and 1 in each group, and its exact limits.

    Args:
        design: clusters and groups.
        labels: of the examples.
        values: of each example.
        level: of the limits of each group.
        whole: of the whole task instead, as often as there are groups.

    Shape: values `[E]`, level a number or `[K]`, results `[L, K]`.
    """
    # As of shares, which scatter most.
    of_labels = zip(design.label_sums(values), labels.sizes, strict=True)
    counted = [Rates.of(sums, sizes, sums.sum(axis=0)) for sums, sizes in of_labels]
    counted = [one.repeated(0) for one in counted] if whole else counted
    lows, highs = (np.stack(ends) for ends in zip(*(one.limits(level) for one in counted), strict=True))
    return np.stack([one.value for one in counted]), lows, highs


def combined(factors: Floats, values: Floats, lows: Floats, highs: Floats) -> tuple[Floats, Floats, Floats]:
    """Sum of labels' means times a factor, and its ends, as if labels were independent (Zou and Donner 2008).

    Shape: factors `[L, K]`, the rest the same or `[L, 1]`; results `[K]`.
    """
    value = (factors * values).sum(axis=0)
    down, up = (np.where(factors > 0, *ends) - values for ends in ((lows, highs), (highs, lows)))
    below, above = (np.sqrt(((factors * part) ** 2).sum(axis=0)) for part in (down, up))
    return value, value - below, value + above


def label_factors(labels: Labels, *, overall: bool) -> Floats:
    """What each label's mean counts in the contrast of a group of dimension `label`. Shape: `[L, K]`."""
    number = int(labels.whole.sum())
    others = labels.whole[:, None] * (1 / max(number, 1) if overall else ~labels.is_only / max(number - 1, 1))
    compared = (labels.compared & labels.is_only).any(axis=0)
    return np.asarray(compared * (labels.is_only - others))


def _mean_of(counts: NDArray[np.bool_]) -> Floats:
    return np.asarray(counts / np.maximum(counts.sum(axis=0), 1))


def _added(factor: Floats, variances: Floats, correlation: float, alone: Floats, together: Floats) -> Floats:
    """Variance that clusters add to a sum over labels. Shape: factor `[L, K]`, alone and together `[L, C, K]`."""
    both = (1 - correlation) * alone + correlation * together**2
    return np.asarray(((factor**2 * variances[:, None])[:, None] * both).sum(axis=0))
