"""Any table with a row an example: columns `id` and `score`, and `cluster` and `task` where there are any."""

from collections.abc import Iterable
from pathlib import Path

from chaintune.errors import DataError
from chaintune.files.lines import Row, rows_of
from chaintune.logs.columns import columns_of
from chaintune.logs.fields import Collected, Fields, has, names_in, value
from chaintune.logs.log import Log, Wanted
from chaintune.logs.regular import raw_columns

UNNAMED = "items"


def read(path: Path, wanted: Wanted) -> list[Log]:
    """The tasks of one file; a table that names none is of one task, `items`.

    Raises:
        DataError: the file cannot be read, or a row of it.
        ConfigError: a dimension that no row has.
    """
    if path.is_dir():
        raise DataError(f"{path}: expected one file of rows, got a folder")
    named = [wanted.called(name) for name in ("id", "score", "cluster", "task", *wanted.dimensions)]
    columns = [*named, *(name.partition(".")[0] for name in named), *filter(None, [wanted.cluster, wanted.metric])]
    first = next(rows_of(path, columns), None)
    quick = _regular(path, first[1], wanted) if first else None
    return quick or logs_of(rows_of(path, columns), str(path), wanted)


def _regular(path: Path, first: Row, wanted: Wanted) -> list[Log] | None:
    """The tasks of a regular file; None where it is not, or holds what has to be told row by row."""
    fields, task = _fields(first, wanted), wanted.called("task")
    raw = raw_columns(path, first, fields.paths, number=fields.score, optional=task)
    found = columns_of(raw, fields, task, unnamed=UNNAMED) if raw else None
    if found is None:
        return None
    parts = {name: found.of_part(name) for name in found.parts}
    names, where = tuple(names_in(first)), str(path)
    made = {name: part.scores(name, where, fields.score) for name, part in parts.items()}
    return [Log(kept[0], where, fields=names) for kept in made.values() if kept] if all(made.values()) else None


def logs_of(rows: Iterable[tuple[str, Row]], where: str, wanted: Wanted) -> list[Log]:
    """The tasks of rows, each with its place.

    Args:
        rows: as mappings.
        where: what to call them together.
        wanted: what to read of them.

    Raises:
        DataError: a row cannot be read.
        ConfigError: a dimension that no row has.
    """
    tasks: dict[str, Collected] = {}
    fields: Fields | None = None
    called = wanted.called("task")
    for place, row in rows:
        fields = fields or _fields(row, wanted)
        task = value(row, called) if has(row, called) else None
        task = UNNAMED if task is None else task
        if not isinstance(task, str):
            raise DataError(f"{place}: {called} is no text")
        if task not in tasks:
            tasks[task] = Collected()
        tasks[task].add(row, place, fields)
    if fields is None:
        raise DataError(f"{where}: holds no rows")
    metric = fields.score
    return [Log(part.item_scores(task, where, metric)[0], where, fields=part.names) for task, part in tasks.items()]


def _fields(row: Row, wanted: Wanted) -> Fields:
    cluster = wanted.cluster or wanted.called("cluster")
    needed = wanted.cluster is not None or "cluster" in wanted.columns
    return Fields(
        id=wanted.called("id"),
        score=wanted.metric or wanted.called("score"),
        cluster=cluster if needed or has(row, cluster) else None,
        dimensions={dimension: wanted.called(dimension) for dimension in wanted.dimensions},
        scale=wanted.scale,
    )
