"""How small a change the data at hand could have shown."""

import math

import numpy as np
from scipy import stats

from chaintune.stats.clusters import Design, Floats
from chaintune.stats.rates import standard_errors, t_quantile


def detectable(design: Design, sums: Floats, sizes: Floats, *, error_rate: float, power: float = 0.8) -> Floats:
    """Smallest true value that a test at `error_rate` shows with probability `power`, in each group.

    The larger of two bounds: what the scatter between clusters allows, and what it takes to have enough
    clusters change at all.

    Args:
        design: whose groups are asked about.
        sums: numerator of the estimate in each cluster.
        sizes: denominator of the estimate; `design.sizes` for a mean.
        error_rate: two-sided, already divided by the number of tests.
        power: between 0 and 1.

    Shape: sums and sizes `[C, K]`, result `[K]`.

    Undefined: NaN when even a change of every example would not show.
    """
    freedom = effective_clusters(design.sizes) - 1
    scatter = t_quantile(1 - error_rate / 2, freedom) + t_quantile(power, freedom)
    by_scatter = scatter * standard_errors(sums, sizes)
    needed = math.ceil(1 + math.log2(1 / error_rate))
    clusters = design.n_clusters
    possible = clusters >= needed
    share = stats.beta.ppf(power, needed, np.maximum(clusters - needed + 1, 1))
    value = np.maximum(by_scatter, share * clusters / np.maximum(design.n, 1))
    return np.asarray(np.where(possible & (value <= 1), value, np.nan))


def effective_clusters(sizes: Floats) -> Floats:
    """How many clusters of equal size each group is worth. Shape: sizes `[C, K]`, result `[K]`."""
    squares = (sizes**2).sum(axis=0)
    return np.asarray(sizes.sum(axis=0) ** 2 / np.where(squares == 0, 1.0, squares))
