"""Disparity: the spread of means over groups, against what chance alone gives."""

import math
from zlib import crc32

import numpy as np

from chaintune.records import Estimate
from chaintune.stats.balanced import spread_parts
from chaintune.stats.clusters import Floats
from chaintune.stats.contrasts import SCATTER_FLOOR, common_scatter, contrast_by_seed
from chaintune.stats.convolution import error_of_draws
from chaintune.stats.effects import FLOOR, SIGN_FLIP, exactness
from chaintune.stats.halves import halves
from chaintune.stats.sample import Sample
from chaintune.stats.seeds import seed_noise


def disparity(sample: Sample, groups: list[int]) -> tuple[Estimate, float]:
    """Largest minus smallest mean among some groups, and what it would be on average if all were alike.

    Args:
        sample: values in their groups.
        groups: columns of the design that take part.
    """
    done, values = 0, []
    ends: list[tuple[Floats, Floats]] = []
    for part in sample.parts():
        own = [k - done for k in groups if done < k < done + len(part.design.n)]
        done += len(part.design.n) - 1
        if own:
            means, null = _means_if_alike(part, own)
            values.append(means)
            ends.append((null.min(axis=1), null.max(axis=1)))
    lows, highs = zip(*ends, strict=True)
    spread = np.max(highs, axis=0) - np.min(lows, axis=0)
    value = float(np.ptp(np.concatenate(values)))
    # Row 0 is the data themselves, so the p-value is never 0.
    p_value = float(((spread[1:] >= value - 1e-12).sum() + 1) / len(spread))
    off = exactness(float(error_of_draws(np.array(p_value), len(spread))))
    estimate = Estimate(
        value,
        p_value=p_value,
        n=int(sample.design.n[0]),
        n_clusters=len(np.unique(sample.design.clusters[sample.design.members[:, groups].sum(axis=1) > 0])),
        n_seeds=sample.n_seeds,
        method=f"{SIGN_FLIP} with equality imposed{off}; {FLOOR}",
        reason="no interval: a maximum over noisy groups is too large on average, see its null expectation",
    )
    return estimate, float(spread[1:].mean()) if len(spread) > 1 else math.nan


def _means_if_alike(sample: Sample, groups: list[int]) -> tuple[Floats, Floats]:
    """Means of some groups, and draws of what they would deviate by if all groups were alike.

    Shape: `[G]`, `[R + 1, G]`.
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
        seed_sums, sizes = contrast_by_seed(sample)
        pools = None if sample.design.pools is None else sample.design.pools[groups]
        null = null + seed_noise(seed_sums[:, :, groups], sizes[:, :, groups], len(null), sample.seed, pools)
    return means[groups], null


def _least_scatter(sample: Sample, groups: list[int]) -> Floats:
    """The least variance of a group's mean that is believed. Shape: `[G]`."""
    sizes = sample.design.sizes[:, groups]
    variance, correlation = common_scatter(sample)
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
