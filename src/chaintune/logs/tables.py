"""Any table with a row an example: columns `id` and `score`, and `cluster` and `task` where there are any."""

from collections.abc import Iterable
from pathlib import Path

from chaintune.errors import DataError
from chaintune.files.lines import SUFFIXES, Row, rows_of
from chaintune.logs.columns import columns_of
from chaintune.logs.fields import Collected, Fields, has, names_in, value
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.logs.regular import raw_columns

UNNAMED = "items"


def recognises(path: Path) -> bool:
    """Whether a path is a file of rows."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The tasks of one file; a table that names none is of one task, `items`.

    Raises:
        DataError: the file cannot be read, or a row of it.
        ConfigError: a dimension that no row has.
    """
    if path.is_dir():
        raise DataError(f"{path}: expected one file of rows, got a folder")
    named = [options.called(name) for name in ("id", "score", "cluster", "task", *options.dimensions)]
    columns = [*named, *(name.partition(".")[0] for name in named), *filter(None, [options.cluster, options.metric])]
    first = next(rows_of(path, columns), None)
    quick = _regular(path, first[1], options) if first else None
    return quick or logs_of_rows(rows_of(path, columns), str(path), options)


def _regular(path: Path, first: Row, options: ReadOptions) -> list[Log] | None:
    """The tasks of a regular file; None where it is not, or holds what has to be told row by row."""
    fields, task = _fields(first, options), options.called("task")
    raw = raw_columns(path, first, fields.paths, number=fields.score, optional=task)
    found = columns_of(raw, fields, task, unnamed=UNNAMED) if raw else None
    if found is None:
        return None
    parts = {name: found.of_part(name) for name in found.parts}
    names, where = tuple(names_in(first)), str(path)
    made = {name: part.scores(name, where, fields.score) for name, part in parts.items()}
    return [Log(kept[0], where, fields=names) for kept in made.values() if kept] if all(made.values()) else None


def logs_of_rows(rows: Iterable[tuple[str, Row]], where: str, options: ReadOptions) -> list[Log]:
    """The tasks of rows, each with its place.

    Args:
        rows: as mappings.
        where: what to call them together.
        options: what to read of them.

    Raises:
        DataError: a row cannot be read.
        ConfigError: a dimension that no row has.
    """
    tasks: dict[str, Collected] = {}
    fields: Fields | None = None
    called = options.called("task")
    for place, row in rows:
        fields = fields or _fields(row, options)
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


def _fields(row: Row, options: ReadOptions) -> Fields:
    cluster = options.cluster or options.called("cluster")
    needed = options.cluster is not None or "cluster" in options.columns
    return Fields(
        id=options.called("id"),
        score=options.metric or options.called("score"),
        cluster=cluster if needed or has(row, cluster) else None,
        dimensions={dimension: options.called(dimension) for dimension in options.dimensions},
        scale=options.scale,
    )


READER = LogReader(recognises, read)
