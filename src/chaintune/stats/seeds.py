"""Seeds and clusters are crossed: every seed answers every cluster, and both are a sample of more.

Clusters are resampled by halves. Of seeds there are two to five, too few to resample from: their
deviations are drawn from the posterior of a normal variance, less what chance within clusters explains.
"""

import math
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from scipy import special

from chaintune.stats.clusters import Floats, Integers
from chaintune.stats.halves import Halves, ratio_draws

Variances = tuple[Floats, Floats, Floats]

# Candidates of the variance that columns have in common, over the mean variance between seeds, and of the degrees of
# freedom of what each column has of its own.
_COMMON = np.concatenate([[0.0], np.geomspace(0.01, 8.0, 33)])
_FREEDOM = np.geomspace(0.5, 128.0, 17)
# The least variance, over the mean one, that a column may be drawn towards.
_LEAST = 1e-9
_KEY_DIGITS = 6


def seed_noise(
    sums: Floats,
    sizes: Floats,
    draws: int,
    seed: int,
    pools: Integers | None = None,
    recipes: Floats | None = None,
) -> Floats:
    """Draws of the error that comes from having these seeds and not others.

    Args:
        sums: numerators of ratios, by seed and cluster.
        sizes: denominators.
        draws: how many.
        seed: of the draws.
        pools: as of `seed_variances`.
        recipes: likewise.

    Shape: sums and sizes `[S, C, K]`, pools `[K]`, recipes `[S, C, R]`, result `[draws, K]`; zeros for one seed.
    """
    seeds, _, columns = sums.shape
    if seeds == 1:
        return np.zeros((draws, columns))
    scores = _scores(sums, sizes)
    if pools is None:
        between, within = _variances(scores)
        # Another stream than that of the halves, which the same seed gives.
        rng = np.random.default_rng([seed, 1])
        inflation = (seeds - 1) / rng.chisquare(seeds - 1, (draws, columns))
        return np.asarray(
            rng.standard_normal((draws, columns)) * np.sqrt(np.maximum(between * inflation - within, 0.0))
        )
    noise = np.zeros((draws, columns))
    for part, variances in _parts(scores, pools, _recipe_scores(recipes, sizes)):
        for column in np.flatnonzero(variances[0] > 0).tolist():
            noise[:, column] += _column_noise(part[:, :, column], [one[column] for one in variances], draws, seed)
    return noise


