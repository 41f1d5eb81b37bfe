"""Estimates as text: in sentences and on pointing at a figure. Cells of tables have their own, shorter form."""

import math

from chaintune.records import Estimate
from chaintune.report.labels import one_line


def in_points(estimate: Estimate, *, sign: bool = True, level: float | None = None) -> str:
    """An estimate in percentage points with its interval, or why there is none.

    Args:
        estimate: a share, or a difference of shares.
        sign: of the value; ends of an interval always have theirs.
        level: of the interval, where it is to be said.

    Example:
        >>> in_points(Estimate(0.05, 0.01, 0.09)), in_points(Estimate(0.05, 0.01, 0.09), sign=False, level=0.95)
        ('+5.0 points (+1.0 to +9.0)', '5.0 points (95 % CI +1.0 to +9.0)')
    """
    if math.isnan(estimate.value):
        return f"undefined: {one_line(estimate.reason)}"
    text = f"{rounded(estimate.value):{'+.1f' if sign else '.1f'}} points"
    if math.isnan(estimate.low):
        return f"{text} ({one_line(estimate.reason) or 'no interval'})"
    return f"{text} ({_confidence(level)}{rounded(estimate.low):+.1f} to {rounded(estimate.high):+.1f})"


def in_percent(estimate: Estimate, *, level: float | None = None) -> str:
    """A share in percent with its interval, or why there is none.

    Example:
        >>> in_percent(Estimate(0.29, -0.14, 0.58), level=0.95)
        '29 % (95 % CI -14 to 58 %)'
    """
    if math.isnan(estimate.value):
        return f"undefined: {one_line(estimate.reason)}"
    ends = ""
    if not math.isnan(estimate.low):
        ends = f" ({_confidence(level)}{_whole(estimate.low)} to {_whole(estimate.high)} %)"
    return f"{_whole(estimate.value)} %{ends}"


def rounded(value: float) -> float:
    """A share in percentage points with one decimal; 0.0 where rounding would leave -0.0."""
    return round(100 * value, 1) + 0.0


def _whole(value: float) -> str:
    return f"{round(100 * value) + 0:.0f}"


def _confidence(level: float | None) -> str:
    return "" if level is None else f"{100 * level:g} % CI "
