"""Conversion of item scores in any unit to [0, 1] for the statistics, and of estimates back to that unit."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chaintune.records import Estimate, ItemMetric
from chaintune.stats.clusters import Floats


@dataclass(frozen=True, slots=True)
class Unit:
    """Conversion of item scores to values from 0, the worst, to 1, the best, and back.

    Attributes:
        metric: of the scores.
        low, width: of its range; of an end that nothing bounds, the outermost score that there is.
    """

    metric: ItemMetric
    low: float = 0.0
    width: float = 1.0

    @classmethod
    def of(cls, metric: ItemMetric, scores: Iterable[Floats]) -> "Unit":
        """The unit of scores that are compared with each other."""
        low, high = metric.range
        if math.isfinite(low) and math.isfinite(high):
            return cls(metric, low, high - low)
        values = np.concatenate([*scores, np.zeros(0)])
        low = low if math.isfinite(low) else float(values.min(initial=min(high, math.inf)))
        high = high if math.isfinite(high) else float(values.max(initial=low))
        return cls(metric, low, high - low if high > low else 1.0)

    def inward(self, scores: Floats) -> Floats:
        """Values from 0, the worst, to 1, the best. Shape: that of the scores."""
        if self.metric.is_share:
            return scores
        values = (scores - self.low) / self.width
        return 1 - values if self.metric.direction == "less" else values

    def difference(self, estimate: Estimate) -> Estimate:
        """A difference of such values in the unit; positive means what it meant.

        Limits end where the difference of two scores does, or at the value where that lies beyond, as that of two
        differences may. Where an end of the range is open, one as far out as no two scores lie apart says nothing.
        """
        if all(map(math.isfinite, self.metric.range)):
            estimate = _limited(estimate, min(-1.0, estimate.value), max(1.0, estimate.value))
        else:
            opened: dict[str, Any] = {name: _open(getattr(estimate, name)) for name in _ends(estimate)}
            estimate = replace(estimate, **opened)
        if self.width == 1:
            return estimate
        return replace(estimate, **{name: self.width * getattr(estimate, name) for name in ("value", *_ends(estimate))})

    def level(self, estimate: Estimate) -> Estimate:
        """A mean of such values as the scores were measured, its limits within the metric's range."""
        if self.metric.is_share:
            return _limited(estimate, 0.0, 1.0)
        ends = [self._outward(value) for value in (estimate.low, estimate.high)]
        if self.metric.direction == "less":
            ends.reverse()
        low, high = (np.clip(end, *self.metric.range).item() for end in ends)
        return replace(estimate, value=self._outward(estimate.value), low=low, high=high)

    def _outward(self, value: float) -> float:
        return self.low + self.width * (1 - value if self.metric.direction == "less" else value)


def _limited(estimate: Estimate, least: float, most: float) -> Estimate:
    ends = {name: getattr(estimate, name) for name in _ends(estimate)}
    if not any(end < least or end > most for end in ends.values()):
        return estimate
    return replace(estimate, **{name: np.clip(end, least, most).item() for name, end in ends.items()})


def _open(end: float) -> float:
    """An end of an interval, infinite where it is the one that says nothing."""
    return math.copysign(math.inf, end) if abs(end) == 1 else end


def _ends(estimate: Estimate) -> tuple[str, ...]:
    """Names of the ends of its intervals."""
    return ("low", "high", *(("low_adjusted", "high_adjusted") if estimate.is_adjusted else ()))


# Of tasks in different units together: shares of what is best.
SHARES = Unit(ItemMetric(""))
