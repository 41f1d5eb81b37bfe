"""Limits for means of rare events, where halves of the clusters say too little.

A mean of values between 0 and 1 gets the exact binomial limits at its effective sample size (Korn and
Graubard 1998); differences of means combine such limits by the method of variance estimates recovery
(Zou and Donner 2008). Wider than `halves` and never too narrow for want of events.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from chaintune.stats.clusters import Design, Floats, joined

# Chosen by simulation, see docs/explanation/statistics.md: skewness of a mean beyond which its halves are not trusted
# alone.
MEAN_SKEWNESS = 0.3


@dataclass(frozen=True, eq=False)
class Rates:
    """Means of values between 0 and 1 in groups, and how many independent examples they are worth.

    Attributes:
        value: mean in each group.
        worth: independent examples with the same standard error, at most those there are.
        n: examples there are.
        clusters: clusters there are.

    Shape: all `[K]`.
    """

    value: Floats
    worth: Floats
    n: Floats
    clusters: Floats

    @classmethod
    def of(cls, sums: Floats, sizes: Floats) -> "Rates":
        """From cluster sums. Shape: both `[C, K]`."""
        return cls.of_moments(*moments(sums, sizes))

    @classmethod
    def of_moments(
        cls, value: Floats, n: Floats, clusters: Floats, squares: Floats, error: Floats, scatter: Floats
    ) -> "Rates":
        """From what `moments` returns of all groups."""
        squared = error**2
        own = np.divide(value * (1 - value), squared, out=clusters.copy(), where=squared > 0)
        return cls(value, np.minimum(own, n / _design_effect(value, n, squares, scatter)), n, clusters)

    def repeated(self, column: int) -> "Rates":
        """Those of one group, as often as there are groups."""
        return Rates(*(np.full_like(one, one[column]) for one in (self.value, self.worth, self.n, self.clusters)))

    def limits(self, level: float | Floats) -> tuple[Floats, Floats]:
        """Ends of the exact binomial interval at the effective sample size. Shape: `[K]`."""
        tail, shrink = (1 - np.asarray(level)) / 2, shrinkage(self.n, self.clusters, level)
        return self.low(tail, shrink), self.high(tail, shrink)

    def low(self, tail: Floats, shrink: Floats) -> Floats:
        """Lower end, that leaves out so much below it, of a sample that shrinks so far. Shape: `[K]`."""
        events, others = self._counts(shrink)
        return np.where(events > 0, special.betaincinv(np.maximum(events, 1e-9), others + 1, tail), 0.0)

    def high(self, tail: Floats, shrink: Floats) -> Floats:
        """Upper end, that leaves out so much above it, of a sample that shrinks so far. Shape: `[K]`."""
        events, others = self._counts(shrink)
        return np.where(others > 0, special.betaincinv(events + 1, np.maximum(others, 1e-9), 1 - tail), 1.0)

    def _counts(self, shrink: Floats) -> tuple[Floats, Floats]:
        effective = np.minimum(self.worth * shrink, self.n)
        return self.value * effective, (1 - self.value) * effective


def shrinkage(n: Floats, clusters: Floats, level: float | Floats) -> Floats:
    """By how much an effective sample shrinks as the scatter between few clusters is itself uncertain. Shape: `[K]`."""
    tail = (1 - np.asarray(level)) / 2
    # The more so far out.
    few = t_quantile(1 - np.minimum(tail, 0.499), clusters - 1)
    return np.asarray((t_quantile(1 - np.minimum(tail, 0.499), n - 1) / few) ** 2)


@dataclass(frozen=True, eq=False)
class Differences:
    """Means of values between -1 and 1, as the rate of rises minus the rate of falls."""

    rises: Rates
    falls: Rates

    @classmethod
    def of(cls, design: Design, values: Floats) -> "Differences":
        """Of each group of the design. Shape: values `[E]`."""
        parts = (np.maximum(values, 0.0), np.maximum(-values, 0.0))
        several = [
            [moments(some.sums(part[examples]), some.sizes) for part in parts]
            for some, _, examples in design.parts(alone=True)
        ]
        return cls(*(Rates.of_moments(*joined(side)) for side in zip(*several, strict=True)))

    @property
    def value(self) -> Floats:
        """Rate of rises minus rate of falls. Shape: `[K]`."""
        return self.rises.value - self.falls.value

    def limits(self, level: float | Floats) -> tuple[Floats, Floats]:
        """Ends of the interval of the difference. Shape: `[K]`."""
        return combine((self.rises.value, *self.rises.limits(level)), (self.falls.value, *self.falls.limits(level)))


def combine(one: tuple[Floats, Floats, Floats], other: tuple[Floats, Floats, Floats]) -> tuple[Floats, Floats]:
    """Ends of the interval of a difference from value, low and high of its two parts."""
    (a, a_low, a_high), (b, b_low, b_high) = one, other
    return lower_end(a, a_low, b, b_high), a - b + np.hypot(a_high - a, b - b_low)


def lower_end(one: Floats, low: Floats, other: Floats, high: Floats) -> Floats:
    """Lower end of the interval of a difference, from the lower end of one part and the upper end of the other."""
    return np.asarray(one - other - np.hypot(one - low, high - other))


def moments(sums: Floats, sizes: Floats) -> tuple[Floats, ...]:
    """Mean, examples, clusters, squared sizes, standard error and squared residuals of each group.

    Shape: sums and sizes `[C, K]`, results `[K]`.
    """
    n = np.asarray(sizes.sum(axis=0))
    value = sums.sum(axis=0) / np.maximum(n, 1)
    clusters = np.asarray((sizes > 0).sum(axis=0), dtype=np.float64)
    scatter = ((sums - value * sizes) ** 2).sum(axis=0)
    return value, n, clusters, (sizes**2).sum(axis=0), standard_errors(sums, sizes), scatter


def _design_effect(value: Floats, n: Floats, squares: Floats, scatter: Floats) -> Floats:
    """How many times the variance of a mean exceeds that of independent examples, at the common correlation.

    A group with one or two events cannot tell how they cluster; all groups together can.
    """
    plain = value * (1 - value)
    pairs = (plain * (squares - n)).sum()
    correlation = (scatter - plain * n).sum() / pairs if pairs > 0 else 0.0
    return np.asarray(1 + np.clip(correlation, 0, 1) * (squares / np.maximum(n, 1) - 1).clip(0))


def standard_errors(sums: Floats, sizes: Floats) -> Floats:
    """Cluster-robust standard error of each ratio of sums. Shape: both `[C, K]`, result `[K]`."""
    totals = sizes.sum(axis=0)
    present = (sizes != 0).sum(axis=0)
    safe = np.where(totals == 0, 1.0, totals)
    scatter = ((sums - sums.sum(axis=0) / safe * sizes) ** 2).sum(axis=0)
    scatter = np.where(scatter < 1e-20 * np.maximum(1.0, np.abs(sums).sum(axis=0)) ** 2, 0.0, scatter)
    return np.asarray(np.sqrt(scatter * present / np.maximum(present - 1, 1)) / safe)


def t_quantile(probability: float | Floats, freedom: Floats | float) -> Floats:
    """Quantile of Student's t with at least one degree of freedom."""
    return np.asarray(special.stdtrit(np.maximum(freedom, 1.0), probability))


def t_tails(value: Floats, error: Floats, freedom: Floats | float) -> Floats:
    """Two-sided p-value of Student's t; 1 where value and error are both 0."""
    ratio = np.divide(np.abs(value), error, out=np.where(value == 0, 0.0, np.inf), where=error > 0)
    return np.asarray(2 * special.stdtr(np.maximum(freedom, 1.0), -ratio))
