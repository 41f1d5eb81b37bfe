"""Intervals, tests, multiplicity, power: numbers in, `Estimate` out. numpy and scipy only."""

from chaintune.stats.clusters import Design
from chaintune.stats.effects import (
    Reference,
    Sample,
    adjusted,
    biased,
    detectable_biased,
    detectable_means,
    disparity,
    means,
    needed_clusters,
    rates,
)
from chaintune.stats.flips import mcnemar_p
from chaintune.stats.multiplicity import Adjustment, adjust

__all__ = [
    "Adjustment",
    "Design",
    "Reference",
    "Sample",
    "adjust",
    "adjusted",
    "biased",
    "detectable_biased",
    "detectable_means",
    "disparity",
    "mcnemar_p",
    "means",
    "needed_clusters",
    "rates",
]
