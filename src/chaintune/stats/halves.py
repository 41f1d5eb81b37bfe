"""Random halves of the clusters: every test and most intervals come from these sums.

The mean of a random half of the clusters falls below the true mean as often as above it when cluster
totals scatter symmetrically about the truth (Hartigan 1969, "typical values"). Reading quantiles of
such means is the exact inverse of flipping the signs of cluster totals, so interval and p-value agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from chaintune.stats.clusters import MANY_GROUPS, Floats, Integers

_BLOCK_CELLS = 2_000_000
_TIE = 1e-12
_WORD = 64
# From so many clusters on, equal ones are drawn together as one binomial number; below, what is drawn for a
# group does not depend on which other groups were asked for.
_MANY_CLUSTERS = 8_000
_MANY_ALIKE = 10
# From so many columns on, of which a cluster has few, time follows what the columns hold and not their number.
_MANY_COLUMNS = 2 * MANY_GROUPS

Kinds = tuple[Integers, Integers]


@dataclass(frozen=True, eq=False)
class Halves:
    """Sums of columns over random halves of the clusters; row 0 is the half that holds every cluster.

    Attributes:
        sums: of each half.
        totals: of all clusters.
        clusters: how many there are.

    Shape: sums `[R + 1, M]`, totals `[M]`.
    """

    sums: Floats
    totals: Floats
    clusters: int

    @property
    def is_every(self) -> bool:
        """Whether each half is there once, so that nothing is random."""
        return bool(len(self.sums) == 2 ** min(self.clusters - 1, 62))

    def columns(self, part: slice) -> "Halves":
        """Some of the columns."""
        return Halves(self.sums[:, part], self.totals[part], self.clusters)

    def beside(self, other: "Halves") -> "Halves":
        """These columns, then those."""
        sums, totals = np.concatenate([self.sums, other.sums], axis=1), np.concatenate([self.totals, other.totals])
        return Halves(sums, totals, self.clusters)


def halves(columns: Floats | sparse.csr_array, *, resamples: int, seed: int, kinds: Kinds | None = None) -> Halves:
    """Sums of each column over random halves of the rows.

    When there are no more different halves than `resamples` and the data, each is taken once.

    Args:
        columns: one row a cluster.
        resamples: halves to draw.
        seed: same seed, same bits.
        kinds: of the rows of all columns, where these are some of many.

    Shape: columns `[C, M]`.
    """
    totals, rows = np.asarray(columns.sum(axis=0)), columns.shape[0]
    if 2 ** min(rows - 1, 62) <= resamples + 1:
        dense = columns if isinstance(columns, np.ndarray) else columns.toarray()
        return Halves(_every_half(rows) @ dense, totals, rows)
    first, counts = kinds_of(columns) if kinds is None else kinds
    of_rows: Any = columns[first]
    used = None
    if kinds is not None or columns.shape[1] >= _MANY_COLUMNS:
        of_rows = sparse.csr_array(of_rows)
        used = np.flatnonzero(np.diff(of_rows.indptr))
        of_rows = of_rows[used]
    sums = np.empty((resamples + 1, columns.shape[1]))
    sums[0], done = totals, 1
    for weights in _random_halves(counts, used, resamples, seed):
        sums[done : done + len(weights)] = weights @ of_rows
        done += len(weights)
    return Halves(sums, totals, rows)


def _every_half(n: int) -> Floats:
    """All halves that hold the first cluster; the complement of each is a half as well."""
    patterns = np.arange(2 ** (n - 1))[:, None] >> np.arange(n - 1)[None]
    return np.concatenate([np.ones((len(patterns), 1)), 1.0 - (patterns & 1)], axis=1)


def kinds_of(columns: Floats | sparse.csr_array) -> Kinds:
    """First row and number of the rows that are drawn together, in order of the first row: each row, or all equal ones.

    Shape: columns `[C, M]`.
    """
    every = np.arange(columns.shape[0]), np.ones(columns.shape[0], dtype=np.int64)
    if len(every[0]) <= _MANY_CLUSTERS:
        return every
    # One random weight a column tells rows apart by a single number, far quicker than by sorting rows.
    weights = np.random.default_rng(0).normal(size=(columns.shape[1],))
    marks = (columns * weights).sum(axis=1) if isinstance(columns, np.ndarray) else np.asarray(columns @ weights)
    _, first, counts = np.unique(marks, return_index=True, return_counts=True)
    order = np.argsort(first)
    return (first[order], counts[order]) if len(every[0]) > _MANY_ALIKE * len(first) else every


def _random_halves(counts: Integers, used: Integers | None, resamples: int, seed: int) -> Iterator[Floats]:
    """How many of each kind of rows are in each half, of the kinds that are used; they are drawn for all."""
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_CELLS // len(counts))
    single = bool(counts.max() == 1)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        if single:
            bits = np.frombuffer(rng.bytes(rows * (-(-len(counts) // 8))), np.uint8).reshape(rows, -1)
            if used is None:
                yield np.unpackbits(bits, axis=1)[:, : len(counts)].astype(np.float64)
            else:
                yield (bits[:, used // 8] >> (7 - used % 8).astype(np.uint8) & 1).astype(np.float64)
        else:
            drawn = _fair_binomials(rng, counts, rows)
            yield drawn if used is None else drawn[:, used]


def _fair_binomials(rng: np.random.Generator, counts: Integers, rows: int) -> Floats:
    """Binomial numbers of probability one half. Shape: `[rows, kinds]`.

    Of few trials they are the set bits of a random word: numpy's own draw takes time in proportion to the trials there.
    """
    few, many = np.flatnonzero(counts <= _WORD), np.flatnonzero(counts > _WORD)
    masks = np.iinfo(np.uint64).max >> (_WORD - counts[few]).astype(np.uint64)
    words = np.frombuffer(rng.bytes(rows * masks.nbytes), "<u8").reshape(rows, -1)
    of_few: Floats = np.bitwise_count(words & masks).astype(np.float64)
    if not len(many):
        return of_few
    drawn = np.empty((rows, len(counts)))
    drawn[:, few], drawn[:, many] = of_few, rng.binomial(counts[many], 0.5, (rows, len(many)))
    return drawn


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


def interval(lows: Floats, highs: Floats, level: float | Floats) -> tuple[Floats, Floats]:
    """Ends of the set of values that the sign-flip test does not reject; infinite when it rejects none.

    Shape: lows and highs `[R + 1, K]`, level a number or `[K]`, ends `[K]`.
    """
    return _end(lows, level), -_end(-highs, level)


def _end(lows: Floats, level: float | Floats) -> Floats:
    """Smallest value that as many draws lie below as the test allows, those that tie with it counted half."""
    allowed = np.broadcast_to((1 - np.asarray(level)) * len(lows) + 1e-9, lows.shape[1:])
    places = allowed.astype(np.int64)
    end = np.partition(lows, np.unique(places), axis=0)[places, np.arange(len(places))]
    tied = np.isclose(lows, end, rtol=1e-12, atol=1e-15) & np.isfinite(end)
    below = ((lows < end) & ~tied).sum(axis=0)
    beyond = np.where((lows > end) & ~tied, lows, np.inf).min(axis=0)
    stays = (below + tied.sum(axis=0) / 2 > allowed) | ~np.isfinite(end) | ~np.isfinite(beyond)
    return np.asarray(np.where(stays, end, beyond))


def agreeing(
    value: Floats, ends: tuple[Floats, Floats], draws: tuple[Floats, Floats], p_values: Floats, level: float | Floats
) -> tuple[Floats, Floats]:
    """Ends that leave out 0 exactly where the p-value says so, which may be more exact than the draws behind the ends.

    Where the two differ, the end that is nearer to 0 moves to the draw next to 0 on its other side.

    Shape: draws `[R + 1, K]`, the rest `[K]`.
    """
    (low, high), (lows, highs) = (end.copy() for end in ends), draws
    rejects = p_values <= 1 - np.asarray(level) + 1e-12
    differ = (((low > 0) | (high < 0)) != rejects) & np.isfinite(low) & np.isfinite(high)
    for column in np.flatnonzero(differ & (value > 0)).tolist():
        low[column] = _beside_zero(lows[:, column], above=bool(rejects[column]))
    for column in np.flatnonzero(differ & (value < 0)).tolist():
        high[column] = -_beside_zero(-highs[:, column], above=bool(rejects[column]))
    return low, high


def _beside_zero(draws: Floats, *, above: bool) -> float:
    """The draw next to 0 above it, or not above it."""
    draws = draws[np.isfinite(draws) & ((draws > 0) == above)]
    if not len(draws):
        return 0.0
    return float(draws.min() if above else draws.max())


def sign_flip_p(numerator: Halves, scale: Floats) -> Floats:
    """Two-sided mid-p-value that each column's total is 0, for cluster totals symmetric about 0.

    Flips that tie with the data count half, for accuracies move in steps and ties are many; the data
    themselves count in full. Without clusters this is McNemar's mid-p test.

    Args:
        numerator: halves of the column.
        scale: sum of absolute cluster totals, for telling a tie from rounding.

    Shape: `[K]`.

    Source: Fagerland, Lydersen and Laake (2013) on the mid-p McNemar test.
    """
    tie = _TIE * scale**2
    product = numerator.sums * (numerator.totals - numerator.sums)
    tied = (np.abs(product) <= tie).sum(axis=0)
    more = (product < -tie).sum(axis=0)
    p_value = (more + tied / 2 + 0.5) / len(product)
    return np.asarray(np.where(numerator.totals**2 <= tie, 1.0, p_value))
