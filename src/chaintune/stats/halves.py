"""Random halves of the clusters: every test and most intervals come from these sums.

The mean of a random half of the clusters falls below the true mean as often as above it when cluster
totals scatter symmetrically about the truth (Hartigan 1969, "typical values"). Reading quantiles of
such means is the exact inverse of flipping the signs of cluster totals, so interval and p-value agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chaintune.stats.clusters import Floats, Integers

_BLOCK_CELLS = 2_000_000
_TIE = 1e-12
# Drawing equal clusters together as one binomial number pays from this many on.
_MANY_ALIKE = 10


@dataclass(frozen=True, eq=False)
class Halves:
    """Sums of columns over random halves of the clusters; row 0 is the half that holds every cluster.

    Shape: sums `[R + 1, M]`, totals `[M]`.
    """

    sums: Floats
    totals: Floats


def halves(columns: Floats, *, resamples: int, seed: int) -> Halves:
    """Sums of each column over random halves of the rows.

    When there are no more different halves than `resamples`, each is taken once.

    Args:
        columns: one row a cluster.
        resamples: halves to draw.
        seed: same seed, same bits.

    Shape: columns `[C, M]`.
    """
    totals = columns.sum(axis=0)
    if 2 ** min(len(columns) - 1, 62) <= resamples:
        return Halves(_every_half(len(columns)) @ columns, totals)
    first, counts = _distinct(columns)
    if len(columns) < _MANY_ALIKE * len(first):
        first, counts = np.arange(len(columns)), np.ones(len(columns), dtype=np.int64)
    drawn = [totals[None]]
    drawn += [weights @ columns[first] for weights in _random_halves(counts, resamples, seed)]
    return Halves(np.concatenate(drawn), totals)


def _every_half(n: int) -> Floats:
    """All halves that hold the first cluster; the complement of each is a half as well."""
    patterns = np.arange(2 ** (n - 1))[:, None] >> np.arange(n - 1)[None]
    return np.concatenate([np.ones((len(patterns), 1)), 1.0 - (patterns & 1)], axis=1)


def _distinct(columns: Floats) -> tuple[Integers, Integers]:
    """First row and number of each set of equal rows, in order of the first row."""
    # One random weight a column tells rows apart by a single number, far quicker than by sorting rows.
    weights = np.random.default_rng(0).normal(size=columns.shape[1])
    _, first, counts = np.unique((columns * weights).sum(axis=1), return_index=True, return_counts=True)
    order = np.argsort(first)
    return first[order], counts[order]


def _random_halves(counts: Integers, resamples: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_CELLS // len(counts))
    single = bool(counts.max() == 1)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        if single:
            bits = np.unpackbits(np.frombuffer(rng.bytes(rows * (-(-len(counts) // 8))), np.uint8).reshape(rows, -1), 1)
            yield bits[:, : len(counts)].astype(np.float64)
        else:
            yield rng.binomial(counts, 0.5, (rows, len(counts))).astype(np.float64)


def ratio_draws(numerator: Halves, denominator: Halves) -> tuple[Floats, Floats]:
    """Smaller and larger of the ratios in each half and in the rest; infinite where one has no size.

    Shape: both `[R + 1, K]`.
    """
    parts = [(numerator.sums, denominator.sums)]
    parts += [(numerator.totals - numerator.sums, denominator.totals - denominator.sums)]
    floor = _TIE * np.abs(denominator.totals)
    usable = np.logical_and(*(size > floor for _, size in parts))
    one, other = (np.divide(total, size, out=np.zeros_like(total), where=usable) for total, size in parts)
    return np.where(usable, np.minimum(one, other), -np.inf), np.where(usable, np.maximum(one, other), np.inf)


def interval(lows: Floats, highs: Floats, level: float) -> tuple[Floats, Floats]:
    """Ends of the set of values that the sign-flip test does not reject; infinite when it rejects none.

    Shape: lows and highs `[R + 1, K]`, ends `[K]`.
    """
    kth = int((1 - level) * len(lows) + 1e-9)
    return np.partition(lows, kth, axis=0)[kth], -np.partition(-highs, kth, axis=0)[kth]


def sign_flip_p(numerator: Halves, scale: Floats) -> Floats:
    """Two-sided p-value that each column's total is 0: exact when cluster totals are symmetric about 0.

    Args:
        numerator: halves of the column.
        scale: sum of absolute cluster totals, for telling a tie from rounding.

    Shape: `[K]`.
    """
    product = numerator.sums * (numerator.totals - numerator.sums)
    return np.asarray((product <= _TIE * scale**2).mean(axis=0))