def _column_noise(scores: Floats, variances: Sequence[float], draws: int, seed: int) -> Floats:
    """Draws for one column, the same wherever it stands, and mirrored for a column that is its mirror image."""
    between, within, freedom = variances
    rounded = np.round(scores / np.abs(scores).max(), _KEY_DIGITS)
    sign = float(np.sign(rounded.ravel()[np.argmax(rounded.ravel() != 0)]))
    rng = np.random.default_rng([seed, 1, crc32((sign * rounded + 0.0).tobytes())])
    inflation = freedom / rng.chisquare(freedom, draws)
    noise = rng.standard_normal(draws) * np.sqrt(np.maximum(between * inflation - within, 0.0))
    # The halves that `crossed` adds them to change places in a mirror image: the smaller ratios are then the larger.
    return noise if sign > 0 else -np.roll(noise, draws // 2)


def seed_variances(
    sums: Floats, sizes: Floats, pools: Integers | None = None, recipes: Floats | None = None
) -> Variances:
    """Variance of the mean over seeds: as seeds differ, what of it clusters' noise explains, and how sure the first is.

    Of a pool of columns the variance between seeds is moderated: drawn towards what all of them suggest, by as much as
    they resemble each other (Smyth 2004). What a group shares with the whole task is estimated from the whole task,
    what sets it apart from it is pooled. Where other recipes were trained under as many seeds, the variance of the
    whole task is moderated in the same way, over the recipes.

    Args:
        sums: numerators of ratios, by seed and cluster.
        sizes: denominators.
        pools: number of each column's pool, 0 for the whole task, which has none; None, and every column stands alone.
        recipes: numerators of the whole task under other recipes; None, and it stands alone.

    Returns:
        Variance between seeds, variance that clusters explain, degrees of freedom of the first.

    Shape: sums and sizes `[S, C, K]`, pools and results `[K]`, recipes `[S, C, R]`.

    Source: Smyth (2004), *Linear models and empirical Bayes methods for assessing differential expression*.
    """
    scores = _scores(sums, sizes)
    if pools is None:
        between, within = _variances(scores)
        return between, within, np.full(len(between), len(scores) - 1.0)
    several = [variances for _, variances in _parts(scores, pools, _recipe_scores(recipes, sizes))]
    between, within = (np.sum([one[at] for one in several], axis=0) for at in (0, 1))
    # Satterthwaite's degrees of freedom of a sum of two variances.
    squares = np.sum([one[0] ** 2 / one[2] for one in several], axis=0)
    freedom = np.divide(between**2, squares, out=np.full_like(between, len(scores) - 1.0), where=squares > 0)
    return between, within, freedom


def farthest(values: Floats, noise: float = 0.0) -> tuple[int, float, float]:
    """The value that lies farthest from the others, how far from their mean, and how likely it is by chance.

    The p-value is that of Grubbs' test: that the farthest of so many normal values lies so far from the others. Seeds
    that agree better than their examples allow do so by luck, as counts of examples that are equal.

    Args:
        values: one of each seed, three or more.
        noise: standard deviation of a seed's value that its examples explain; the others scatter no less.

    Returns:
        Its place, its difference from the mean of the others, the p-value; NaN where all are equal.

    Shape: values `[S]`.

    Source: Grubbs (1969), *Procedures for detecting outlying observations in samples*.
    """
    n, deviations = len(values), values - values.mean()
    place = int(np.argmax(np.abs(deviations)))
    others = np.delete(values, place)
    away = float(values[place] - others.mean())
    if not np.ptp(values) > 0:
        return place, away, math.nan
    error = max(float(others.std(ddof=1)), noise) * math.sqrt(n / (n - 1))
    tail = 2 * float(special.stdtr(n - 2, -abs(away) / error)) if error > 0 else 0.0
    return place, away, min(1.0, n * tail)


def _parts(scores: Floats, pools: Integers, recipes: Floats) -> list[tuple[Floats, Variances]]:
    """The columns as sums of what they share with the whole task and what sets them apart, each with its variances."""
    columns, freedom = len(pools), len(scores) - 1.0
    whole = np.flatnonzero(pools == 0)[:1]
    common = np.broadcast_to(scores[:, :, whole] if len(whole) else np.zeros((1, 1, 1)), scores.shape)
    apart = scores - common
    shared, own = ((np.zeros(columns), np.zeros(columns), np.full(columns, freedom)) for _ in range(2))
    alone = np.ones(columns, dtype=bool)
    for pool in np.unique(pools[pools > 0]):
        members = np.flatnonzero((pools == pool) & apart.any(axis=(0, 1)))
        moderated = _moderated(apart[:, :, members])
        if moderated is not None:
            alone[members] = False
            for array, values in zip(shared, moderated, strict=True):
                array[members] = values
    own[0][alone], own[1][alone] = _variances(scores[:, :, alone])
    if len(whole):
        several = np.concatenate([scores[:, :, whole], recipes], axis=2)
        several = several[:, :, several.any(axis=(0, 1))]
        moderated = _moderated(several) if recipes.size and common.any() else None
        if moderated is not None:
            for array, values in zip(own, moderated, strict=True):
                array[whole] = values[0]
        for array in own:
            array[~alone] = array[whole]
    return [(np.where(alone, scores, common), own), (apart, shared)]


def _moderated(scores: Floats) -> Variances | None:
    """Variances of columns that are estimated together; None where they are worth fewer than two.

    The variance between seeds of a column is what its clusters explain plus a part that all columns have in common,
    times a draw of the column's own (scaled inverse chi-square). The common part is the likeliest; the degrees of
    freedom of the draw are averaged over their likelihood, as the reciprocals that they enter a variance with. They
    are capped at what the other columns are worth, for no more is known of the common part.
    """
    between, within = _variances(scores)
    if not between.any():
        return None
    # Sums are made in an order that the columns have by themselves.
    order = np.lexsort((within, between))
    observed, explained, freedom = between[order], within[order], len(scores) - 1.0
    scale = observed.mean()
    candidates = np.maximum(_COMMON[:, None, None] * scale + explained, _LEAST * scale)
    prior = _FREEDOM[None, :, None]
    likelihood = (
        special.gammaln((prior + freedom) / 2) - special.gammaln(prior / 2) + prior / 2 * np.log(prior * candidates)
        - (prior + freedom) / 2 * np.log(prior * candidates + freedom * observed)
    ).sum(axis=2)  # fmt: skip
    weights = np.exp(likelihood - likelihood.max())
    common = _COMMON[np.argmax(weights.sum(axis=1))] * scale
    target = np.maximum(common + within, _LEAST * scale)
    worth = _worth(scores[:, :, order], target[order])
    if worth < 2:
        return None
    strength = min(float(weights.sum() / (weights / _FREEDOM[None]).sum()), (worth - 1) * freedom)
    total = freedom + strength
    return (freedom * between + strength * target) / total, within, np.full(len(between), total)


def _worth(scores: Floats, target: Floats) -> float:
    """How many independent columns these are worth, by their clusters and, where seeds are three or more, by the seeds.

    Correlated columns tell a common variance worse, by the sum of the squared correlations. Two complementary groups
    are one column; so are columns that seeds move in one pattern.
    """
    seeds, clusters, columns = scores.shape
    deviations = scores.sum(axis=1)
    deviations = deviations - deviations.mean(axis=0)
    noise = (scores - scores.mean(axis=0) - (deviations / clusters)[:, None]).reshape(-1, columns)
    size = np.sqrt((noise**2).sum(axis=0))
    noise = noise / np.where(size > 0, size, 1.0)
    products = noise.T @ noise if columns <= len(noise) else noise @ noise.T
    worth = float((size > 0).sum()) ** 2 / max(float((products**2).sum()), 1.0)
    freedom = seeds - 1
    if freedom > 1:
        scaled = deviations / np.sqrt(target)
        products = scaled @ scaled.T
        alike = float((products**2).sum()) / float(np.trace(products)) ** 2
        # Moments of a Wishart matrix of so many columns: E tr(W W) over E (tr W)^2 is (n + d + 1) / (n d + 2).
        worth = min(worth, max((freedom + 1 - 2 * alike) / max(freedom * alike - 1, 1e-9), 1.0))
    return round(worth, _KEY_DIGITS)


def _recipe_scores(recipes: Floats | None, sizes: Floats) -> Floats:
    """As `_scores`, of the whole task under other recipes. Shape: recipes `[S, C, R]`, sizes `[S, C, K]`."""
    if recipes is None:
        return np.zeros((*sizes.shape[:2], 0))
    return _scores(recipes, np.broadcast_to(sizes[:, :, :1], recipes.shape))


def _scores(sums: Floats, sizes: Floats) -> Floats:
    """What each cluster adds to the deviation of a seed's ratio from the mean over seeds. Shape: all `[S, C, K]`."""
    total = sizes.sum(axis=(0, 1))
    safe = np.where(total == 0, 1.0, total)
    return np.asarray((sums - sums.sum(axis=(0, 1)) / safe * sizes) / (safe / len(sums)))


def _variances(scores: Floats) -> tuple[Floats, Floats]:
    """Variance of the mean over seeds, and what of it the clusters' noise explains. Shape: `[S, C, K]` to `[K]`."""
    seeds, clusters, _ = scores.shape
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
