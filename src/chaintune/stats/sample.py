"""Values of examples, summed over clusters and over random halves of the clusters."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from chaintune.errors import DataError
from chaintune.stats.clusters import Design, Floats, joined
from chaintune.stats.halves import Halves, Kinds, halves, kinds_of

Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Sample:
    """Values between -1 and 1 of the same examples under one or several seeds.

    Attributes:
        design: clusters and groups of the examples.
        by_seed: values of each example, a row for each seed.
        resamples: halves to draw.
        seed: of the draws.
        source: the sample of all groups, of which this one has a few, and their columns there.

    Shape: by_seed `[S, E]`.
    """

    design: Design
    by_seed: Floats
    resamples: int
    seed: int = 0
    source: "tuple[Sample, slice] | None" = None

    @classmethod
    def of(cls, design: Design, values: Floats, *, resamples: int = 10_000, seed: int = 0) -> "Sample":
        """Halves are drawn once; everything else is arithmetic on them.

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
        return cls(design, rows, resamples, seed)

    def parts(self, *, alone: bool = False) -> Iterator["Sample"]:
        """Samples of a few of the groups each, the whole task first in all; itself where groups are few.

        What is drawn for a group is the same in all of them. Seeds are drawn for all groups at once, and labels
        weigh groups against each other's clusters, so these samples are one part.

        Args:
            alone: as of the design's parts.
        """
        if self.n_seeds > 1 or self.design.labels is not None:
            yield self
            return
        for design, columns, examples in self.design.parts(self.resamples, alone=alone):
            values, source = self.by_seed[:, examples], (self, columns)
            yield self if design is self.design else replace(self, design=design, by_seed=values, source=source)

    def beside(self, columns: slice) -> "Sample":
        """The sample of some neighbouring groups, the whole task first; itself where groups are few."""
        if next(self.parts()) is self:
            return self
        members = self.design.members_of(columns)
        design = Design(self.design.clusters, members, bounded=self.design.bounded)
        return replace(self, design=design, source=(self, columns))

    def own(self, numbers: float | Floats) -> float | Floats:
        """What is said of each group of all, of those that are here. Shape: a number or `[K]`."""
        if self.source is None or not isinstance(numbers, np.ndarray):
            return numbers
        return np.concatenate([numbers[:1], numbers[self.source[1]]])

    def once(self, make: "Callable[[Sample], Made]") -> "Made":
        """What a function makes of this sample; made once and kept, as several estimates need it at several levels."""
        if make not in self._kept:
            self._kept[make] = make(self)
        kept: Made = self._kept[make]
        return kept

    @cached_property
    def _kept(self) -> dict[Any, Any]:
        return {}

    @cached_property
    def values(self) -> Floats:
        """Mean over the seeds of each example. Shape: `[E]`."""
        return np.asarray(self.by_seed.mean(axis=0))

    @cached_property
    def label_sums(self) -> Floats:
        """Sums of each label and cluster, a seed at a time; one label without labels. Shape: `[S, L, C, K]`."""
        return np.stack([self.design.label_sums(row) for row in self.by_seed])

    @cached_property
    def seed_sums(self) -> Floats:
        """Cluster sums in each group, a seed at a time, of what the design's `weights` are a mean of.

        Shape: `[S, C, K]`.
        """
        labels, by_label = self.design.labels, self.label_sums
        return by_label[:, 0] if labels is None else np.stack(list(map(labels.balanced, by_label)))

    @cached_property
    def sums(self) -> Floats:
        """Cluster sums of the mean over the seeds. Shape: `[C, K]`."""
        return np.asarray(self.seed_sums.mean(axis=0))

    @property
    def value_by_seed(self) -> Floats:
        """Mean in the whole task, a seed at a time. Shape: `[S]`."""
        return np.asarray(self.seed_sums[:, :, 0].sum(axis=1) / max(int(self.design.own_n[0]), 1))

    @property
    def n_seeds(self) -> int:
        """How many seeds the values come from."""
        return len(self.by_seed)

    @property
    def half_sums(self) -> Halves:
        """Halves of the sums of the mean over the seeds."""
        return self._halves[0]

    @property
    def half_sizes(self) -> Halves:
        """Halves of the design's weights."""
        return self._halves[1]

    @property
    def value(self) -> Floats:
        """Mean in each group, 0 in an empty one. Shape: `[K]`."""
        # A single column would be added up in another order than one of several.
        columns = self.sums if self.sums.shape[1] > 1 else np.concatenate([self.sums, self.design.weights], axis=1)
        return np.asarray(columns.sum(axis=0)[: self.sums.shape[1]] / np.maximum(self.design.own_n, 1))

    @cached_property
    def _halves(self) -> tuple[Halves, Halves]:
        if self.source is None:
            return both_halves(self.sums, self.design.weights, resamples=self.resamples, seed=self.seed)
        source, columns = self.source
        own = source.some_halves(source.design.columns[:, columns].tocsr())
        top, bottom = (one.beside(other) for one, other in zip(source.whole_halves, own, strict=True))
        return top, bottom

    @cached_property
    def whole_halves(self) -> tuple[Halves, Halves]:
        """Halves of the whole task's sums and sizes."""
        return self.some_halves(self.design.members[:, [0]])

    def some_halves(self, members: sparse.csr_array) -> tuple[Halves, Halves]:
        """Halves of the sums and sizes of some of the groups, as they are drawn for all. Shape: members `[E, M]`."""
        columns = self._sparse_columns(Design(self.design.clusters, members))
        return _both(halves(columns, resamples=self.resamples, seed=self.seed, kinds=self._kinds))

    @cached_property
    def _kinds(self) -> Kinds:
        return kinds_of(self._sparse_columns(self.design))

    def _sparse_columns(self, design: Design) -> sparse.csr_array:
        parts = [design.sparse_sums(values) for values in (self.values, np.ones(len(self.values)))]
        columns = sparse.csr_array(sparse.hstack(parts, format="csr"))
        columns.eliminate_zeros()
        columns.sort_indices()
        return columns


def in_parts(sample: Sample, of: Callable[[Sample], tuple[Floats, ...]], *, alone: bool = False) -> tuple[Floats, ...]:
    """Arrays of what a function says of each group, for a few groups at a time. Shape: all `[K]`."""
    return joined([of(part) for part in sample.parts(alone=alone)])


def both_halves(sums: Floats, sizes: Floats, *, resamples: int, seed: int) -> tuple[Halves, Halves]:
    """The same random halves of the clusters of two tables of sums. Shape: sums and sizes `[C, K]`."""
    return _both(halves(np.concatenate([sums, sizes], axis=1), resamples=resamples, seed=seed))


def _both(drawn: Halves) -> tuple[Halves, Halves]:
    k = len(drawn.totals) // 2
    return drawn.columns(slice(k)), drawn.columns(slice(k, None))


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
