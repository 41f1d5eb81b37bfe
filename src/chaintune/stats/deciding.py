"""How many times the examples would decide on a limit that an interval straddles, and which limit they could keep."""

import math

import numpy as np
from scipy import special

from chaintune.stats.power import POWER

# Shares of the present half-width, which falls with the root of the number of examples.
_WIDTHS = np.linspace(0.999, 0.02, 2000)


def growth_to_decide(value: float, low: float, high: float, allowed: float, level: float) -> float:
    """How many times the examples are needed so that the whole interval lies on one side of the budget in 4 of 5 cases.

    The true value is taken to lie about the estimate as its standard error says, and the examples at hand stay among
    those of then. The estimate of then, at `r` times the width, scatters about the one at hand by `sqrt(1 - r**2)`
    standard errors.

    Args:
        value: the estimate.
        low: end of its interval, as the judgement has it.
        high: the other end.
        allowed: the budget.
        level: of the interval.

    Undefined: NaN where there is no interval, or none would do.
    """
    error = min(high - value, value - low) / float(special.ndtri((1 + level) / 2))
    if not error > 0 or not math.isfinite(high - low + allowed):
        return math.nan
    scatter = error * np.sqrt(1 - _WIDTHS**2)
    below = special.ndtr((allowed - value - (high - value) * _WIDTHS) / scatter)
    above = special.ndtr((value - allowed - (value - low) * _WIDTHS) / scatter)
    enough = np.flatnonzero(below + above >= POWER)
    return float(_WIDTHS[enough[0]] ** -2) if len(enough) else math.nan


def room_to_pass(value: float, high: float, level: float, tests: int) -> float:
    """How far above what is measured if nothing is lost a budget has to lie to be kept in 4 of 5 cases.

    Args:
        value: the estimate.
        high: upper end of its interval.
        level: of the interval.
        tests: groups that the budget speaks of, each of which has to keep it.
    """
    quantile = float(special.ndtri((1 + level) / 2))
    return (high - value) * (1 + float(special.ndtri(POWER ** (1 / tests))) / quantile)
