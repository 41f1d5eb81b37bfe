"""Smallest forgetting, and difference between a group and the others, that the data at hand show."""

import numpy as np

from chaintune.stats.balanced import contrast
from chaintune.stats.clusters import Floats
from chaintune.stats.contrasts import (
    contrast_by_seed,
    contrast_errors,
    contrast_scatter,
    least_error,
    shares,
)
from chaintune.stats.effects import Reference, own_errors
from chaintune.stats.power import SeedScatter, detectable, detectable_over_seeds, effective_clusters
from chaintune.stats.rates import standard_errors
from chaintune.stats.sample import Sample, in_parts, needed_clusters
from chaintune.stats.seeds import seed_variances


def detectable_means(sample: Sample, *, error_rate: float | Floats) -> Floats:
    """Smallest mean that these data show with 80 % probability. Shape: `[K]`."""

    def of_part(part: Sample) -> tuple[Floats, ...]:
        sizes = np.broadcast_to(part.design.weights, part.seed_sums.shape)
        if part.design.labels is None:
            errors, freedom = standard_errors(part.sums, sizes[0]), effective_clusters(sizes[0]) - 1
        else:
            errors, freedom = own_errors(part)
        return errors, freedom, _variances(part), *_seed_variances(part, part.seed_sums, sizes)

    limits = _detectable(sample, in_parts(sample, of_part, alone=True), error_rate)
    return np.where(sample.design.own_n > 0, limits, np.nan)


def detectable_biased(sample: Sample, *, error_rate: float | Floats, reference: Reference = "overall") -> Floats:
    """Smallest difference between group and reference that these data show with 80 % probability."""
    if (labels := sample.design.labels) is not None:
        made = contrast(sample.design, labels, sample.label_sums, sample.values, overall=reference == "overall")
        weights = np.broadcast_to(made.weights, made.sums.shape)
        scatter = _variances(sample), *_seed_variances(sample, made.sums, weights)
        limits = _detectable(sample, (*contrast_errors(made, labels), *scatter), error_rate)
        return np.where(labels.compared.any(axis=0), limits, np.nan)

    def of_part(part: Sample) -> tuple[Floats, ...]:
        seed_sums, sizes = contrast_by_seed(part)
        scatter = contrast_scatter(part, sizes[0])
        errors = np.maximum(standard_errors(seed_sums.mean(axis=0), sizes[0]), least_error(scatter, sizes[0]))
        freedom = np.minimum(effective_clusters(part.design.sizes), effective_clusters(scatter)) - 1
        return errors, freedom, _variances(part), *_seed_variances(part, seed_sums, sizes)

    limits, share = _detectable(sample, in_parts(sample, of_part), error_rate), shares(sample.design)
    needed = [needed_clusters(1 - rate) for rate in np.broadcast_to(error_rate, share.shape).tolist()]
    enough = sample.design.n_outside >= needed
    return np.asarray(np.where((share < 1) & enough, limits * (1 - share if reference == "overall" else 1.0), np.nan))


def _seed_variances(sample: Sample, sums: Floats, sizes: Floats) -> tuple[Floats, ...]:
    """How seeds differ, of several. Shape: sums and sizes `[S, C, K]`."""
    return seed_variances(sums, sizes) if sample.n_seeds > 1 else ()


def _detectable(sample: Sample, parts: tuple[Floats, ...], error_rate: float | Floats) -> Floats:
    """Of ratios of totals, from their errors, degrees of freedom, variances of values, and how seeds differ."""
    errors, freedom, variances, *by_seed = parts
    if not by_seed:
        return detectable(sample.design, errors, variances, freedom, error_rate=error_rate)
    scatter = SeedScatter(sample.n_seeds, by_seed[0], by_seed[1])
    return detectable_over_seeds(sample.design, errors, variances, scatter, error_rate=error_rate)


def _variances(sample: Sample) -> Floats:
    if (labels := sample.design.labels) is not None:
        by_label = sample.label_sums.mean(axis=0)
        squares = sample.design.label_sums(sample.values**2).sum(axis=1) / np.maximum(labels.n, 1)
        counts = np.where(labels.shares.any(axis=0), labels.shares > 0, labels.compared)
        own = np.maximum(squares - labels.means(by_label) ** 2, 0.0) * counts
        return np.asarray(own.sum(axis=0) / np.maximum(counts.sum(axis=0), 1))
    squares = sample.design.sums(sample.values**2).sum(axis=0) / np.maximum(sample.design.n, 1)
    return np.asarray(np.maximum(squares - sample.value**2, 0.0))
