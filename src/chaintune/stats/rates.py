"""Limits for means of rare events, where halves of the clusters say too little.

A mean of values between 0 and 1 gets the exact binomial limits at its effective sample size (Korn and
Graubard 1998); differences of means combine such limits by the method of variance estimates recovery
(Zou and Donner 2008). Wider than `halves` and never too narrow for want of events. Scores between 0 and 1 that are
seldom either scatter less than shares of the same mean, so each is worth more than one example of a share.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from chaintune.stats.clusters import Design, Floats, joined

# Chosen by simulation, see docs/explanation/statistics.md: skewness of a mean beyond which its halves are not trusted
# alone.
MEAN_SKEWNESS = 0.3
# How many examples of the whole task's scatter, beside the shares' one, a group's own is averaged with.
_OF_WHOLE_TASK = 20.0


@dataclass(frozen=True, eq=False)
class Rates:
    """Means of values between 0 and 1 in groups, and how many independent examples they are worth.

    Attributes:
        value: mean in each group.
        worth: independent examples of a share with the same standard error, at most `graded` times those there are.
        n: examples there are.
        clusters: clusters there are.
        graded: examples of a share that one is worth, 1 where all values are 0 or 1.

    Shape: all `[K]`.
    """

    value: Floats
    worth: Floats
    n: Floats
    clusters: Floats
    graded: Floats

    @classmethod
    def of(cls, sums: Floats, sizes: Floats, squared_values: Floats) -> "Rates":
        """From cluster sums, and the sum of the squared values. Shape: sums and sizes `[C, K]`, the last `[K]`."""
        return cls.of_moments(*moments(sums, sizes, squared_values))

    @classmethod
    def of_moments(
        cls,
        value: Floats,
        n: Floats,
        clusters: Floats,
        squares: Floats,
        error: Floats,
        scatter: Floats,
        squared_values: Floats,
    ) -> "Rates":
        """From what `moments` returns of all groups."""
        squared, of_share = error**2, value * (1 - value)
        own = np.divide(of_share, squared, out=clusters.copy(), where=squared > 0)
        plain = np.clip(squared_values / np.maximum(n, 1) - value**2, 0.0, of_share)
        graded = _graded(plain, of_share, n)
        return cls(value, np.minimum(own, graded * n / _design_effect(plain, n, squares, scatter)), n, clusters, graded)

    def repeated(self, column: int) -> "Rates":
        """Those of one group, as often as there are groups."""
        return Rates(
            *(np.full_like(one, one[column]) for one in (self.value, self.worth, self.n, self.clusters, self.graded))
        )

    def limits(self, level: float | Floats) -> tuple[Floats, Floats]:
        """Ends of the exact binomial interval at the effective sample size. Shape: `[K]`."""
        tail, shrink = (1 - np.asarray(level)) / 2, shrinkage(self.n, self.clusters, level)
        return self.low(tail, shrink), self.high(tail, shrink)

    def low(self, tail: Floats, shrink: tuple[Floats, Floats]) -> Floats:
        """Lower end, that leaves out so much below it, of a sample that shrinks so far. Shape: `[K]`."""
        events, others = self._counts(shrink)
        return np.where(events > 0, special.betaincinv(np.maximum(events, 1e-9), others + 1, tail), 0.0)

    def high(self, tail: Floats, shrink: tuple[Floats, Floats]) -> Floats:
        """Upper end, that leaves out so much above it, of a sample that shrinks so far. Shape: `[K]`."""
        events, others = self._counts(shrink)
        return np.where(others > 0, special.betaincinv(events + 1, np.maximum(others, 1e-9), 1 - tail), 1.0)

    def _counts(self, shrink: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        of_shares, of_scores = shrink
        effective = np.minimum(self.worth * of_shares, self.n)
        effective = np.where(self.graded > 1, np.maximum(effective, self.worth * of_scores), effective)
        return self.value * effective, (1 - self.value) * effective


def shrinkage(n: Floats, clusters: Floats, level: float | Floats) -> tuple[Floats, Floats]:
    """By how much an effective sample shrinks as the scatter between few clusters is itself uncertain.

    That of examples of a share follows from the share, so only clusters make it uncertain; that of other scores is seen
    in them alone.

    Shape: both `[K]`.
    """
    inside = 1 - np.minimum((1 - np.asarray(level)) / 2, 0.499)
    # The more so far out.
    few = t_quantile(inside, clusters - 1)
    of_shares, of_scores = ((quantile / few) ** 2 for quantile in (t_quantile(inside, n - 1), special.ndtri(inside)))
    return np.asarray(of_shares), np.asarray(of_scores)


def _graded(plain: Floats, of_share: Floats, n: Floats) -> Floats:
    """Examples of a share that one example is worth; what a small group says of it is drawn towards the whole task's.

    Args:
        plain: variance of the values.
        of_share: of as many that are 0 or 1, with the same mean.
        n: examples.

    Shape: all `[K]`.
    """
    relative = np.divide(plain, of_share, out=np.ones_like(plain), where=of_share > 0)
    relative = (relative * n + relative[:1] * _OF_WHOLE_TASK) / (n + _OF_WHOLE_TASK)
    # Of shares the two are one but for rounding.
    return np.where(relative < 1 - 1e-9, 1 / np.maximum(relative, 1e-6), 1.0)


@dataclass(frozen=True, eq=False)
class Differences:
    """Means of values between -1 and 1, as the rate of rises minus the rate of falls."""

    rises: Rates
    falls: Rates

    @classmethod
    def of(cls, design: Design, values: Floats, by_seed: Floats | None = None) -> "Differences":
        """Of each group of the design.

        Args:
            design: clusters and groups of the examples.
            values: of each example, the mean over the seeds.
            by_seed: a seed at a time; None and they count as shares, which scatter most.

        Shape: values `[E]`, by_seed `[S, E]`.
        """
        sides = [(np.maximum(sign * values, 0.0), sign) for sign in (1, -1)]
        parts = [
            (side, side if by_seed is None else (np.maximum(sign * by_seed, 0.0) ** 2).mean(axis=0))
            for side, sign in sides
        ]
        several = [
            [
                moments(some.sums(part[examples]), some.sizes, some.members.T @ squared[examples])
                for part, squared in parts
            ]
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


def moments(sums: Floats, sizes: Floats, squared_values: Floats) -> tuple[Floats, ...]:
    """Mean, examples, clusters, squared sizes, standard error, squared residuals and squared values of each group.

    Shape: sums and sizes `[C, K]`, squared values and results `[K]`.
    """
    n = np.asarray(sizes.sum(axis=0))
    value = sums.sum(axis=0) / np.maximum(n, 1)
    clusters = np.asarray((sizes > 0).sum(axis=0), dtype=np.float64)
    scatter = ((sums - value * sizes) ** 2).sum(axis=0)
    return value, n, clusters, (sizes**2).sum(axis=0), standard_errors(sums, sizes), scatter, squared_values


def _design_effect(plain: Floats, n: Floats, squares: Floats, scatter: Floats) -> Floats:
    """How many times the variance of a mean exceeds that of independent examples, at the common correlation.

    A group with one or two events cannot tell how they cluster; all groups together can.
    """
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


def mcnemar_p(forgot: int, learned: int) -> float:
    """Two-sided p-value that right-to-wrong and wrong-to-right are equally likely; 1 without a flip.

    It takes every example for independent; the clustered test is `sign_flip_p`.

    Source: McNemar (1947), exact binomial form.
    """
    return min(1.0, 2.0 * float(special.bdtr(min(forgot, learned), forgot + learned, 0.5)))
