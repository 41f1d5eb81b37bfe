"""Columns of a log, however they were read, and the scores of a task that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chaintune.logs.fields import Fields
from chaintune.logs.log import Digests
from chaintune.logs.regular import Raw
from chaintune.records import Scores
from chaintune.records.examples import NO_GROUP
from chaintune.records.items import ITEMS_SCHEMA, plain_scores


@dataclass(frozen=True, eq=False)
class Columns:
    """A row an example, checked: ids are there, scores are shares from 0 to 1.

    Attributes:
        table: columns of `ITEMS_SCHEMA`.
        digests: what is known of each row, null where nothing is.
        part: what tells apart the rows of several tasks or filters.
    """

    table: pa.Table
    digests: Mapping[str, pa.Array]
    part: pa.Array

    @property
    def parts(self) -> list[str]:
        """Names of the parts in the order in which they appear."""
        return list(pc.unique(self.part).to_pylist())

    def of_part(self, name: str) -> "Columns":
        """The rows of one part."""
        kept = pc.equal(self.part, name)
        digests = {kind: column.filter(kept) for kind, column in self.digests.items()}
        return Columns(self.table.filter(kept), digests, self.part.filter(kept))

    def scores(self, task: str, where: str, metric: str) -> tuple[Scores, Digests] | None:
        """The rows as scores of a task, and what is known of them in the same order; None when an id is there twice."""
        ids = self.table.column("example_id")
        if not len(ids) or pc.count_distinct(ids).as_py() < len(ids):
            return None
        order = pc.sort_indices(ids)
        digests = {kind: column.take(order) for kind, column in self.digests.items()}
        return plain_scores(task, self.table.take(order), metric, {"file": where}), digests


def columns_of(raw: Raw, fields: Fields, part: str, *, unnamed: str | None = None) -> Columns | None:
    """The columns as scores and what belongs to them; None where a value is doubtful.

    Args:
        raw: as they stand in the file, by path.
        fields: which of them is what.
        part: the one that tells apart tasks or filters; it need not be there.
        unnamed: the part of the rows that name none; None when each has to.
    """
    try:
        ids = _names(raw[fields.id])
        clusters = _names(raw[fields.cluster]) if fields.cluster else ids
        parts = _parts(raw.get(part), unnamed, len(ids))
        scores = _shares(raw[fields.score], fields.scale)
        borne = {dimension: _groups(raw[path]) for dimension, path in fields.dimensions.items()}
    except _Doubtful:
        return None
    table = pa.Table.from_arrays([ids, clusters, _map_of(borne, len(ids)), scores], schema=ITEMS_SCHEMA)
    known = {kind: raw[path] for kind, path in fields.digests.items() if pa.types.is_string(raw[path].type)}
    return Columns(table, known, parts)


class _Doubtful(Exception):  # noqa: N818 - no error: the file is read another way
    """A column that has to be read row by row."""


def _names(column: pa.Array) -> pa.Array:
    if column.null_count or not (pa.types.is_string(column.type) or pa.types.is_int64(column.type)):
        raise _Doubtful
    names = column.cast(pa.string())
    if pc.any(pc.equal(names, "")).as_py():
        raise _Doubtful
    return names


def _parts(column: pa.Array | None, unnamed: str | None, n: int) -> pa.Array:
    if column is None and unnamed is not None:
        return pa.repeat(unnamed, n)
    if column is None or not pa.types.is_string(column.type):
        raise _Doubtful
    return _names(column if unnamed is None else pc.fill_null(column, unnamed))


def _shares(column: pa.Array, scale: tuple[float, float]) -> pa.Array:
    kind = column.type
    if column.null_count or not (pa.types.is_string(kind) or pa.types.is_primitive(kind)) or pa.types.is_temporal(kind):
        raise _Doubtful
    try:
        numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        raise _Doubtful from None
    low, high = scale
    shares = (numbers - low) / (high - low)
    # Written so that NaN is doubtful too.
    if not ((shares >= 0) & (shares <= 1)).all():
        raise _Doubtful
    return pa.array(shares)


def _groups(column: pa.Array) -> tuple[np.ndarray[Any, Any], pa.Array]:
    """How many groups each row bears, and all of them one after the other."""
    rows = np.arange(len(column))
    if pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
        rows, column = pc.list_parent_indices(column).to_numpy(), pc.list_flatten(column)
    elif pa.types.is_int64(column.type) or pa.types.is_boolean(column.type):
        column = column.cast(pa.string())
    elif not pa.types.is_string(column.type):
        raise _Doubtful
    kept = pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, value_set=pa.array(NO_GROUP))))
    counts = np.bincount(rows[kept.to_numpy(zero_copy_only=False)], minlength=0)
    return counts, column.filter(kept)


def _map_of(borne: Mapping[str, tuple[np.ndarray[Any, Any], pa.Array]], n: int) -> pa.MapArray:
    """Groups of every row by dimension, the dimensions of a row in the order asked for."""
    counts = np.zeros((n, len(borne)), dtype=np.int64)
    for column, (found, _) in enumerate(borne.values()):
        counts[: len(found), column] = found
    rows, dimensions = np.nonzero(counts)
    lengths = counts[rows, dimensions]
    flat = pa.concat_arrays([pa.array([], pa.string()), *(names for _, names in borne.values())])
    # Names stand dimension by dimension, and have to stand row by row.
    row_of = np.concatenate([[], *(np.repeat(np.arange(n), counts[:, k]) for k in range(len(borne)))])
    items = pa.ListArray.from_arrays(_offsets(lengths), flat.take(pa.array(np.argsort(row_of, kind="stable"))))
    keys = pa.array(np.array(list(borne) or [""], dtype=object)[dimensions], pa.string())
    return pa.MapArray.from_arrays(_offsets((counts > 0).sum(axis=1)), keys, items)


def _offsets(lengths: Sequence[int] | np.ndarray[Any, Any]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32))
