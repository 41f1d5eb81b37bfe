"""Intervals, tests, multiplicity, power: numbers in, `Estimate` out. numpy and scipy only."""

from chaintune.stats.agreement import Agreement, agreement
from chaintune.stats.clusters import Design
from chaintune.stats.detectable import detectable_biased, detectable_means
from chaintune.stats.effects import Reference, adjusted, biased, means, rates
from chaintune.stats.families import corrected, group_contrasts, own_means
from chaintune.stats.medians import median
from chaintune.stats.multiplicity import Adjustment, adjust, one_test
from chaintune.stats.pooling import pooled
from chaintune.stats.prediction_powered import LEAST_LABELS, Powered, prediction_powered
from chaintune.stats.rates import mcnemar_p
from chaintune.stats.ratios import combination, ratio_limits, ratios
from chaintune.stats.sample import Sample, needed_clusters
from chaintune.stats.simulation import Flips, Power, flips_of, grown, simulated_power
from chaintune.stats.spread import disparity

__all__ = [
    "LEAST_LABELS",
    "Adjustment",
    "Agreement",
    "Design",
    "Flips",
    "Power",
    "Powered",
    "Reference",
    "Sample",
    "adjust",
    "adjusted",
    "agreement",
    "biased",
    "combination",
    "corrected",
    "detectable_biased",
    "detectable_means",
    "disparity",
    "flips_of",
    "group_contrasts",
    "grown",
    "mcnemar_p",
    "means",
    "median",
    "needed_clusters",
    "one_test",
    "own_means",
    "pooled",
    "prediction_powered",
    "rates",
    "ratio_limits",
    "ratios",
    "simulated_power",
]
