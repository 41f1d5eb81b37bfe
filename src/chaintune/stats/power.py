"""How small a change the data at hand could have shown."""

import math

import numpy as np
from scipy import special

from chaintune.stats.clusters import Design, Floats
from chaintune.stats.rates import t_quantile


def detectable(design: Design, errors: Floats, variances: Floats, *, error_rate: float, power: float = 0.8) -> Floats:
    """Smallest true value that a test at `error_rate` shows with probability `power`, in each group.

    The larger of two bounds: what the scatter between clusters allows, and what it takes to have enough
    clusters change at all. A change of more examples scatters more, which is reckoned with.

    Args:
        design: whose groups are asked about.
        errors: standard errors of the estimates.
        variances: of the values of each group's examples.
        error_rate: two-sided, already divided by the number of tests.
        power: between 0 and 1.

    Shape: errors, variances and result `[K]`.

    Undefined: NaN when even a change of every example would not show.
    """
    freedom = effective_clusters(design.sizes) - 1
    factor = (t_quantile(1 - error_rate / 2, freedom) + t_quantile(power, freedom)) ** 2
    # The root of d**2 = factor * (errors**2 + d * (1 - d) / worth): turning a share d of the examples adds
    # their binomial variance, at as many independent examples as the group is worth.
    per_worth = factor * np.divide(errors**2, variances, out=np.zeros_like(errors), where=variances > 0)
    root = np.sqrt(per_worth**2 + 4 * (1 + per_worth) * factor * errors**2)
    by_scatter = (per_worth + root) / (2 * (1 + per_worth))
    needed = math.ceil(1 + math.log2(1 / error_rate))
    clusters = design.n_clusters
    share = special.betaincinv(needed, np.maximum(clusters - needed + 1, 1), power)
    value = np.maximum(by_scatter, share * clusters / np.maximum(design.n, 1))
    return np.asarray(np.where((clusters >= needed) & (value <= 1), value, np.nan))


def effective_clusters(sizes: Floats) -> Floats:
    """How many clusters of equal size each group is worth. Shape: sizes `[C, K]`, result `[K]`."""
    squares = (sizes**2).sum(axis=0)
    return np.asarray(sizes.sum(axis=0) ** 2 / np.where(squares == 0, 1.0, squares))
