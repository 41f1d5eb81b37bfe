"""Sums per cluster: the only thing about examples that any interval or test here needs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Design:
    """Which cluster and which groups each example belongs to; built once, used for every contrast.

    Column 0 of the groups is the whole task. An example may lie in any number of groups.

    Attributes:
        clusters: cluster number of each example, from 0, none left out.
        members: 1 where an example lies in a group.
        sizes: examples of each cluster in each group.

    Shape: clusters `[E]`, members `[E, K]`, sizes `[C, K]`.
    """

    clusters: Integers
    members: sparse.csr_array
    sizes: Floats

    @classmethod
    def of(cls, clusters: Integers, members: sparse.csr_array) -> "Design":
        """The design of examples in clusters and groups; `members` without the whole task's column."""
        everybody: sparse.csr_array = sparse.csr_array(np.ones((len(clusters), 1)))
        columns = sparse.csr_array(sparse.hstack([everybody, members], format="csr"))
        return cls(clusters, columns, _by_cluster(clusters, columns))

    @cached_property
    def n(self) -> Integers:
        """Examples in each group. Shape: `[K]`."""
        return np.asarray(self.sizes.sum(axis=0), dtype=np.int64)

    @cached_property
    def n_clusters(self) -> Integers:
        """Clusters with an example in each group. Shape: `[K]`."""
        return np.asarray((self.sizes > 0).sum(axis=0), dtype=np.int64)

    def sums(self, values: Floats) -> Floats:
        """Sum of the values of each cluster's examples in each group.

        Shape: values `[E]`, result `[C, K]`.
        """
        return _by_cluster(self.clusters, sparse.diags_array(values) @ self.members)


def _by_cluster(clusters: Integers, columns: sparse.csr_array) -> Floats:
    n = len(clusters)
    total = int(clusters.max()) + 1 if n else 0
    indicator = sparse.csr_array((np.ones(n), (clusters, np.arange(n))), shape=(total, n))
    return np.asarray((indicator @ columns).todense(), dtype=np.float64)
