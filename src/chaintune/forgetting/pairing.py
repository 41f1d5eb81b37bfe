"""Alignment of two tables of scores on their common examples."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.forgetting.grouping import memberships
from chaintune.records import SCORES_SCHEMA, Scores
from chaintune.stats.clusters import Floats

OnMissing = Literal["error", "intersect", "drop"]

_NAMED = 3


@dataclass(frozen=True, eq=False)
class Pair:
    """The same examples under two checkpoints, row by row.

    Attributes:
        n_left_out: examples that do not have a score under both.
    """

    before: Scores
    after: Scores
    n_left_out: int

    @property
    def identical(self) -> bool:
        """Whether both recorded the same of every example, bit for bit."""
        details = self.before.details
        same = all(self.before.table.column(name).equals(self.after.table.column(name)) for name in details)
        return bool(details) and same


def pair(before: Scores, after: Scores, *, on_missing: OnMissing = "error") -> Pair:
    """Both scores on the examples that have one under both, sorted by id.

    Args:
        before: scores of the earlier checkpoint.
        after: scores of the later checkpoint.
        on_missing: as `align` takes it; examples without a score are not paired in any case.

    Raises:
        ConfigError, DataError: as `align` does.
    """
    both = align(before, after, on_missing=on_missing)
    valid = pc.and_(*(side.table.column("score").is_valid() for side in (both.before, both.after)))
    missing = len(valid) - pc.sum(valid).as_py() if len(valid) else 0
    return Pair(both.before.at(valid), both.after.at(valid), both.n_left_out + missing) if missing else both


def align(before: Scores, after: Scores, *, on_missing: OnMissing = "error") -> Pair:
    """Both tables of scores on their common examples, sorted by id.

    Args:
        before: scores of the earlier checkpoint.
        after: scores of the later checkpoint.
        on_missing: `error` refuses examples that only one of them has; `intersect` and `drop` pair the others.

    Raises:
        ConfigError: `on_missing` is none of these.
        DataError: different tasks, examples missing, no example in common, or examples that differ in
            gold answer, cluster or groups.
    """
    if on_missing not in get_args(OnMissing):
        raise ConfigError(f"on_missing '{on_missing}': {nearest(on_missing, get_args(OnMissing))}")
    if before.task != after.task:
        raise DataError(f"scores before are of task '{before.task}', after of '{after.task}': compare one task")
    one, other = (
        scores.table if scores.is_sorted else scores.table.sort_by("example_id") for scores in (before, after)
    )
    n_left_out = 0
    if not one.column("example_id").equals(other.column("example_id")):
        one, other, n_left_out = _common(one, other, before.task, on_missing)
    _check_same(one, other, before.task)
    return Pair(replace(before, table=one), replace(after, table=other), n_left_out)


def every_example(before: Scores, after: Scores) -> tuple[Scores, Floats, Floats]:
    """All examples of either side as a table, and both sides' scores of each, NaN where there is none.

    Args:
        before: scores of the earlier checkpoint.
        after: scores of the later one; what both say of an example beside its score is the same.

    Shape: scores `[E]` each.
    """
    both = [side.table.select(SCORES_SCHEMA.names) for side in (before, after)]
    ids = both[0].column("example_id").combine_chunks()
    only_after = pc.invert(pc.is_in(both[1].column("example_id"), value_set=ids))
    table = pa.concat_tables([both[0], both[1].filter(only_after)]).sort_by("example_id")
    names = table.column("example_id").combine_chunks()
    scores = []
    for side in both:
        places = pc.index_in(names, value_set=side.column("example_id").combine_chunks())
        column = side.column("score").take(places)
        scores.append(column.to_numpy(zero_copy_only=False).astype(np.float64))
    return replace(before, table=table), scores[0], scores[1]


def _common(one: pa.Table, other: pa.Table, task: str, on_missing: OnMissing) -> tuple[pa.Table, pa.Table, int]:
    ids, other_ids = one.column("example_id").combine_chunks(), other.column("example_id").combine_chunks()
    kept, other_kept = pc.is_in(ids, value_set=other_ids), pc.is_in(other_ids, value_set=ids)
    gone, extra = ids.filter(pc.invert(kept)), other_ids.filter(pc.invert(other_kept))
    if on_missing == "error":
        parts = [
            f"{len(part)} only {when} ({_some(part)})"
            for part, when in ((gone, "before"), (extra, "after"))
            if len(part)
        ]
        fractions = any(pc.all(pc.ends_with(part, ".0")).as_py() for part in (ids, other_ids))
        written = (
            "; ids of one side are whole numbers written as fractions" if fractions and len(gone) == len(ids) else ""
        )
        raise DataError(
            f"scores of task '{task}' are not of the same examples: {', '.join(parts)}{written}; "
            "score both on the same examples, or compare with on_missing 'intersect' (--on-missing intersect), which "
            "counts the others at their worst"
        )
    if len(gone) == len(ids):
        raise DataError(
            f"scores of task '{task}' have no example in common: before {_some(ids)}, after {_some(other_ids)}"
        )
    return one.filter(kept), other.filter(other_kept), len(gone) + len(extra)


def _check_same(one: pa.Table, other: pa.Table, task: str) -> None:
    for column in ("gold", "label", "cluster"):
        if column in one.column_names and not one.column(column).equals(other.column(column)):
            differs = pc.fill_null(pc.not_equal(one.column(column), other.column(column)), False)
            if not pc.any(differs).as_py():
                continue  # only one of the two knows the labels
            ids = one.column("example_id").filter(differs).combine_chunks()
            many = number_of(len(ids), "example")
            raise DataError(f"task '{task}': {column} differs between before and after in {many} ({_some(ids)})")
    if one.column("groups").equals(other.column("groups")):
        return
    own, others = memberships(one), memberships(other)
    for dimension in sorted({*own, *others}):
        if dimension not in own or dimension not in others:
            raise DataError(f"task '{task}': only one of before and after has groups on dimension '{dimension}'")
        (names, members), (other_names, other_members) = own[dimension], others[dimension]
        if names != other_names:
            strange = sorted(set(names) ^ set(other_names))[:_NAMED]
            raise DataError(
                f"task '{task}': groups of '{dimension}' differ between before and after: {', '.join(strange)}"
            )
        rows = np.unique((members - other_members).nonzero()[0])
        if len(rows):
            ids = one.column("example_id").take(pa.array(rows)).combine_chunks()
            raise DataError(
                f"task '{task}': groups of '{dimension}' differ in {number_of(len(ids), 'example')} ({_some(ids)})"
            )


def _some(ids: pa.Array) -> str:
    named = ", ".join(f"'{name}'" for name in ids[:_NAMED].to_pylist())
    return named + (", ..." if len(ids) > _NAMED else "")
