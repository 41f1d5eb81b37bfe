"""Rank correlation of pairs."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from chaintune.errors import number_of
from chaintune.records import Estimate
from chaintune.stats.clusters import Floats

FEWEST_PAIRS = 4
_INTERVAL = "interval by Fisher's z with the variance of Bonett and Wright"
_METHOD = f"Spearman; {_INTERVAL}, p by permutation"
_WITHIN = f"Spearman of ranks within each stratum; {_INTERVAL}, p by permutation within each"


def rank_correlation(
    left: Floats,
    right: Floats,
    *,
    strata: Sequence[str] = (),
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Spearman's correlation of two columns of numbers, and the test that it is 0; `n` counts pairs.

    Pairs are taken as independent draws. Of one stratum with fewer than `resamples` permutations, all are tried.

    With several strata a number is ranked among those of its stratum alone, so that a difference between strata makes
    no correlation: both columns are deviations from the mean rank of their stratum, permutations stay within it, and
    the interval counts one pair less for each further stratum.

    Args:
        left: one number a pair.
        right: the other number of each pair, in the same order.
        strata: of each pair; none for one stratum.
        level: of the interval.
        resamples: permutations to draw.
        seed: of the draws.

    Shape: both `[N]`.

    Undefined: fewer than 4 pairs, a column without variation in any stratum, or a number that is none. The interval
        alone is undefined where the ranks agree perfectly: its width would be 0.

    Source: Bonett and Wright (2000), Sample size requirements for estimating Pearson, Kendall and Spearman
        correlations, Psychometrika 65.
    """
    n, names = len(left), np.asarray(strata or [""] * len(left))
    parts = [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]
    further = max(len(parts) - 1, 0)  # none of no pairs at all
    if n < FEWEST_PAIRS + further:
        return Estimate.undefined(f"{number_of(n, 'pair')}, at least {FEWEST_PAIRS + further} are needed", n=n)
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return Estimate.undefined("a pair holds a number that is undefined", n=n)
    one, other = (_deviations(column, parts) for column in (left, right))
    if not (one.any() and other.any()):
        return Estimate.undefined("one of the two is the same in all pairs", n=n)
    value = _correlation(one, other)
    low, high = _interval(value, n - further, level)
    reason = "" if math.isfinite(low) else "no interval: the ranks agree perfectly"
    p_value = _p_within(one, other, parts, resamples, seed) if further else _p_value(one, other, resamples, seed)
    return Estimate(value, low, high, p_value, n=n, method=_WITHIN if further else _METHOD, reason=reason)


def _deviations(values: Floats, parts: Sequence[NDArray[np.intp]]) -> Floats:
    """The rank of each number among those of its stratum, less their mean."""
    from scipy.stats import rankdata  # a quarter of a second to import, which comparisons need not wait for

    ranks = np.empty(len(values))
    for part in parts:
        ranks[part] = rankdata(values[part]) - (len(part) + 1) / 2
    return ranks


def _correlation(left: Floats, right: Floats) -> float:
    return max(-1.0, min(1.0, float(left @ right / math.sqrt((left @ left) * (right @ right)))))


def _interval(value: float, n: int, level: float) -> tuple[float, float]:
    if 1 - abs(value) < 1e-12:
        return math.nan, math.nan
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt((1 + value**2 / 2) / (n - 3))
    return math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)


def _p_value(left: Floats, right: Floats, resamples: int, seed: int) -> float:
    from scipy.stats import permutation_test

    test = permutation_test(
        (left,),
        lambda shuffled: _correlation(shuffled, right),
        permutation_type="pairings",
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _p_within(left: Floats, right: Floats, parts: Sequence[NDArray[np.intp]], resamples: int, seed: int) -> float:
    """The share of permutations within the strata that correlate as much, the data among them."""
    rng, products = np.random.default_rng(seed), np.zeros(resamples)
    for part in parts:
        products += rng.permuted(np.tile(left[part], (resamples, 1)), axis=1) @ right[part]
    as_much = np.abs(products) >= abs(float(left @ right)) - 1e-9
    return float((1 + as_much.sum()) / (1 + resamples))
