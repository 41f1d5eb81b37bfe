"""Smallest forgetting, and difference between a group and the others, that the data at hand show."""

import numpy as np

from chaintune.stats.balanced import contrast
from chaintune.stats.clusters import Floats
from chaintune.stats.contrasts import (
    clusters_outside,
    contrast_errors,
    contrast_parts,
    contrast_scatter,
    least_error,
    shares,
)
from chaintune.stats.effects import Reference, own_errors
from chaintune.stats.power import SeedScatter, detectable, detectable_over_seeds, effective_clusters
from chaintune.stats.rates import standard_errors
from chaintune.stats.sample import Sample, needed_clusters
from chaintune.stats.seeds import seed_variances


def detectable_means(sample: Sample, *, error_rate: float) -> Floats:
    """Smallest mean that these data show with 80 % probability. Shape: `[K]`."""
    sizes = np.broadcast_to(sample.design.weights, sample.seed_sums.shape)
    if sample.design.labels is None:
        errors, freedom = standard_errors(sample.sums, sizes[0]), effective_clusters(sizes[0]) - 1
    else:
        errors, freedom = own_errors(sample)
    limits = _detectable(sample, errors, (sample.seed_sums, sizes), error_rate, freedom)
    return np.where(sample.design.own_n > 0, limits, np.nan)


def detectable_biased(sample: Sample, *, error_rate: float, reference: Reference = "overall") -> Floats:
    """Smallest difference between group and reference that these data show with 80 % probability."""
    if (labels := sample.design.labels) is not None:
        made = contrast(sample.design, labels, sample.label_sums, sample.values, overall=reference == "overall")
        by_seed = (made.sums, np.broadcast_to(made.weights, made.sums.shape))
        errors, freedom = contrast_errors(made, labels)
        limits = _detectable(sample, errors, by_seed, error_rate, freedom)
        return np.where(labels.compared.any(axis=0), limits, np.nan)
    seed_sums, sizes, *_ = contrast_parts(sample)
    share = shares(sample.design)
    scatter = contrast_scatter(sample, sizes[0])
    errors = np.maximum(standard_errors(seed_sums.mean(axis=0), sizes[0]), least_error(scatter, sizes[0]))
    freedom = np.minimum(effective_clusters(sample.design.sizes), effective_clusters(scatter)) - 1
    limits = _detectable(sample, errors, (seed_sums, sizes), error_rate, freedom)
    enough = clusters_outside(sample.design) >= needed_clusters(1 - error_rate)
    return np.asarray(np.where((share < 1) & enough, limits * (1 - share if reference == "overall" else 1.0), np.nan))


def _detectable(
    sample: Sample, errors: Floats, by_seed: tuple[Floats, Floats], error_rate: float, freedom: Floats
) -> Floats:
    """Of ratios of totals. Shape: errors and freedom `[K]`, sums and sizes by seed `[S, C, K]`."""
    if sample.n_seeds == 1:
        return detectable(sample.design, errors, _variances(sample), freedom, error_rate=error_rate)
    scatter = SeedScatter(sample.n_seeds, *seed_variances(*by_seed))
    return detectable_over_seeds(sample.design, errors, _variances(sample), scatter, error_rate=error_rate)


def _variances(sample: Sample) -> Floats:
    if (labels := sample.design.labels) is not None:
        by_label = sample.label_sums.mean(axis=0)
        squares = sample.design.label_sums(sample.values**2).sum(axis=1) / np.maximum(labels.n, 1)
        counts = np.where(labels.shares.any(axis=0), labels.shares > 0, labels.compared)
        own = np.maximum(squares - labels.means(by_label) ** 2, 0.0) * counts
        return np.asarray(own.sum(axis=0) / np.maximum(counts.sum(axis=0), 1))
    squares = sample.design.sums(sample.values**2).sum(axis=0) / np.maximum(sample.design.n, 1)
    return np.asarray(np.maximum(squares - sample.value**2, 0.0))
