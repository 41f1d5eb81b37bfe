"""Bisection of many numbers at once, several halvings in one look: short arrays cost as much as longer ones."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from chaintune.stats.clusters import Floats

# Numbers that are so few that several halvings in one look pay.
_FEW = 64


def bisected(
    reached: Callable[[Floats], NDArray[np.bool_]], low: Floats, high: Floats, halvings: int, *, at_once: int = 3
) -> tuple[Floats, Floats]:
    """Ends of the part of each interval in which a condition begins to hold.

    Args:
        reached: whether the condition holds at places; from somewhere on, it does.
        low: where it does not hold.
        high: where it does.
        halvings: of each interval.
        at_once: halvings in one look, where the numbers are few.

    Shape: places `[P, ...]`, their conditions the same; low, high and result `[...]`.
    """
    while halvings:
        parts = 2 ** min(halvings, at_once if low.size < _FEW else 1)
        halvings -= parts.bit_length() - 1
        width = (high - low) / parts
        places = low + width * np.arange(1, parts).reshape(-1, *[1] * low.ndim)
        missed = np.logical_and.accumulate(~reached(places), axis=0).sum(axis=0)
        low = low + width * missed
        high = low + width
    return np.asarray(low), np.asarray(high)
