"""Changes of item scores between two checkpoints, and what is estimated of a dimension's groups together."""

import math
from dataclasses import dataclass, replace

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
    """Estimates of a change, one for each column of a grouping, the whole task first.

    Attributes:
        forgetting: mean change.
        biased: the same minus that of the whole task or of the rest; undefined for the whole task.
        pooled: the forgetting of each group as all groups of its dimension together suggest it; that of the whole task
            is its own.
        prospect, prospect_of_biased: what data like these can show of each.
    """

    forgetting: list[Estimate]
    biased: list[Estimate]
    pooled: list[Estimate]
    prospect: Prospect
    prospect_of_biased: Prospect


def changes(groups: Grouping, sample: Sample, options: Inference, *, identical: bool = False) -> Changes:
    """Every estimate of a change.

    Args:
        groups: of the examples.
        sample: of the changes, before minus after.
        options: how sure, and relative to what.
        identical: the two checkpoints answer alike to the last bit, so nothing is left to chance.
    """
    of_lost = _corrected(groups, sample, own_means(sample), options)
    of_bias = _corrected(groups, sample, group_contrasts(sample, reference=options.reference), options)
    lost, bias = of_lost.estimates, of_bias.estimates
    limits = (
        prospect_of_means(sample, error_rate=of_lost.first_steps),
        prospect_of_biased(sample, error_rate=of_bias.first_steps, reference=options.reference),
    )
    best = _pooled(groups, sample, options, (lost, bias))
    if identical:
        lost, bias, best = ([_unchanged(estimate) for estimate in row] for row in (lost, bias, best))
    return Changes(lost, bias, best, *limits)


def _pooled(
    groups: Grouping, sample: Sample, options: Inference, tested: tuple[list[Estimate], list[Estimate]]
) -> list[Estimate]:
    """The forgetting of each group, pooled within its dimension; the whole task's own."""
    lost, bias = tested
    if options.reference == "rest":
        bias = biased(sample, level=options.level, reference="overall")
    best = list(lost)
    for dimension in groups.dimensions:
        columns = groups.columns(dimension)
        several = pooled(lost[0], [bias[column] for column in columns], level=options.level)
        for column, estimate in zip(columns, several, strict=True):
            best[column] = estimate
    return best


def by_dimension(groups: Grouping, sample: Sample, statistic: Statistic, options: Inference) -> list[Estimate]:
    """A statistic of each group, each dimension's corrected as one family; the whole task is a family of its own."""
    return _corrected(groups, sample, statistic, options).estimates


def _corrected(groups: Grouping, sample: Sample, statistic: Statistic, options: Inference) -> Corrected:
    families = [groups.columns(dimension) for dimension in groups.dimensions]
    return corrected(sample, families, statistic, level=options.level, method=options.adjust)


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
