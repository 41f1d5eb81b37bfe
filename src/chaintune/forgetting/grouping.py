"""Which clusters and groups the examples of a table of scores belong to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from chaintune.errors import ConfigError, nearest
from chaintune.records import Scores
from chaintune.records.crossing import joined
from chaintune.records.examples import LABEL
from chaintune.stats import Design, needed_clusters, one_test
from chaintune.stats.clusters import Floats

Label = tuple[str, str]

# Two recipes are worth just under two, too few to say how far recipes differ.
_FEWEST_OTHERS = 2


@dataclass(frozen=True, eq=False)
class Grouping:
    """A design and the names of its columns.

    Attributes:
        labels: dimension and group of each column; the first is the whole task, `("", "")`.
        design: clusters and memberships of the examples.
    """

    labels: tuple[Label, ...]
    design: Design

    def columns(self, dimension: str) -> list[int]:
        """Columns of a dimension's groups."""
        return [column for column, label in enumerate(self.labels) if label[0] == dimension]

    def subset(self, rows: NDArray[np.int64]) -> "Grouping":
        """The same groups on some of the examples."""
        codes = np.unique(self.design.clusters[rows], return_inverse=True)[1]
        design = Design.of(codes.astype(np.int64), self.design.members[rows][:, 1:])
        return Grouping(self.labels, replace(design, pools=self.design.pools, bounded=self.design.bounded))

    def seeds_apart(self) -> "Grouping":
        """The same, with a variance between seeds for each group alone."""
        return replace(self, design=replace(self.design, pools=None))

    def beside_recipes(self, values: Sequence[Floats]) -> "Grouping":
        """The same, its whole task sharing the variance between seeds with other recipes, where they are enough.

        Shape: values `[S, E]` each.
        """
        enough = len(values) >= _FEWEST_OTHERS
        sums = [np.stack([self.design.mean_sums(row)[:, 0] for row in one]) for one in values]
        return replace(self, design=replace(self.design, recipes=np.stack(sums, axis=2))) if enough else self

    @cached_property
    def same_examples(self) -> dict[Label, tuple[str, ...]]:
        """Of each group that has examples, the other groups of its dimension with the very same ones."""
        same: dict[Label, tuple[str, ...]] = {}
        for dimension in self.dimensions:
            columns = [column for column in self.columns(dimension) if self.design.n[column]]
            tests = one_test(self.design, columns, complementary=False)
            alike: dict[int, list[Label]] = {}
            for column, test in zip(columns, tests, strict=True):
                alike.setdefault(test, []).append(self.labels[column])
            for labels in alike.values():
                same |= {label: tuple(other[1] for other in labels if other != label) for label in labels}
        return same

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Dimensions in the order of their columns."""
        return tuple(dict.fromkeys(dimension for dimension, _ in self.labels if dimension))


def grouping(
    scores: Scores, by: Sequence[str], intersections: Sequence[tuple[str, str]] = (), *, level: float = 0.95
) -> Grouping:
    """The clusters of the examples, and their groups on the requested dimensions.

    An intersection of dimensions `a` and `b` becomes the dimension `a & b` with groups `x & y`; pairs
    that no example bears do not appear. Means are balanced over labels where the item metric is.

    Args:
        scores: of the examples.
        by: dimensions.
        intersections: pairs of dimensions.
        level: of the intervals, which says how many clusters a label needs to count.

    Raises:
        ConfigError: no example has groups on a requested dimension.
    """
    dimensions = dict.fromkeys([*by, *(dimension for pair in intersections for dimension in pair)])
    known, gold = memberships(scores.table), None
    if scores.metric.average == "balanced":
        gold = scores.table.column("label").to_numpy(zero_copy_only=False).astype(str)
        known[LABEL] = _members(*_coded(scores.table.column("label")), np.arange(len(gold)), len(gold))
    for dimension in dimensions:
        if dimension not in known:
            raise ConfigError(f"task '{scores.task}' has no dimension '{dimension}': {nearest(dimension, known)}")
    labels: list[Label] = []
    blocks: list[sparse.csr_array] = []
    for dimension in dict.fromkeys(by):
        names, members = known[dimension]
        labels += [(dimension, name) for name in names]
        blocks.append(members)
    for one, other in dict.fromkeys(intersections):
        names, members = _intersection(known[one], known[other])
        labels += [(joined(one, other), name) for name in names]
        blocks.append(members)
    members = sparse.csr_array(sparse.hstack(blocks)) if blocks else sparse.csr_array((len(scores), 0))
    numbers = {dimension: number for number, dimension in enumerate(dict.fromkeys(name for name, _ in labels), start=1)}
    pools = np.array([0, *(numbers[dimension] for dimension, _ in labels)], dtype=np.int64)
    bounded = all(map(math.isfinite, scores.metric.range))
    design = replace(Design.of(cluster_codes(scores.table), members), pools=pools, bounded=bounded)
    if gold is not None:
        only = {column: group for column, (dimension, group) in enumerate(labels, start=1) if dimension == LABEL}
        design = design.balanced_over(gold, only, needed=needed_clusters(level))
    return Grouping((("", ""), *labels), design)


def cluster_codes(table: pa.Table) -> NDArray[np.int64]:
    """Number of each row's cluster, in the order of the clusters' names, so that row order says nothing."""
    return _coded(table.column("cluster"))[1]


def memberships(table: pa.Table) -> dict[str, tuple[list[str], sparse.csr_array]]:
    """Names of each dimension's groups, sorted, and which rows bear them. Shape: `[E, G]` each."""
    maps = table.column("groups").combine_chunks()
    maps = maps.chunk(0) if isinstance(maps, pa.ChunkedArray) else maps
    pair_rows = np.repeat(np.arange(len(maps)), np.diff(maps.offsets.to_numpy()))
    pairs = slice(int(maps.offsets[0].as_py()), int(maps.offsets[len(maps)].as_py())) if len(maps) else slice(0)
    lists = maps.items[pairs]
    lengths = np.nan_to_num(lists.value_lengths().to_numpy(zero_copy_only=False)).astype(np.int64)
    rows = np.repeat(pair_rows, lengths)
    dimensions, of_pair = _coded(maps.keys[pairs])
    names, groups = _coded(lists.flatten())
    of_row, by_dimension = np.repeat(of_pair, lengths), {}
    for code, dimension in enumerate(dimensions):
        chosen = np.flatnonzero(of_row == code)
        if len(chosen):
            own, codes = np.unique(groups[chosen], return_inverse=True)
            by_dimension[dimension] = _members([names[k] for k in own.tolist()], codes, rows[chosen], len(maps))
    return by_dimension


