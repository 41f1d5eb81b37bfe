"""Sums per cluster: the only thing about examples that any interval or test here needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from chaintune.errors import number_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Places = Integers | slice

# From so many groups on, or from so many cells of an array, a few groups at a time are held densely.
MANY_GROUPS = 200
_MANY_CELLS = 2**25
_GROUPS_AT_ONCE = 128
_CELLS_AT_ONCE = 2**24


@dataclass(frozen=True, eq=False)
class Labels:
    """The gold label of each example, and which labels count in which group, for means that are balanced over labels.

    A label counts in a group that has the clusters of it that an interval needs, and beside the group where as many
    clusters have examples of it that lie outside. A group has a mean of its own where every label counts that counts
    in the whole task; that of a group of dimension `label` is the mean of its one label.

    Attributes:
        names: of all labels.
        only: number of the label that a group of dimension `label` consists of; -1 for other groups.
        needed: clusters that an interval needs.
        sizes: examples of each label and cluster in each group.
        codes: number of each example's label.

    Shape: only `[K]`, sizes `[L, C, K]`, codes `[E]`.
    """

    names: tuple[str, ...]
    only: Integers
    needed: int
    sizes: Floats
    codes: Integers

    @cached_property
    def n(self) -> Floats:
        """Examples of each label in each group. Shape: `[L, K]`."""
        return np.asarray(self.sizes.sum(axis=1))

    @cached_property
    def clusters(self) -> Integers:
        """Clusters with an example of each label in each group. Shape: `[L, K]`."""
        return np.asarray((self.sizes > 0).sum(axis=1), dtype=np.int64)

    @cached_property
    def worth(self) -> Floats:
        """Clusters of equal size that each label is worth in each group, at least 2. Shape: `[L, K]`."""
        squares = (self.sizes**2).sum(axis=1)
        return np.maximum(self.n**2 / np.where(squares == 0, 1.0, squares), 2.0)

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """Whether each label counts in the whole task. Shape: `[L]`."""
        return np.asarray(self.clusters[:, 0] >= self.needed)

    @cached_property
    def shares(self) -> Floats:
        """What each label's mean counts in a group's own mean; all 0 where the group has none. Shape: `[L, K]`."""
        counts = self._enough & self.whole[:, None]
        number = int(self.whole.sum())
        balanced = counts * ((counts.sum(axis=0) == number) & (number > 1)) / max(number, 1)
        return np.where(self.only >= 0, 1.0 * (self.is_only & counts), balanced)

    @cached_property
    def compared(self) -> NDArray[np.bool_]:
        """Whether each label counts where a group is held against the others. Shape: `[L, K]`."""
        outside = (self.sizes[:, :, :1] > self.sizes).sum(axis=1) >= self.needed
        counts = np.where(self.only >= 0, self.is_only, outside) & self._enough & self.whole[:, None]
        return np.asarray(counts & (self.whole.sum() > 1))

    @cached_property
    def is_only(self) -> NDArray[np.bool_]:
        """Whether each label is the one that a group of dimension `label` consists of. Shape: `[L, K]`."""
        return np.asarray(np.arange(len(self.names))[:, None] == self.only)

    @cached_property
    def own_n(self) -> Integers:
        """Examples that each group's own mean is of. Shape: `[K]`."""
        return np.asarray((self.n * (self.shares > 0)).sum(axis=0), dtype=np.int64)

    @cached_property
    def own_clusters(self) -> Integers:
        """Clusters that each group's own mean is of. Shape: `[K]`."""
        return self.clusters_of(self.shares > 0)

    def clusters_of(self, counts: NDArray[np.bool_]) -> Integers:
        """Clusters with an example of a label that counts, in each group. Shape: counts `[L, K]`, result `[K]`."""
        return np.asarray(((self.sizes * counts[:, None]).sum(axis=0) > 0).sum(axis=0), dtype=np.int64)

    @cached_property
    def weights(self) -> Floats:
        """What each cluster counts in a group's own mean; in all, the examples that it is of. Shape: `[C, K]`."""
        return np.asarray((self._per_example[:, None] * self.sizes).sum(axis=0) * self.own_n)

    def means(self, sums: Floats) -> Floats:
        """Mean of each label in each group, 0 where there is none. Shape: sums `[L, C, K]`, result `[L, K]`."""
        return np.asarray(sums.sum(axis=1) / np.maximum(self.n, 1))

    def influences(self, sums: Floats) -> Floats:
        """What each label's and cluster's examples add to the error of a group's own mean. Shape: all `[L, C, K]`."""
        return np.asarray(self._per_example[:, None] * (sums - self.means(sums)[:, None] * self.sizes))

    def balanced(self, sums: Floats) -> Floats:
        """Sums of clusters which, over `weights`, give the balanced means, and scatter as its influences do.

        Shape: sums `[L, C, K]`, result `[C, K]`.
        """
        mean = (self.shares * self.means(sums)).sum(axis=0)
        return np.asarray(self.influences(sums).sum(axis=0) * self.own_n + mean * self.weights)

    def named(self, counts: NDArray[np.bool_], column: int) -> str:
        """The labels that do not count in a group, each with its clusters there."""
        counted = [label for label in range(len(self.names)) if self.only[column] in (-1, label)]
        lacking = [label for label in counted if not counts[label, column] and self.n[label, 0]]
        return ", ".join(
            f"'{self.names[label]}' ({number_of(int(self.clusters[label, column]), 'cluster')})" for label in lacking
        )

    def why_no_mean(self, column: int) -> str:
        """Why a group has no mean of its own."""
        if self.only[column] < 0 and self.whole.sum() < 2:
            return f"fewer than two labels have the {self.needed} clusters that an interval needs"
        counts = self._enough | ~self.whole[:, None]
        return f"too few clusters of a label, {self.needed} are needed: {self.named(counts, column)}"

    def why_no_contrast(self, column: int) -> str:
        """Why a group cannot be held against the others."""
        if (self.n[:, column] == self.n[:, 0]).all():
            return "the group is the whole task"
        if self.whole.sum() < 2:
            return self.why_no_mean(0)
        return f"no label has {self.needed} clusters in the group and as many outside it"

    def note(self, column: int, counts: NDArray[np.bool_]) -> str:
        """Over which labels an estimate of a group is a mean; empty of a group that consists of one."""
        if self.only[column] >= 0:
            return ""
        named = self.named(counts, column)
        return f"; mean over {number_of(int(counts[:, column].sum()), 'label')}" + (
            f", without {named}" if named else ""
        )

    @property
    def _enough(self) -> NDArray[np.bool_]:
        return np.asarray(self.clusters >= self.needed)

    @property
    def _per_example(self) -> Floats:
        return np.asarray(self.shares / np.maximum(self.n, 1))


