"""Values of examples, summed over clusters and over random halves of the clusters."""

import math
from dataclasses import dataclass

import numpy as np

from chaintune.errors import DataError
from chaintune.stats.clusters import Design, Floats
from chaintune.stats.halves import Halves, halves


@dataclass(frozen=True, eq=False)
class Sample:
    """Values between -1 and 1 of the same examples under one or several seeds.

    Attributes:
        design: clusters and groups of the examples.
        values: mean over the seeds.
        seed_sums: cluster sums in each group, a seed at a time; of what the design's `weights` are a mean of.
        half_sums, half_sizes: of the mean over the seeds.
        label_sums: sums of each label and cluster, a seed at a time, where means are balanced over labels.
        resamples: halves to draw.
        seed: of the draws.

    Shape: values `[E]`, seed_sums `[S, C, K]`, label_sums `[S, L, C, K]`.
    """

    design: Design
    values: Floats
    seed_sums: Floats
    half_sums: Halves
    half_sizes: Halves
    label_sums: Floats
    resamples: int
    seed: int = 0

    @classmethod
    def of(cls, design: Design, values: Floats, *, resamples: int = 10_000, seed: int = 0) -> "Sample":
        """Draw the halves once; everything else is arithmetic on them.

        Args:
            design: clusters and groups of the examples.
            values: of each example, a row for each seed where there are several.
            resamples: halves to draw.
            seed: of the draws.

        Raises:
            DataError: the values are not one for each example, or not all numbers.
        """
        rows = np.atleast_2d(values)
        if rows.shape[1:] != design.clusters.shape:
            raise DataError(f"values of {rows.shape[1]} examples, but {len(design.clusters)} have a cluster")
        if not np.isfinite(rows).all():
            raise DataError("a value is NaN or infinite: every example needs a score")
        labels = design.labels
        by_label = np.stack([design.label_sums(row) for row in rows])
        seed_sums = by_label[:, 0] if labels is None else np.stack(list(map(labels.balanced, by_label)))
        top, bottom = both_halves(seed_sums.mean(axis=0), design.weights, resamples=resamples, seed=seed)
        return cls(design, rows.mean(axis=0), seed_sums, top, bottom, by_label, resamples, seed)

    @property
    def sums(self) -> Floats:
        """Cluster sums of the mean over the seeds. Shape: `[C, K]`."""
        return np.asarray(self.seed_sums.mean(axis=0))

    @property
    def n_seeds(self) -> int:
        """How many seeds the values come from."""
        return len(self.seed_sums)

    @property
    def value(self) -> Floats:
        """Mean in each group, 0 in an empty one. Shape: `[K]`."""
        return np.asarray(self.half_sums.totals / np.maximum(self.design.own_n, 1))


def both_halves(sums: Floats, sizes: Floats, *, resamples: int, seed: int) -> tuple[Halves, Halves]:
    """The same random halves of the clusters of two tables of sums. Shape: sums and sizes `[C, K]`."""
    drawn = halves(np.concatenate([sums, sizes], axis=1), resamples=resamples, seed=seed)
    k = sums.shape[1]
    top, bottom = (Halves(drawn.sums[:, cut], drawn.totals[cut]) for cut in (slice(k), slice(k, None)))
    return top, bottom


def needed_clusters(level: float) -> int:
    """Fewest clusters from which an interval at this level can be read."""
    return math.ceil(1 + math.log2(1 / (1 - level)) - 1e-9)


def skewness(residuals: Floats) -> Floats:
    """Size of the skewness of each column's total, as its rows suggest; infinite without any scatter.

    Shape: `[C, K]` to `[K]`.
    """
    second = (residuals**2).sum(axis=0)
    third = np.abs((residuals**3).sum(axis=0))
    known = second > 1e-18
    return np.asarray(np.where(known, third / np.where(known, second, 1.0) ** 1.5, np.inf))
