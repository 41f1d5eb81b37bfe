"""Limits for means of rare events, where halves of the clusters say too little.

A mean of values between 0 and 1 gets the exact binomial limits at its effective sample size (Korn and
Graubard 1998); differences of means combine such limits by the method of variance estimates recovery
(Zou and Donner 2008). Wider than `halves` and never too narrow for want of events.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from chaintune.stats.clusters import Design, Floats

_BISECTIONS = 40


@dataclass(frozen=True, eq=False)
class Rates:
    """Means of values between 0 and 1 in groups, and how many independent examples they are worth.

    Shape: all `[K]`.
    """

    value: Floats
    effective_n: Floats

    @classmethod
    def of(cls, sums: Floats, sizes: Floats) -> "Rates":
        """From cluster sums. Shape: both `[C, K]`."""
        n = sizes.sum(axis=0)
        present = (sizes > 0).sum(axis=0)
        value = sums.sum(axis=0) / np.maximum(n, 1)
        error = standard_errors(sums, sizes)
        plain = value * (1 - value)
        shrink = (t_quantile(0.975, n - 1) / t_quantile(0.975, present - 1)) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            effective = np.where(error > 0, shrink * plain / error**2, present)
        return cls(value, np.clip(effective, 0, n))

    def limits(self, level: float | Floats) -> tuple[Floats, Floats]:
        """Ends of the exact binomial interval at the effective sample size. Shape: `[K]`."""
        tail = (1 - np.asarray(level)) / 2
        events, others = self.value * self.effective_n, (1 - self.value) * self.effective_n
        low = np.where(events > 0, stats.beta.ppf(tail, np.maximum(events, 1e-9), others + 1), 0.0)
        high = np.where(others > 0, stats.beta.ppf(1 - tail, events + 1, np.maximum(others, 1e-9)), 1.0)
        return low, high


@dataclass(frozen=True, eq=False)
class Differences:
    """Means of values between -1 and 1, as the rate of rises minus the rate of falls."""

    rises: Rates
    falls: Rates

    @classmethod
    def of(cls, design: Design, values: Floats) -> "Differences":
        """Of each group of the design. Shape: values `[E]`."""
        parts = (np.maximum(values, 0.0), np.maximum(-values, 0.0))
        return cls(*(Rates.of(design.sums(part), design.sizes) for part in parts))

    @classmethod
    def outside(cls, design: Design, values: Floats) -> "Differences":
        """Of the examples outside each group of the design."""
        parts = (design.sums(np.maximum(values, 0.0)), design.sums(np.maximum(-values, 0.0)))
        rest = design.sizes[:, :1] - design.sizes
        return cls(*(Rates.of(part[:, :1] - part, rest) for part in parts))

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
    return a - b - np.hypot(a - a_low, b_high - b), a - b + np.hypot(a_high - a, b - b_low)


def contrast_limits(one: Differences, other: Differences, level: float | Floats) -> tuple[Floats, Floats]:
    """Ends of the interval of `one - other`. Shape: `[K]`."""
    return combine((one.value, *one.limits(level)), (other.value, *other.limits(level)))


def contrast_p(one: Differences, other: Differences) -> Floats:
    """Two-sided p-value that `one` equals `other`: 1 minus the level at which the interval reaches 0."""
    inside, outside = np.zeros(len(one.value)), np.ones(len(one.value))
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        low, high = contrast_limits(one, other, middle)
        excluded = (low > 0) | (high < 0)
        inside, outside = np.where(excluded, middle, inside), np.where(excluded, outside, middle)
    return 1 - inside


def standard_errors(sums: Floats, sizes: Floats) -> Floats:
    """Cluster-robust standard error of each ratio of sums. Shape: both `[C, K]`, result `[K]`."""
    totals = sizes.sum(axis=0)
    present = (sizes != 0).sum(axis=0)
    safe = np.where(totals == 0, 1.0, totals)
    scatter = ((sums - sums.sum(axis=0) / safe * sizes) ** 2).sum(axis=0)
    scatter = np.where(scatter < 1e-20 * np.maximum(1.0, np.abs(sums).sum(axis=0)) ** 2, 0.0, scatter)
    return np.asarray(np.sqrt(scatter * present / np.maximum(present - 1, 1)) / safe)


def t_quantile(probability: float, freedom: Floats) -> Floats:
    """Quantile of Student's t with at least one degree of freedom."""
    return np.asarray(stats.t.ppf(probability, np.maximum(freedom, 1.0)))
