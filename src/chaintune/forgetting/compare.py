"""Two checkpoints on one task: what was forgotten, and who was."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from chaintune.errors import ConfigError, nearest
from chaintune.forgetting.accuracy import accuracies
from chaintune.forgetting.grouping import Grouping, grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.pairing import OnMissing, pair
from chaintune.forgetting.verdicts import verdict
from chaintune.records import Comparison, Disparity, Estimate, GroupComparison, Scores
from chaintune.stats import (
    Adjustment,
    Reference,
    Sample,
    adjusted,
    biased,
    detectable_biased,
    detectable_means,
    disparity,
    mcnemar_p,
    means,
    needed_clusters,
)
from chaintune.stats.clusters import Floats


def compare(
    before: Scores,
    after: Scores,
    *,
    by: Sequence[str] = (),
    reference: Reference = "overall",
    metric: str | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    adjust: Adjustment = "holm",
    on_missing: OnMissing = "error",
    margin: float = 0.02,
    intersections: Sequence[tuple[str, str]] = (),
) -> Comparison:
    """Forgetting between two checkpoints, overall and for each group of the dimensions asked for.

    Args:
        before: scores of the earlier checkpoint.
        after: scores of the later checkpoint on the same task.
        by: dimensions whose groups are compared; none, and only the whole task is.
        reference: biased forgetting is relative to the `overall` forgetting or to that of the `rest`.
        metric: what scores an example, one of the scores' `metrics`; None is their own.
        level: of the intervals.
        resamples: random halves of the clusters that are drawn.
        seed: of the draws; same seed, same bits.
        adjust: correction for the number of groups of a dimension, `holm` or `bh`.
        on_missing: `error`, or `intersect` to leave out examples that only one checkpoint answered.
        margin: a change within it counts as none.
        intersections: pairs of dimensions whose groups are crossed.

    Raises:
        ConfigError: an option or dimension that does not exist.
        DataError: the scores are not of the same examples.

    Sign: positive forgetting is worse; positive biased forgetting: this group loses more.
    """
    inference = Inference(level, resamples, seed, adjust, reference, margin)
    return compare_scores(
        before, after, by=by, intersections=intersections, metric=metric, on_missing=on_missing, inference=inference
    )


def compare_scores(
    before: Scores,
    after: Scores,
    *,
    by: Sequence[str],
    intersections: Sequence[tuple[str, str]],
    metric: str | None,
    on_missing: OnMissing,
    inference: Inference,
) -> Comparison:
    """The same as `compare`, of options that were checked before."""
    paired = pair(before, after, on_missing=on_missing)
    groups = grouping(paired.before, by, intersections)
    known = _metric_of(before, metric)
    scores = (paired.before.item_scores(known), paired.after.item_scores(known))
    rows, disparities = compared(groups, scores, inference, identical=paired.identical)
    return Comparison(
        before.task, known, inference.reference, inference.level, inference.margin, inference.adjust,
        inference.resamples, inference.seed, paired.n_left_out,
        rows[0], tuple(rows[1:]), tuple(disparities), dict(before.provenance), dict(after.provenance),
        graded=any(bool(np.any((values != 0) & (values != 1))) for values in scores),
    )  # fmt: skip


def _metric_of(scores: Scores, metric: str | None) -> str:
    if metric is not None and metric not in scores.metrics:
        raise ConfigError(f"metric '{metric}': {nearest(metric, scores.metrics)}")
    return metric or scores.metric.name


def compared(
    groups: Grouping, scores: tuple[Floats, Floats], options: Inference, *, identical: bool = False
) -> tuple[list[GroupComparison], list[Disparity]]:
    """Every row of a comparison, and the disparity of each dimension.

    Args:
        groups: of the examples.
        scores: item scores before and after.
        options: how sure, and relative to what.
        identical: the two checkpoints answer alike to the last bit, so nothing is left to chance.
    """
    sample = Sample.of(groups.design, scores[0] - scores[1], resamples=options.resamples, seed=options.seed)
    forgetting = adjusted_by_dimension(groups, means(sample, level=options.level), options)
    bias = adjusted_by_dimension(groups, biased(sample, level=options.level, reference=options.reference), options)
    limits = detectable_limits(groups, sample, options, (forgetting, bias))
    if identical:
        forgetting, bias = ([_unchanged(estimate) for estimate in row] for row in (forgetting, bias))
    before, after = (accuracies(groups.design, score, level=options.level) for score in scores)
    forgot, learned = (
        groups.design.sums((d > 0).astype(np.float64)).sum(axis=0) for d in (sample.values, -sample.values)
    )
    rows = [
        GroupComparison(
            *groups.labels[k], before[k], after[k], forgetting[k], bias[k], round(forgot[k]), round(learned[k]),
            mcnemar_p(round(forgot[k]), round(learned[k])), float(limits[0][k]), float(limits[1][k]),
            verdict(forgetting[k], margin=options.margin, level=options.level),
        )
        for k in range(len(groups.labels))
    ]  # fmt: skip
    return rows, [found for name in groups.dimensions if (found := dimension_disparity(groups, sample, name, options))]


def adjusted_by_dimension(groups: Grouping, estimates: list[Estimate], options: Inference) -> list[Estimate]:
    """The estimates, each dimension's corrected as one family; the whole task is a family of its own."""
    corrected = list(estimates)
    for dimension in groups.dimensions:
        columns = groups.columns(dimension)
        for column, estimate in zip(columns, adjusted([estimates[c] for c in columns], options.adjust), strict=True):
            corrected[column] = estimate
    return corrected


def dimension_disparity(groups: Grouping, sample: Sample, dimension: str, options: Inference) -> Disparity:
    """Spread of forgetting over the groups of a dimension that are large enough to take part."""
    columns = [k for k in groups.columns(dimension) if groups.design.n_clusters[k] >= needed_clusters(options.level)]
    if len(columns) < 2:
        reason = f"fewer than two groups of '{dimension}' have enough clusters"
        return Disparity(dimension, Estimate.undefined(reason), float("nan"), len(columns))
    return Disparity(dimension, *disparity(sample, columns), len(columns))


def detectable_limits(
    groups: Grouping, sample: Sample, options: Inference, found: tuple[list[Estimate], list[Estimate]]
) -> tuple[Floats, Floats]:
    """Detectable forgetting and biased forgetting; a group shares the error rate with its dimension's tested ones.

    Args:
        groups: of the examples.
        sample: of the changes.
        options: how sure, and relative to what.
        found: forgetting and biased forgetting of each group; those without a p-value were not tested.
    """
    lost, bias = (np.full(len(groups.labels), np.nan) for _ in range(2))
    for dimension in ("", *groups.dimensions):
        columns = groups.columns(dimension)
        rates = [(1 - options.level) / max(_tested(estimates, columns), 1) for estimates in found]
        lost[columns] = detectable_means(sample, error_rate=rates[0])[columns]
        bias[columns] = detectable_biased(sample, error_rate=rates[1], reference=options.reference)[columns]
    return lost, bias


def _tested(estimates: list[Estimate], columns: list[int]) -> int:
    return sum(not np.isnan(estimates[column].p_value) for column in columns)


def _unchanged(estimate: Estimate) -> Estimate:
    if estimate.n == 0 or np.isnan(estimate.value):
        return estimate
    return replace(
        estimate, value=0.0, low=0.0, high=0.0, p_value=1.0, p_adjusted=1.0,
        method="the two checkpoints answer alike to the last bit", reason="",
    )  # fmt: skip