def _coded(texts: pa.Array | pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """The texts that occur, sorted, and the number of each row's text among them."""
    encoded = pc.dictionary_encode(texts, null_encoding="encode")
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    names = [str(name) for name in encoded.dictionary.to_pylist()]
    order = sorted(range(len(names)), key=names.__getitem__)
    places = np.empty(len(names), dtype=np.int64)
    places[order] = np.arange(len(names))
    return [names[place] for place in order], places[encoded.indices.to_numpy()]


def _members(
    names: list[str], codes: NDArray[np.int64], rows: NDArray[np.int64], n: int
) -> tuple[list[str], sparse.csr_array]:
    members = sparse.csr_array((np.ones(len(rows)), (rows, codes)), shape=(n, len(names)))
    # A group listed twice for one example is still one membership.
    members.data = np.minimum(members.data, 1.0)
    return names, members


def _intersection(
    one: tuple[list[str], sparse.csr_array], other: tuple[list[str], sparse.csr_array]
) -> tuple[list[str], sparse.csr_array]:
    (names, members), (other_names, other_members) = one, other
    labels, columns = [], []
    for index, name in enumerate(names):
        both = sparse.csr_array(other_members.multiply(members[:, [index]].toarray()))
        kept = np.flatnonzero(both.sum(axis=0))
        labels += [joined(name, other_names[column]) for column in kept]
        columns.append(both[:, kept])
    return labels, sparse.csr_array(sparse.hstack(columns))
