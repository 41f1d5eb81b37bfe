"""Mean item score of each group under one checkpoint."""

from chaintune.records import Estimate
from chaintune.stats import Design, rates
from chaintune.stats.clusters import Floats


def accuracies(design: Design, scores: Floats, *, level: float = 0.95) -> list[Estimate]:
    """Mean item score in each group, the whole task first. No test is made.

    Args:
        design: clusters and groups of the examples.
        scores: of each example, between 0 and 1.
        level: of the intervals.
    """
    return rates(design, scores, level=level)
