"""Groups held against the rest: cluster sums whose ratio is the difference, and the least error that is believed."""

import numpy as np

from chaintune.stats.balanced import Contrast, contrast, error_of, mean_scatter
from chaintune.stats.clusters import Design, Floats, Labels
from chaintune.stats.halves import Halves
from chaintune.stats.power import effective_clusters
from chaintune.stats.sample import Sample

# Chosen by simulation, see docs/explanation/statistics.md: the share of the task's common scatter that a group's, or a
# contrast's, must not fall below.
SCATTER_FLOOR = 0.85


def contrast_by_seed(sample: Sample) -> tuple[Floats, Floats]:
    """Cluster scores and weights of each group's difference, a seed at a time. Shape: both `[S, C, K]`."""
    if sample.design.labels is None:
        return _sums_by_seed(sample)
    made = contrast(sample.design, sample.design.labels, sample.label_sums, sample.values, overall=True)
    return made.sums, np.broadcast_to(made.weights, made.sums.shape)


def contrast_errors(made: Contrast, labels: Labels) -> tuple[Floats, Floats]:
    """Standard error of a contrast, at no less than the share of the common scatter, and its degrees of freedom."""
    # A group of dimension `label` is held against examples of other labels, which lie outside it.
    errors, freedom = error_of(made.influences, np.where(labels.only >= 0, labels.worth[:, :1], labels.worth))
    least = SCATTER_FLOOR * np.sqrt(made.scatter.sum(axis=0))
    return np.maximum(errors, least), np.minimum(freedom, np.maximum(effective_clusters(made.scatter) - 1, 1.0))


def contrast_parts(sample: Sample) -> tuple[Floats, Floats, Halves, Halves]:
    """Cluster scores of group minus rest and their halves: the estimate is the ratio of their totals."""
    return sample.once(_contrast_parts)


def _contrast_parts(sample: Sample) -> tuple[Floats, Floats, Halves, Halves]:
    design, mean = sample.design, sample.value[0]
    numerator = Halves(
        _scores(design, sample.half_sums.sums, sample.half_sizes.sums, mean),
        _scores(design, sample.half_sums.totals[None], sample.half_sizes.totals[None], mean)[0],
        sample.half_sums.clusters,
    )
    denominator = Halves(
        _weights(design, sample.half_sizes.sums),
        _weights(design, sample.half_sizes.totals[None])[0],
        sample.half_sizes.clusters,
    )
    return *_sums_by_seed(sample), numerator, denominator


def _sums_by_seed(sample: Sample) -> tuple[Floats, Floats]:
    design, sizes = sample.design, sample.design.sizes
    by_seed = sample.seed_sums[:, :, 0].sum(axis=1) / max(int(design.n[0]), 1)
    scores = [_scores(design, sums, sizes, m) for sums, m in zip(sample.seed_sums, by_seed, strict=True)]
    return np.stack(scores), np.broadcast_to(_weights(design, sizes), sample.seed_sums.shape)


def _scores(design: Design, sums: Floats, sizes: Floats, mean: float) -> Floats:
    """Scores of a regression on membership, membership and values both freed from their mean."""
    share = shares(design)
    return sums - share * sums[:, :1] - mean * (sizes - share * sizes[:, :1])


def _weights(design: Design, sizes: Floats) -> Floats:
    share = shares(design)
    return sizes * (1 - 2 * share) + share**2 * sizes[:, :1]


def contrast_scatter(sample: Sample, weights: Floats) -> Floats:
    """What each cluster adds to the variance of group minus rest, at the task's common scatter. Shape: `[C, K]`."""
    sizes = sample.design.sizes
    variance, correlation = common_scatter(sample)
    leaned = (sizes - shares(sample.design) * sizes[:, :1]) ** 2
    return np.asarray(variance * ((1 - correlation) * weights + correlation * leaned))


def least_error(scatter: Floats, weights: Floats) -> Floats:
    """Lower bound of the standard error of group minus rest. Shape: both `[C, K]`, result `[K]`.

    Flipping signs takes a group at its own scatter, and a group that happens to have few changes
    understates it; so it is held against that of the whole task.
    """
    total, denominator = scatter.sum(axis=0), weights.sum(axis=0)
    return np.asarray(SCATTER_FLOOR * np.sqrt(total) / np.where(denominator > 0, denominator, 1.0))


def least_errors(sample: Sample, squares: Floats) -> tuple[Floats, float]:
    """Lower bound of the standard error of each group's own mean, and its degrees of freedom.

    A group none of whose clusters happened to change looks surer than it is; all groups together tell how much clusters
    scatter. The degrees of freedom are therefore those of the whole task, whose clusters the scatter comes from: its
    clusters less one, over labels as Satterthwaite has it. The whole task, and a group that consists of one label, have
    no larger whole to be held against.

    Args:
        sample: of the values.
        squares: sum of the squared sizes of each group's clusters.

    Shape: squares and errors `[K]`.
    """
    design, labels = sample.design, sample.design.labels
    if labels is None:
        variance, correlation = common_scatter(sample)
        common = variance * ((1 - correlation) * design.n + correlation * squares) / np.maximum(design.n, 1) ** 2
        alone, freedom = np.arange(len(common)) == 0, design.total - 1.0
    else:
        by_label = mean_scatter(design, labels, sample.values)
        common, alone = by_label.sum(axis=0), labels.only >= 0
        alone[0] = True
        parts = (by_label[:, 0] ** 2 / np.maximum(labels.clusters[:, 0] - 1, 1)).sum()
        freedom = float(common[0] ** 2 / parts) if parts > 0 else 1.0
    return np.where(alone, 0.0, SCATTER_FLOOR * np.sqrt(common)), freedom


def common_scatter(sample: Sample) -> tuple[float, float]:
    """Variance of the whole task's values, and their correlation within clusters."""
    return sample.once(_common_scatter)


def _common_scatter(sample: Sample) -> tuple[float, float]:
    clusters, values, n = sample.design.clusters, sample.values, max(len(sample.values), 1)
    sizes, sums = np.bincount(clusters), np.bincount(clusters, values)
    mean = float(sums.sum()) / n
    squares = float((values**2).sum()) / n
    # Values that are all alike differ from their mean by rounding alone.
    variance = squares - mean**2 if squares - mean**2 > 1e-12 * squares else 0.0
    between = float(((sums - mean * sizes) ** 2).sum()) - variance * n
    pairs = variance * float((sizes**2 - sizes).sum())
    return variance, min(max(between / pairs, 0.0), 1.0) if pairs > 0 else 0.0


def shares(design: Design) -> Floats:
    """Share of the task's examples that each group holds. Shape: `[K]`."""
    return np.asarray(design.n / max(int(design.n[0]), 1))
