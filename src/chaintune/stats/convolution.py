"""The sign-flip test without draws: the distribution of a total whose clusters' signs are thrown, by convolution.

Clusters of accuracies move in whole steps, so their sums under random signs lie on a grid, and the share of sign
patterns that go as far as the data is a sum of its cells. Totals that have no common step are put on a fine grid, and
how far that can shift the p-value is told.
"""

from functools import lru_cache

import numpy as np
from scipy import special

from chaintune.stats.clusters import Floats, Integers
from chaintune.stats.halves import Halves, sign_flip_p

# P-values below this are made exact; larger ones decide nothing.
_SMALL = 0.1
# Cells of the grid for each half that was drawn, and additions, up to which convolving counts as cheap.
_CELLS_PER_HALF = 4
_ADDITIONS = 10**8
# Sizes count as multiples of a step that is at least this share of the largest, to this precision.
_LEAST_STEP = 1e-6
_ROUNDING = 1e-9
# Rounding to a grid by more than this share of the total's standard deviation says less than draws do.
_SLACK = 0.05
_COLUMNS_AT_ONCE = 64


def flip_test(numerator: Halves, sums: Floats) -> tuple[Floats, Floats]:
    """The p-value of `sign_flip_p`, exact where it is small and that is cheap, and how far it may be off.

    Args:
        numerator: halves of the columns.
        sums: of clusters; those that add nothing to any column may be left out.

    Returns:
        P-values and their errors: 0 of exact ones, a bound where sums were rounded, else the draws' standard error.

    Shape: sums `[C, K]`, results `[K]`.
    """
    # Each half of each column is held several times.
    parts = [slice(start, start + _COLUMNS_AT_ONCE) for start in range(0, sums.shape[1], _COLUMNS_AT_ONCE)]
    drawn = [sign_flip_p(numerator.columns(part), np.abs(sums[:, part]).sum(axis=0)) for part in parts]
    p_values = np.concatenate(drawn)
    if numerator.is_every:
        return p_values, np.zeros(len(p_values))
    errors = error_of_draws(p_values, len(numerator.sums))
    for column in np.flatnonzero(p_values < _SMALL).tolist():
        cells = _CELLS_PER_HALF * len(numerator.sums)
        p_value, error = _flip_p(sums[:, column].tobytes(), numerator.clusters, cells)
        if error < errors[column]:
            p_values[column], errors[column] = p_value, error
    return p_values, errors


# One of several tests is asked for twice: at the level of its family, and at that of its step.
@lru_cache(maxsize=64)
def _flip_p(sums: bytes, clusters: int, cells: int) -> tuple[float, float]:
    return flip_p(np.frombuffer(sums), clusters=clusters, cells=cells)


def error_of_draws(p_values: Floats, draws: int) -> Floats:
    """Standard error of p-values that are shares of some draws."""
    return np.asarray(np.sqrt(p_values * (1 - p_values) / draws))


def flip_p(sums: Floats, *, clusters: int, cells: int) -> tuple[float, float]:
    """Two-sided mid-p-value that a total is 0, and a bound of what rounding shifts it by; NaN where cells are too few.

    Args:
        sums: of clusters.
        clusters: how many there are, those without any change among them: the data themselves count in full, as one
            of `2 ** clusters` patterns of signs.
        cells: of the grid.

    Shape: sums `[C]`.
    """
    sizes = np.abs(sums)
    present = sizes > _ROUNDING * sizes.max(initial=0.0)
    sizes, signs = sizes[present], np.sign(sums[present])
    total = abs(float((signs * sizes).sum()))
    step = _common_step(sizes)
    if step == 0 or sizes.sum() - total > 2 * cells * step:
        step = (float(sizes.sum()) - total) / (2 * cells)
        if step == 0:
            return np.nan, np.nan
    steps = np.rint(sizes / step).astype(np.int64)
    slack = float(np.abs(sizes - step * steps).sum())
    slack = slack if slack > _ROUNDING * sizes.sum() else 0.0
    # Both of a pattern's halves fall short of this sum of steps where its total goes further than that of the data.
    short = int(steps.sum() - abs(int((signs * steps).sum()))) // 2
    least, most = ((int(steps.sum()) - (total + end) / step) / 2 for end in (slack, -slack))
    last = short if slack == 0 else max(short, int(np.floor(most)))
    if slack > _SLACK * np.sqrt((sizes**2).sum()) or not _is_cheap(steps, last):
        return np.nan, np.nan
    shares = _share_at(steps, last)
    p_value = float(2 * shares[:short].sum() + shares[short]) + 0.5**clusters
    if slack == 0:
        return p_value, 0.0
    bounds = 2 * float(shares[: max(int(np.ceil(least)), 0)].sum()), 2 * float(shares.sum())
    return p_value, max(p_value - bounds[0], bounds[1] - p_value)


def _common_step(sizes: Floats) -> float:
    """The largest number that all sizes are multiples of; 0 where there is none to speak of."""
    top = float(sizes.max(initial=0.0))
    step = 0.0
    for size in np.unique(np.round(sizes / max(top, 1e-300), 12)).tolist():
        larger, smaller = max(step, size), min(step, size)
        while smaller > _ROUNDING:
            larger, smaller = smaller, abs(larger - smaller * round(larger / smaller))
        step = larger
        if step < _LEAST_STEP:
            return 0.0
    if step == 0:
        return 0.0
    steps = sizes / (step * top)
    step = float(sizes.sum() / np.rint(steps).sum())
    return step if np.abs(sizes / step - np.rint(steps)).max() < _LEAST_STEP else 0.0


def _is_cheap(steps: Integers, last: int) -> bool:
    counts = np.unique(steps, return_counts=True)[1]
    return bool((len(steps) - counts.max(initial=0)) * (last + 1) <= _ADDITIONS)


def _share_at(steps: Integers, last: int) -> Floats:
    """Share of the halves of some clusters whose sum of steps is 0, 1, ... `last`. Shape: steps `[C]`."""
    sizes, counts = np.unique(steps[steps > 0], return_counts=True)
    # The commonest size at once, by the binomial distribution; without clusters there is no other.
    common = int(counts.argmax())
    size, count = int(sizes[common]), int(counts[common])
    chosen = np.arange(min(count, last // size) + 1)
    shares = np.zeros(last + 1)
    logs = special.gammaln(count + 1) - special.gammaln(chosen + 1) - special.gammaln(count - chosen + 1)
    shares[chosen * size] = np.exp(logs - count * np.log(2))
    counts[common] = 0
    for one in np.repeat(sizes, counts).tolist():
        shares *= 0.5
        shares[one:] += shares[:-one]
    return shares
