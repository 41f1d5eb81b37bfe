"""Any table with a row an example: columns `id` and `score`, and `cluster` and `task` where there are any."""

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.files.columns import Columns, columns_of, read_columns
from chaintune.files.reading import READERS, iter_rows
from chaintune.files.rows import Row
from chaintune.logs.fields import Fields, scores_from_columns
from chaintune.logs.log import UNNAMED, Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.records import CHOICE_METRICS
from chaintune.records.examples import LABEL

_REASON = "missing_reason"
_ANSWERS = ("answer", "prediction")


def recognises(path: Path) -> bool:
    """Whether a path is a file of rows."""
    return path.is_file() and path.suffix.lower() in READERS


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The tasks of one file; a table that names none is of one task, `items`.

    Raises:
        DataError: the file cannot be read, or a row of it.
        ConfigError: a dimension that no row has.
    """
    if path.is_dir():
        raise DataError(f"{path}: expected one file of rows, got a folder")
    first = next(iter_rows(path), None)
    if first is None:
        raise DataError(f"{path}: holds no rows")
    fields, task = _fields(first, options), options.called("task")
    columns = read_columns(path, [*fields.paths, task], first, number=fields.number)
    return _logs(columns, fields, task, str(path))


def logs_of_rows(rows: Iterable[tuple[str, Mapping[str, Any]]], where: str, options: ReadOptions) -> list[Log]:
    """The tasks of rows, each with its place.

    Args:
        rows: as mappings.
        where: what to call them together.
        options: what to read of them.

    Raises:
        DataError: a row cannot be read.
        ConfigError: a dimension that no row has.
    """
    known = (Row(place, values) for place, values in rows)
    first = next(known, None)
    if first is None:
        raise DataError(f"{where}: holds no rows")
    fields, task = _fields(first, options), options.called("task")
    return _logs(columns_of(chain([first], known), [*fields.paths, task]), fields, task, where)


def _logs(columns: Columns, fields: Fields, called: str, where: str) -> list[Log]:
    """The tasks that a column tells apart; rows that name none are of one task, `items`."""
    tasks: dict[str, list[int]] = {}
    values = columns.values[called]
    if values.count(None) == len(values):
        return [Log(scores_from_columns(columns, fields, UNNAMED, where)[0], where, fields=fields.known)]
    for row, task in enumerate(values):
        if not isinstance(task, str | None):
            raise DataError(f"{columns.place(row)}: {called} is no text")
        tasks.setdefault(UNNAMED if task is None else task, []).append(row)
    return [
        Log(scores_from_columns(columns.rows(rows), fields, task, where)[0], where, fields=fields.known)
        for task, rows in tasks.items()
    ]


def _fields(row: Row, options: ReadOptions) -> Fields:
    cluster = options.cluster or options.called("cluster")
    needed = options.cluster is not None or "cluster" in options.columns
    known = tuple(row.columns())
    answer = next((name for name in map(options.called, _ANSWERS) if name in known), "")
    label = options.called(LABEL)
    details = {LABEL: label, "answer": answer} if answer and label in known else {}
    # A metric that is no column of the table is one that labels and answers give.
    given = details and options.metric in CHOICE_METRICS and options.metric not in known
    return Fields(
        id=options.called("id"),
        score=options.called("score") if given or not options.metric else options.metric,
        cluster=cluster if needed or cluster in known else None,
        dimensions={dimension: options.called(dimension) for dimension in options.dimensions},
        missing=_REASON,
        details=details,
        balanced=bool(details),
        scale=options.scale,
        known=known,
    )


READER = LogReader(recognises, read)
