"""What chaintune says of a sample: the procedure that every table judges."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chaintune.forgetting.changes import by_dimension
from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference
from chaintune.records import Estimate
from chaintune.stats import Design, Sample
from chaintune.stats.families import group_contrasts, own_means

Floats = NDArray[np.float64]

RESAMPLES = 499
LEVEL = 0.95
ERROR_RATE = 1 - LEVEL


def sample_of(design: Design, values: Floats, seed: int) -> Sample:
    """Values of examples, with the draws of one data set. Shape: values `[E]` or `[S, E]`."""
    return Sample.of(design, values, resamples=RESAMPLES, seed=seed)


@dataclass(frozen=True)
class Said:
    """Estimates of a sample, the whole task first."""

    forgetting: list[Estimate]
    biased: list[Estimate]


def said_of(sample: Sample, dimensions: Sequence[str] = ()) -> Said:
    """Forgetting and biased forgetting, tested as chaintune does.

    Args:
        sample: of the changes.
        dimensions: of each group; none, and all are of one.
    """
    own = dimensions or ["group"] * (sample.design.members.shape[1] - 1)
    labels = (("", ""), *((dimension, f"{column:02}") for column, dimension in enumerate(own)))
    groups, options = Grouping(labels, sample.design), Inference(LEVEL, sample.resamples, sample.seed)
    statistics = own_means(sample), group_contrasts(sample)
    return Said(*(by_dimension(groups, sample, statistic, options) for statistic in statistics))


def any_shown(estimates: Sequence[Estimate]) -> bool:
    """Whether anything of a family is shown after correction."""
    return any(estimate.p_adjusted <= ERROR_RATE for estimate in estimates)
