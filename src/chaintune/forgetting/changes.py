"""Changes of item scores between two checkpoints, and what is estimated of a dimension's groups together."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference
from chaintune.records import Disparity, Estimate
from chaintune.stats import (
    Sample,
    adjusted,
    biased,
    disparity,
    needed_clusters,
    pooled,
)
from chaintune.stats.detectable import Prospect, prospect_of_biased, prospect_of_means
from chaintune.stats.families import Corrected, Statistic, corrected, group_contrasts, own_means


@dataclass(frozen=True, eq=False)
class Changes:
    """Estimates of a change, one for each column of a grouping, the whole task first; made when they are asked for.

    Attributes:
        groups: of the examples.
        sample: of the changes, before minus after.
        options: how sure, and relative to what.
        identical: the two checkpoints answer alike to the last bit, so nothing is left to chance.
        of_lost: mean change, corrected.
        of_bias: the same minus that of the whole task or of the rest; undefined for the whole task.
    """

    groups: Grouping
    sample: Sample
    options: Inference
    identical: bool
    of_lost: Corrected
    of_bias: Corrected

    @cached_property
    def forgetting(self) -> list[Estimate]:
        """Mean change."""
        return self._unless_identical(self.of_lost.estimates)

    @cached_property
    def biased(self) -> list[Estimate]:
        """The same minus that of the whole task or of the rest; undefined for the whole task."""
        return self._unless_identical(self.of_bias.estimates)

    @cached_property
    def pooled(self) -> list[Estimate]:
        """The forgetting of each group as all groups of its dimension together suggest it; the whole task's own."""
        lost, bias = self.of_lost.estimates, self.of_bias.estimates
        if self.options.reference == "rest":
            bias = biased(self.sample, level=self.options.level, reference="overall")
        best = list(lost)
        for dimension in self.groups.dimensions:
            columns = self.groups.columns(dimension)
            several = pooled(lost[0], [bias[column] for column in columns], level=self.options.level)
            for column, estimate in zip(columns, several, strict=True):
                best[column] = estimate
        return self._unless_identical(best)

    @cached_property
    def prospect(self) -> Prospect:
        """What data like these can show of the forgetting."""
        return prospect_of_means(self.sample, error_rate=self.of_lost.first_steps)

    @cached_property
    def prospect_of_biased(self) -> Prospect:
        """What they can show of the biased forgetting."""
        rates, reference = self.of_bias.first_steps, self.options.reference
        return prospect_of_biased(self.sample, error_rate=rates, reference=reference)

    def _unless_identical(self, estimates: list[Estimate]) -> list[Estimate]:
        return [_unchanged(estimate) for estimate in estimates] if self.identical else estimates


def changes(groups: Grouping, sample: Sample, options: Inference, *, identical: bool = False) -> Changes:
    """Every estimate of a change.

    Args:
        groups: of the examples.
        sample: of the changes, before minus after.
        options: how sure, and relative to what.
        identical: the two checkpoints answer alike to the last bit, so nothing is left to chance.
    """
    return Changes(
        groups,
        sample,
        options,
        identical,
        _corrected(groups, sample, own_means(sample), options),
        _corrected(groups, sample, group_contrasts(sample, reference=options.reference), options),
    )


def by_dimension(groups: Grouping, sample: Sample, statistic: Statistic, options: Inference) -> list[Estimate]:
    """A statistic of each group, each dimension's corrected as one family; the whole task is a family of its own."""
    return _corrected(groups, sample, statistic, options).estimates


def _corrected(groups: Grouping, sample: Sample, statistic: Statistic, options: Inference) -> Corrected:
    families = [groups.columns(dimension) for dimension in groups.dimensions]
    return corrected(sample, families, statistic, level=options.level, method=options.adjust, pairs=options.pairs)


def adjusted_by_dimension(groups: Grouping, estimates: list[Estimate], options: Inference) -> list[Estimate]:
    """Estimates without joint draws, their p-values corrected: by Holm in place of step-down minP."""
    known = list(estimates)
    for dimension in groups.dimensions:
        columns = groups.columns(dimension)
        for column, estimate in zip(columns, adjusted([estimates[c] for c in columns], options.adjust), strict=True):
            known[column] = estimate
    return known


def dimension_disparity(groups: Grouping, sample: Sample, dimension: str, options: Inference) -> Disparity:
    """Spread of forgetting over the groups of a dimension that are large enough to take part."""
    columns = comparable_columns(groups, dimension, options)
    if len(columns) < 2:
        reason = f"fewer than two groups of '{dimension}' have enough clusters"
        return Disparity(dimension, Estimate.undefined(reason), float("nan"), len(columns))
    return Disparity(dimension, *disparity(sample, columns), len(columns))


def comparable_columns(groups: Grouping, dimension: str, options: Inference) -> list[int]:
    """Columns of a dimension's groups that are large enough for a disparity."""
    if (labels := groups.design.labels) is not None:
        known = (labels.shares.sum(axis=0) > 0) | labels.compared.any(axis=0)
        return [k for k in groups.columns(dimension) if known[0] and known[k]]
    return [k for k in groups.columns(dimension) if groups.design.n_clusters[k] >= needed_clusters(options.level)]


def _unchanged(estimate: Estimate) -> Estimate:
    if estimate.n == 0 or np.isnan(estimate.value):
        return estimate
    return replace(
        estimate, value=0.0, low=0.0, high=0.0, p_value=1.0, p_adjusted=1.0, low_adjusted=math.nan,
        high_adjusted=math.nan, method="the two checkpoints answer alike to the last bit", reason="",
    )  # fmt: skip
