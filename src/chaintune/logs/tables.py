"""Any table with a row an example: columns `id` and `score`, and `cluster` and `task` where there are any."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from chaintune.errors import DataError
from chaintune.files.cells import plain_text
from chaintune.files.columns import Columns, columns_of, read_columns
from chaintune.files.reading import iter_rows, suffix_of
from chaintune.files.rows import Row, kind
from chaintune.logs.fields import Fields, scores_from_columns
from chaintune.logs.log import UNNAMED, Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.records import CHOICE_METRICS, Scores
from chaintune.records.answers import NO_RESPONSE
from chaintune.records.examples import LABEL, is_no_group

_REASON = "missing_reason"
_PREDICTION = "prediction"
_ANSWERS = ("answer", _PREDICTION)
# Of so many tasks that most have one row alone, the column names something else.
_FEW_ROWS = 4


def recognises(path: Path) -> bool:
    """Whether a path is a file of rows."""
    return path.is_file() and bool(suffix_of(path))


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
    fields, task = _fields(first, options), _task_column(options)
    columns = read_columns(path, _paths(fields, task, options), first, number=fields.number)
    return _logs(columns, fields, task, str(path), options)


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
    fields, task = _fields(first, options), _task_column(options)
    return _logs(columns_of(chain([first], known), _paths(fields, task, options)), fields, task, where, options)


def _task_column(options: ReadOptions) -> str:
    """The column that names the task; empty where it is something else, as the user says."""
    taken = {column for name, column in options.columns.items() if name != "task"}
    return options.columns.get("task", "" if "task" in taken else "task")


def _paths(fields: Fields, task: str, options: ReadOptions) -> list[str]:
    return list(filter(None, [*fields.paths, *options.metrics.values(), task]))


def _logs(columns: Columns, fields: Fields, called: str, where: str, options: ReadOptions) -> list[Log]:
    """The tasks that a column tells apart; rows that name none are of one task, `items`."""
    values = columns.values[called] if called else []
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        name = UNNAMED if is_no_group(value) else plain_text(value)
        if name is None or isinstance(value, bool):
            raise DataError(f"{columns.place(row)}: {called} is {kind(value)}, expected text or a whole number")
        rows.setdefault(name, []).append(row)
    if sum(len(own) == 1 for own in rows.values()) > max(_FEW_ROWS, len(values) / 2):
        raise DataError(
            f"{where}: column '{called}' names a task for nearly every row, {len(rows):,} for {len(values):,} rows; "
            f"where it names the example, write --columns id={called}, and where it is neither, --columns task= "
            "(in Python columns={'task': ''})"
        )
    if rows.keys() <= {UNNAMED}:
        return [_log(columns, fields, UNNAMED, where, options)]
    return [_log(columns.rows(own), fields, task, where, options) for task, own in rows.items()]


def _log(columns: Columns, fields: Fields, task: str, where: str, options: ReadOptions) -> Log:
    if metric := options.metrics.get(task):
        fields = replace(fields, score=metric)
    scores, _ = scores_from_columns(columns, fields, task, where, metric=options.side and "score")
    if "answer" in fields.details and not scores.has_labels:
        scores = _with_blanks(scores)
    return Log(scores, where, fields=fields.known)


def _with_blanks(scores: Scores) -> Scores:
    """The scores of a table that says what was answered: a blank is an empty answer, unless one of them is right."""
    table = scores.table
    answers = [answer or "" for answer in table.column("answer").to_pylist()]
    rows = zip(answers, table.column("score").to_pylist(), strict=True)
    if any(score and not answer.strip() for answer, score in rows):
        answers = [None] * len(table)  # then answers are not what the column holds
    outcomes = [None if answer is None or answer.strip() else NO_RESPONSE for answer in answers]
    for name, values in (("answer", answers), ("outcome", outcomes)):
        part = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), part, pa.array(values, part.type))
    return replace(scores, table=table)


def _fields(row: Row, options: ReadOptions) -> Fields:
    cluster = options.cluster or options.called("cluster")
    needed = options.cluster is not None or "cluster" in options.columns
    known = tuple(row.columns())
    if _is_compared(known, options):
        prediction, gold = options.side or options.called("prediction"), options.called("answer")
        score, details = prediction, {LABEL: gold, "answer": prediction}
    else:
        gold = ""
        answer = next((name for name in map(options.called, _ANSWERS) if name in known), "")
        label = options.called(LABEL)
        prediction = options.called(_PREDICTION)
        unlabelled = {"answer": prediction} if prediction in known else {}
        details = {LABEL: label, "answer": answer} if answer and label in known else unlabelled
        # A metric that is no column of the table is one that labels and answers give.
        derived = LABEL in details and options.metric in CHOICE_METRICS and options.metric not in known
        score = options.side or (options.called("score") if derived or not options.metric else options.metric)
    return Fields(
        id=options.called("id"),
        score=score,
        cluster=cluster if needed or cluster in known else None,
        dimensions={dimension: options.called(dimension) for dimension in options.dimensions},
        missing=_REASON,
        details=details,
        balanced=LABEL in details,
        scale=options.scale,
        known=known,
        answer=gold,
        trial=options.columns.get("trial", ""),
    )


def _is_compared(known: Sequence[str], options: ReadOptions) -> bool:
    """Whether a prediction is compared with an answer, and not a score read: where both are named, or one is there."""
    named = "prediction" in options.columns or bool(options.side)
    alone = options.called("score") not in known and "prediction" in known
    return "answer" in options.columns and (named or alone)


READER = LogReader(recognises, read)
