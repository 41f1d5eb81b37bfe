"""Student's t of means of skewed clusters: limits and p-values after Hall's transformation.

Where few clusters change very much, a sample without them has a small mean and a small standard error at once, and
Student's limits miss the mean on that side. A cubic in t, steeper the more skewed clusters are, makes its distribution
nearly symmetric again. The cubic only ever rises, so that limits and p-value agree.
"""

import numpy as np

from chaintune.stats.clusters import Floats
from chaintune.stats.rates import standard_errors, t_quantile

# Chosen by simulation, see docs/explanation/statistics.md: few clusters show less skewness than there is.
_UNSEEN = 1.25  # times what they show
_NEARLY_NONE = 1e-9


def skewed_errors(sums: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Standard error of each ratio of sums, and the skewness that its clusters suggest. Shape: both `[C, K]` to `[K]`.

    Undefined: the skewness is 0 where nothing scatters.
    """
    totals = sizes.sum(axis=0)
    residuals = sums - sums.sum(axis=0) / np.where(totals == 0, 1.0, totals) * sizes
    errors, second = standard_errors(sums, sizes), (residuals**2).sum(axis=0)
    known = errors > 0
    return errors, np.where(known, (residuals**3).sum(axis=0) / np.where(known, second, 1.0) ** 1.5, 0.0)


def skewed_limits(
    value: Floats, error: Floats, skewness: Floats, freedom: Floats, level: float | Floats
) -> tuple[Floats, Floats]:
    """Ends of the interval of each mean. Shape: `[K]`, level a number or `[K]`.

    Source: Hall (1992), On the removal of skewness by transformation.
    """
    most, cubic = t_quantile((1 + np.asarray(level)) / 2, freedom), _cubic(skewness)
    return value - error * _t_of(most, cubic), value - error * _t_of(-most, cubic)


def skewed_t(value: Floats, error: Floats, skewness: Floats) -> Floats:
    """The transformed t of each mean against 0, as far from 0 as Student's; 0 where nothing scatters. Shape: `[K]`."""
    t, cubic = np.divide(value, error, out=np.zeros_like(value), where=error > 0), _cubic(skewness)
    return np.asarray(t + cubic * t**2 / 3 + cubic**2 * t**3 / 27 + cubic / 6)


def _cubic(skewness: Floats) -> Floats:
    steep = _UNSEEN * skewness
    return np.where(np.abs(steep) < _NEARLY_NONE, _NEARLY_NONE, steep)


def _t_of(transformed: Floats, cubic: Floats) -> Floats:
    return np.asarray(3 / cubic * (np.cbrt(1 + cubic * (transformed - cubic / 6)) - 1))
