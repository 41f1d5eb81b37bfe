"""Seeds and clusters are crossed: every seed answers every cluster, and both are a sample of more.

Clusters are resampled by halves. Of seeds there are two to five, too few to resample from: their
deviations are drawn from the posterior of a normal variance, less what chance within clusters explains.
"""

import numpy as np

from chaintune.stats.clusters import Floats
from chaintune.stats.halves import Halves, ratio_draws


def seed_noise(sums: Floats, sizes: Floats, draws: int, seed: int) -> Floats:
    """Draws of the error that comes from having these seeds and not others.

    Args:
        sums: numerators of ratios, by seed and cluster.
        sizes: denominators.
        draws: how many.
        seed: of the draws.

    Shape: sums and sizes `[S, C, K]`, result `[draws, K]`; zeros for one seed.
    """
    seeds, _, columns = sums.shape
    if seeds == 1:
        return np.zeros((draws, columns))
    between, within = seed_variances(sums, sizes)
    # Another stream than that of the halves, which the same seed gives.
    rng = np.random.default_rng([seed, 1])
    inflation = (seeds - 1) / rng.chisquare(seeds - 1, (draws, columns))
    return np.asarray(rng.standard_normal((draws, columns)) * np.sqrt(np.maximum(between * inflation - within, 0.0)))


def seed_variances(sums: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Variance of the mean over seeds: as the seeds differ, and what of it the clusters' noise explains.

    Shape: sums and sizes `[S, C, K]`, results `[K]`.
    """
    seeds, clusters, _ = sums.shape
    total = sizes.sum(axis=(0, 1))
    safe = np.where(total == 0, 1.0, total)
    scores = (sums - sums.sum(axis=(0, 1)) / safe * sizes) / (safe / seeds)
    deviations = scores.sum(axis=1)
    between = deviations.var(axis=0, ddof=1) / seeds
    noise = scores - scores.mean(axis=0, keepdims=True) - (deviations / clusters)[:, None]
    within = (noise**2).sum(axis=(0, 1)) / (seeds * (seeds - 1)) * clusters / max(clusters - 1, 1)
    return between, within


def crossed(
    numerator: Halves, denominator: Halves, noise: Floats, level: float | Floats
) -> tuple[Floats, Floats, Floats]:
    """Ends of the interval and p-value against 0 when halves of the clusters and seeds are both drawn.

    Args:
        numerator: halves of the mean over seeds.
        denominator: halves of its denominators.
        noise: of `seed_noise`, one row for each half, the row of all clusters apart.
        level: of the interval.

    Shape: noise `[2 R, K]`, level a number or `[K]`, results `[K]`.
    """
    lows, highs = ratio_draws(numerator, denominator)
    drawn = np.concatenate([lows[1:], highs[1:]]) + noise
    # Beyond 0 lie as many draws as the p-value allows: the interval leaves out 0 exactly where that is small enough.
    allowed = np.broadcast_to((1 - np.asarray(level)) * (len(drawn) + 1) / 2 + 1e-9, drawn.shape[1:])
    places, columns = np.maximum(allowed.astype(np.int64) - 1, 0), np.arange(drawn.shape[1])
    last = len(drawn) - 1
    ordered = np.partition(drawn, np.unique([places, last - places]), axis=0)
    low, high = ordered[places, columns], ordered[last - places, columns]
    below, above = ((drawn <= 0).sum(axis=0), (drawn >= 0).sum(axis=0))
    p_value = np.minimum(1.0, 2 * (np.minimum(below, above) + 1) / (len(drawn) + 1))
    return low, high, p_value
