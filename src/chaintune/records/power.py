"""How often comparisons show a loss that was planted in simulated data like those at hand."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupPower:
    """One group in simulated comparisons; `dimension` and `group` are empty for the whole task.

    Attributes:
        n, n_clusters: examples, and clusters among them.
        power_5, power_10: share of the comparisons that show a loss of so many points: of the whole task, or what a
            group loses more than the reference. NaN where a group cannot be tested, or so large a loss cannot be.
        error_5, error_10: standard errors of these shares, from the number of comparisons.
        draws: comparisons that were simulated at each size; 0 where none were.
    """

    dimension: str
    group: str
    n: int
    n_clusters: int
    power_5: float
    error_5: float
    power_10: float
    error_10: float
    draws: int


@dataclass(frozen=True, slots=True)
class SimulatedPower:
    """Power by simulation at the sizes, clusters and flips of a comparison, under the procedure that it is judged by.

    Attributes:
        forgot, learned: shares of the examples that are forgotten and learned where nothing is planted.
        correlation: of what happens to two examples of one cluster.
        groups: the whole task first.
        left_out: dimensions whose groups are too many for it.
        reason: why nothing was simulated; empty where it was.
        level: that simulated comparisons are judged at: the comparison's own, its error rate divided by the pairs of
            checkpoints that are compared beside each other.
    """

    forgot: float
    learned: float
    correlation: float
    groups: tuple[GroupPower, ...] = ()
    left_out: tuple[str, ...] = ()
    reason: str = ""
    level: float = math.nan