@dataclass(frozen=True, eq=False)
class Design:
    """Which cluster and which groups each example belongs to; built once, used for every contrast.

    Column 0 of the groups is the whole task. An example may lie in any number of groups.

    Attributes:
        clusters: cluster number of each example, from 0, none left out.
        members: 1 where an example lies in a group.
        labels: over which means are balanced; None and every example counts alike.
        pools: number of the dimension of each group, over whose groups the variance between seeds is estimated
            together, 0 for the whole task; None, and it is estimated for each group alone.
        recipes: sums of clusters of the whole task under other recipes, as `mean_sums` has them, with which its own
            mean shares the variance between seeds; None, and it does with none.
        bounded: whether the values of examples lie between ends that are known, not just between the outermost ones.

    Shape: clusters `[E]`, members `[E, K]`, pools `[K]`, recipes `[S, C, R]`.
    """

    clusters: Integers
    members: sparse.csr_array
    labels: Labels | None = None
    pools: Integers | None = None
    recipes: Floats | None = None
    bounded: bool = True

    @classmethod
    def of(cls, clusters: Integers, members: sparse.csr_array) -> "Design":
        """The design of examples in clusters and groups; `members` without the whole task's column."""
        everybody: sparse.csr_array = sparse.csr_array(np.ones((len(clusters), 1)))
        return cls(clusters, sparse.csr_array(sparse.hstack([everybody, members], format="csr")))

    def balanced_over(self, labels: NDArray[np.str_], only: dict[int, str], *, needed: int) -> "Design":
        """The same design with means that are balanced over labels.

        Args:
            labels: of each example.
            only: the label of each group of dimension `label`, by column.
            needed: clusters that an interval needs.

        Shape: labels `[E]`.
        """
        names, codes = np.unique(labels, return_inverse=True)
        places = {str(name): place for place, name in enumerate(names)}
        alone = np.array([places[only[k]] if k in only else -1 for k in range(self.members.shape[1])], dtype=np.int64)
        sizes = self._by_label(np.ones(len(codes)), codes.astype(np.int64), len(names))
        return replace(self, labels=Labels(tuple(places), alone, needed, sizes, codes.astype(np.int64)))

    def with_whole(self, column: int) -> "Design":
        """The design of the whole task and one group, weighed as here; seeds and recipes are shared with no others."""
        both = [0, column]
        labels = self.labels and replace(self.labels, only=self.labels.only[both], sizes=self.labels.sizes[:, :, both])
        return replace(self, members=sparse.csr_array(self.columns[:, both]), labels=labels, pools=None, recipes=None)

    def parts(self, rows: int = 0, *, alone: bool = False) -> Iterator[tuple["Design", slice, Places]]:
        """Designs of a few groups each, the whole task first in all, with their columns and examples here.

        Where groups are few it is this one itself.

        Args:
            rows: of other arrays that are held for each group, beside those of clusters.
            alone: only with the examples that the groups have; what is said of the whole task holds in the first part.
        """
        groups, rows = self.members.shape[1], max(rows, self.total)
        if groups <= MANY_GROUPS and groups * rows <= _MANY_CELLS:
            yield self, slice(1, None), slice(None)
            return
        at_once = max(1, min(_GROUPS_AT_ONCE, _CELLS_AT_ONCE // rows))
        for columns in (slice(start, start + at_once) for start in range(1, groups, at_once)):
            part = self.members_of(columns)
            if not alone or columns.start == 1:
                yield Design(self.clusters, part, bounded=self.bounded), columns, slice(None)
                continue
            examples = np.flatnonzero(np.diff(part.indptr) > 1)
            codes = np.unique(self.clusters[examples], return_inverse=True)[1]
            yield Design(codes.astype(np.int64), part[examples], bounded=self.bounded), columns, examples

    def members_of(self, columns: slice) -> sparse.csr_array:
        """The memberships of the whole task and of some neighbouring groups. Shape: `[E, K]`."""
        return sparse.csr_array(self.columns[:, [0, *range(self.members.shape[1])[columns]]])

    @cached_property
    def columns(self) -> sparse.csc_array:
        """The memberships, group by group. Shape: `[E, K]`."""
        return self.members.tocsc()

    @cached_property
    def total(self) -> int:
        """Clusters there are."""
        return int(self.clusters.max()) + 1 if len(self.clusters) else 0

    @cached_property
    def sizes(self) -> Floats:
        """Examples of each cluster in each group. Shape: `[C, K]`."""
        return np.asarray(self._sizes.todense(), dtype=np.float64)

    @cached_property
    def n(self) -> Integers:
        """Examples in each group. Shape: `[K]`."""
        return np.asarray(self.members.sum(axis=0), dtype=np.int64)

    @cached_property
    def n_clusters(self) -> Integers:
        """Clusters with an example in each group. Shape: `[K]`."""
        return np.bincount(self._sizes.indices[self._sizes.data > 0], minlength=self.members.shape[1])

    @cached_property
    def n_outside(self) -> Integers:
        """Clusters with an example that does not lie in each group. Shape: `[K]`."""
        of_cluster = np.bincount(self.clusters, minlength=self.total)
        full = self._sizes.data == np.repeat(of_cluster, np.diff(self._sizes.indptr))
        return self.total - np.bincount(self._sizes.indices[full], minlength=self.members.shape[1])

    def sums(self, values: Floats) -> Floats:
        """Sum of the values of each cluster's examples in each group.

        Shape: values `[E]`, result `[C, K]`.
        """
        return np.asarray(self.sparse_sums(values).todense(), dtype=np.float64)

    def sparse_sums(self, values: Floats) -> sparse.csr_array:
        """The same, without the groups that a cluster has no example in. Shape: values `[E]`, result `[C, K]`."""
        members = self.members
        scaled = members.data * np.repeat(values, np.diff(members.indptr))
        return self._by_cluster(sparse.csr_array((scaled, members.indices, members.indptr), shape=members.shape))

    def label_sums(self, values: Floats) -> Floats:
        """The same for each label. Shape: values `[E]`, result `[L, C, K]`; one label that all bear without labels."""
        if self.labels is None:
            return self.sums(values)[None]
        return self._by_label(values, self.labels.codes, len(self.labels.names))

    def mean_sums(self, values: Floats) -> Floats:
        """Sums of clusters which, over `weights`, give the mean of each group. Shape: values `[E]`, result `[C, K]`."""
        return self.sums(values) if self.labels is None else self.labels.balanced(self.label_sums(values))

    @property
    def weights(self) -> Floats:
        """What each cluster counts in each group's mean: its examples where none is balanced. Shape: `[C, K]`."""
        return self.sizes if self.labels is None else self.labels.weights

    @property
    def own_n(self) -> Integers:
        """Examples that each group's mean is of; 0 where it has none. Shape: `[K]`."""
        return self.n if self.labels is None else self.labels.own_n

    def why_no_mean(self, column: int) -> str:
        """Why a group has no mean."""
        return "no examples" if self.labels is None or not self.n[column] else self.labels.why_no_mean(column)

    @property
    def own_clusters(self) -> Integers:
        """Clusters that each group's mean is of. Shape: `[K]`."""
        return self.n_clusters if self.labels is None else self.labels.own_clusters

    def mean(self, values: Floats) -> float:
        """Mean of the values in the whole task; NaN where it has none. Shape: values `[E]`."""
        if self.labels is None:
            return float(values.mean())
        return float(self.mean_sums(values)[:, 0].sum() / self.own_n[0]) if self.own_n[0] else float("nan")

    @cached_property
    def _sizes(self) -> sparse.csr_array:
        return self._by_cluster(self.members)

    @cached_property
    def _indicator(self) -> sparse.csr_array:
        """1 where an example lies in a cluster. Shape: `[C, E]`."""
        n = len(self.clusters)
        return sparse.csr_array((np.ones(n), (self.clusters, np.arange(n))), shape=(self.total, n))

    def _by_cluster(self, columns: sparse.csr_array) -> sparse.csr_array:
        return sparse.csr_array(self._indicator @ columns)

    def _by_label(self, values: Floats, codes: Integers, count: int) -> Floats:
        return np.stack([self.sums(np.where(codes == label, values, 0.0)) for label in range(count)])


def joined(several: Sequence[tuple[Floats, ...]]) -> tuple[Floats, ...]:
    """Arrays of all groups from those of a few groups each, the whole task first in all."""
    return tuple(np.concatenate([one[0][:1], *(array[1:] for array in one)]) for one in zip(*several, strict=True))
