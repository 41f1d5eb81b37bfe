"""How small a change the data at hand could have shown."""

import math

import numpy as np
from scipy import special

from chaintune.stats.clusters import Design, Floats
from chaintune.stats.rates import t_quantile


def detectable(design: Design, errors: Floats, *, error_rate: float, power: float = 0.8) -> Floats:
    """Smallest true value that a test at `error_rate` shows with probability `power`, in each group.

    The larger of two bounds: what the scatter between clusters allows, and what it takes to have enough
    clusters change at all.

    Args:
        design: whose groups are asked about.
        errors: standard errors of the estimates.
        error_rate: two-sided, already divided by the number of tests.
        power: between 0 and 1.

    Shape: errors and result `[K]`.

    Undefined: NaN when even a change of every example would not show.
    """
    freedom = effective_clusters(design.sizes) - 1
    by_scatter = (t_quantile(1 - error_rate / 2, freedom) + t_quantile(power, freedom)) * errors
    needed = math.ceil(1 + math.log2(1 / error_rate))
    clusters = design.n_clusters
    share = special.betaincinv(needed, np.maximum(clusters - needed + 1, 1), power)
    value = np.maximum(by_scatter, share * clusters / np.maximum(design.n, 1))
    return np.asarray(np.where((clusters >= needed) & (value <= 1), value, np.nan))


def effective_clusters(sizes: Floats) -> Floats:
    """How many clusters of equal size each group is worth. Shape: sizes `[C, K]`, result `[K]`."""
    squares = (sizes**2).sum(axis=0)
    return np.asarray(sizes.sum(axis=0) ** 2 / np.where(squares == 0, 1.0, squares))
