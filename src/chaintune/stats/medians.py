"""The median with an interval from order statistics."""

from collections.abc import Sequence

import numpy as np

from chaintune.records import Estimate


def median(values: Sequence[float], *, level: float = 0.95) -> Estimate:
    """The median of independent values, between two of them that enclose the true one at the level or more.

    Undefined: the value where there are none; the interval where even the smallest and largest enclose it too seldom.

    Source:
        Conover 1999, Practical nonparametric statistics, section 3.2.
    """
    from scipy import stats  # a quarter of a second to import, which comparisons need not wait for

    ordered, n = np.sort(np.asarray(values, dtype=np.float64)), len(values)
    if not n:
        return Estimate.undefined("no values")
    value = float(np.median(ordered))
    # The true median lies below the (k + 1)th value when at most k of n fair coins show heads.
    below = int(stats.binom.ppf((1 - level) / 2, n, 0.5))
    if stats.binom.cdf(below, n, 0.5) > (1 - level) / 2:
        below -= 1
    if below < 0:
        reason = f"{n} values are too few for a {100 * level:g} % interval of their median"
        return Estimate(value, n=n, n_clusters=n, reason=reason)
    low, high = float(ordered[below]), float(ordered[n - 1 - below])
    return Estimate(value, low, high, n=n, n_clusters=n, method="order statistics")
