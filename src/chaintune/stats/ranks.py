"""Rank correlation of pairs."""

import math
from statistics import NormalDist

import numpy as np

from chaintune.errors import number_of
from chaintune.records import Estimate
from chaintune.stats.clusters import Floats

FEWEST_PAIRS = 4
_METHOD = "Spearman; interval by Fisher's z with the variance of Bonett and Wright, p by permutation"


def rank_correlation(
    left: Floats, right: Floats, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """Spearman's correlation of two columns of numbers, and the test that it is 0; `n` counts pairs.

    Pairs are taken as independent draws. Where fewer than `resamples` permutations exist, all are tried.

    Args:
        left: one number a pair.
        right: the other number of each pair, in the same order.
        level: of the interval.
        resamples: permutations to draw.
        seed: of the draws.

    Shape: both `[N]`.

    Undefined: fewer than 4 pairs, a column without variation, or a number that is none. The interval alone
        is undefined where the ranks agree perfectly: its width would be 0.

    Source: Bonett and Wright (2000), Sample size requirements for estimating Pearson, Kendall and Spearman
        correlations, Psychometrika 65.
    """
    n = len(left)
    if n < FEWEST_PAIRS:
        return Estimate.undefined(f"{number_of(n, 'pair')}, at least {FEWEST_PAIRS} are needed", n=n)
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return Estimate.undefined("a pair holds a number that is undefined", n=n)
    if min(np.ptp(left), np.ptp(right)) == 0:
        return Estimate.undefined("one of the two is the same in all pairs", n=n)
    value = _spearman(left, right)
    low, high = _interval(value, n, level)
    reason = "" if math.isfinite(low) else "no interval: the ranks agree perfectly"
    p_value = _p_value(left, right, resamples, seed)
    return Estimate(value, low, high, p_value, n=n, method=_METHOD, reason=reason)


def _spearman(left: Floats, right: Floats) -> float:
    from scipy.stats import rankdata  # a quarter of a second to import, which comparisons need not wait for

    correlation = float(np.corrcoef(rankdata(left), rankdata(right))[0, 1])
    return max(-1.0, min(1.0, correlation))


def _interval(value: float, n: int, level: float) -> tuple[float, float]:
    if 1 - abs(value) < 1e-12:
        return math.nan, math.nan
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt((1 + value**2 / 2) / (n - 3))
    return math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)


def _p_value(left: Floats, right: Floats, resamples: int, seed: int) -> float:
    from scipy.stats import permutation_test, rankdata

    ranks = rankdata(right)
    test = permutation_test(
        (rankdata(left),),
        lambda shuffled: float(np.corrcoef(shuffled, ranks)[0, 1]),
        permutation_type="pairings",
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)
