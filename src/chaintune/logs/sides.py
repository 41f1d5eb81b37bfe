"""Both sides of a comparison, read: paths, scores or frames, task by task."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow.compute as pc

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.frames import KINDS, frame_rows
from chaintune.files.reading import readable, user_path
from chaintune.forgetting.pairing import Pair, pair
from chaintune.logs.log import UNNAMED, Log, of_tasks
from chaintune.logs.options import CompareOptions, ReadOptions
from chaintune.logs.readers import READERS, read_log, reader_of
from chaintune.logs.scores_files import log_of
from chaintune.logs.tables import logs_of_rows
from chaintune.records import Scores
from chaintune.records.series import series_pairs

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import polars as pl

Logged: TypeAlias = (
    "Path | str | Scores | Sequence[Scores] | Sequence[Mapping[str, Any]] | pl.DataFrame | pl.LazyFrame | "
    "pd.DataFrame | pd.Series[Any] | datasets.Dataset"
)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sides:
    """The logs before and after, by task.

    Attributes:
        tasks: those that both have, in the order of the side before.
        left_out: those that only one of them has.
        identical: both were read from the very same place.
        names: of the two checkpoints, where there are more.
    """

    before: Mapping[str, Log]
    after: Mapping[str, Log]
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]
    identical: bool = False
    names: tuple[str, str] = ("", "")

    def paired(self, task: str) -> Pair:
        """The examples that both sides have of a task, in one order."""
        return pair(self.before[task].scores, self.after[task].scores, on_missing="intersect")


def read_sides(before: Logged, after: Logged, options: CompareOptions) -> Sides:
    """Both sides of a comparison.

    Raises:
        ConfigError: a reader, field or task that does not exist.
        DataError: a log cannot be read, or the two have no task in common.
    """
    one, other = (_read(logged, options, side) for logged, side in ((before, "before"), (after, "after")))
    return _sides(one, other, options, identical=_is_one(before, after))


def read_series(checkpoints: Mapping[str, Logged], options: CompareOptions, *, against_first: bool) -> list[Sides]:
    """Both sides of each comparison of a series, each checkpoint read once; rivals are held against the first one only.

    Raises:
        ConfigError: a reader, field or task that does not exist.
        DataError: a log cannot be read, or two have no task in common.
    """
    read = {name: _read(logged, options, name) for name, logged in checkpoints.items()}
    return [
        replace(
            _sides(read[start], read[end], options, identical=_is_one(checkpoints[start], checkpoints[end])),
            names=(start, end),
        )
        for start, end in series_pairs(list(checkpoints), against_first=against_first)
    ]


def _read(logged: Logged, options: CompareOptions, side: str) -> Mapping[str, Log]:
    reading = options.reading
    return _with_further(of_tasks(_logs(logged, reading, side), reading.tasks, side), logged, reading, side)


def _sides(one: Mapping[str, Log], other: Mapping[str, Log], options: CompareOptions, *, identical: bool) -> Sides:
    """Two checkpoints that were read, on the tasks that both have."""
    one, other = _named_as(one, other), _named_as(other, one)
    left_out = tuple(sorted(set(one) ^ set(other)))
    tasks = tuple(task for task in one if task in other)
    if not tasks:
        raise DataError(f"no task is on both sides: before {', '.join(one)}; after {', '.join(other)}")
    if left_out and options.on_missing == "error":
        raise DataError(
            f"only one of the two has {', '.join(left_out)}; compare one task, or what both have with on_missing "
            "'intersect' (--on-missing intersect)"
        )
    if left_out:
        _LOG.warning("left out, as only one of the two has it: %s", ", ".join(left_out))
    return Sides(one, other, tasks, left_out, identical)


def _is_one(before: Logged, after: Logged) -> bool:
    """Whether both sides are the very same file, part of a file, folder or object."""
    if isinstance(before, Path | str) and isinstance(after, Path | str):
        return user_path(before).resolve() == user_path(after).resolve()
    return before is after


def _named_as(logs: Mapping[str, Log], others: Mapping[str, Log]) -> Mapping[str, Log]:
    """The logs; the only one, whose task has no name, as that of the other side where both tell what was asked."""
    if list(logs) != [UNNAMED] or len(others) != 1:
        return logs
    (log,), ((task, other),) = logs.values(), others.items()
    if not log.digests.keys() & other.digests.keys():
        return logs
    return {task: log.named(task)}


def shared(log: Log, other: Log) -> Log:
    """The part of a log whose examples the other one has too."""
    table = log.scores.table
    ids, other_ids = (one.scores.table.column("example_id").combine_chunks() for one in (log, other))
    if ids.equals(other_ids):
        return log
    return replace(log, scores=replace(log.scores, table=table.filter(pc.is_in(ids, value_set=other_ids))))


def _with_further(logs: Mapping[str, Log], logged: Logged, reading: ReadOptions, side: str) -> Mapping[str, Log]:
    """The logs with their scores by each further metric: made of what they hold, else read again."""
    known = {}
    for task, log in logs.items():
        further = {}
        for name in reading.further_of(task):
            if name in log.scores.metrics:
                further[name] = log.scores.by(name)
                continue
            again = replace(reading, metric=name, metrics={}, tasks=(task,) if len(logs) > 1 else reading.tasks)
            scores = _logs(logged, again, side)[task].scores
            if scores.metric == log.scores.metric:
                raise ConfigError(f"{log.where}: there is no metric '{name}': {nearest(name, log.scores.metrics)}")
            further[name] = replace(scores, metric=replace(scores.metric, name=name))
        known[task] = replace(log, further=further)
    return known


def _logs(logged: Logged, reading: ReadOptions, side: str) -> Mapping[str, Log]:
    if isinstance(logged, Path | str):
        path, part = _file_and_part(user_path(logged))
        with readable(path):  # its name may be too long, or a folder that may not be looked into
            return read_log(path, _of_part(path, part, reading) if part else reading)
    if isinstance(logged, Scores):
        return {logged.task: log_of(logged, side)}
    if isinstance(logged, list | tuple) and not (logged and isinstance(logged[0], Mapping)):
        return _several(logged, side)
    rows = frame_rows(logged, side)
    if rows is None:
        raise DataError(f"{side}: expected a path, scores, {KINDS}, got {type(logged).__name__}")
    return {log.scores.task: log for log in logs_of_rows(((row.where, row.values) for row in rows), side, reading)}


def _file_and_part(path: Path) -> tuple[Path, str]:
    """`FILE#PART` in two, unless a file has that very name."""
    file, sign, part = str(path).rpartition("#")
    whole = os.path.exists(path) or not os.path.isfile(file)  # noqa: PTH110, PTH113 - those of Path raise
    return (path, "") if whole or not sign else (Path(file), part)


def _of_part(path: Path, part: str, reading: ReadOptions) -> ReadOptions:
    """The options of reading a part of a file: the answers of a filter or provider, else a column of a table."""
    reader = reading.reader or reader_of(path)
    if READERS.get(reader).has_filters:
        return replace(reading, filter=part)
    if reading.reader not in (None, "table"):
        raise ConfigError(f"{path}#{part}: logs of {reader} have no parts that are sides, as tables have columns")
    return replace(reading, side=part, reader="table")


def _several(logged: Sequence[Any], side: str) -> Mapping[str, Log]:
    logs = {scores.task: log_of(scores, side) for scores in logged if isinstance(scores, Scores)}
    if not logs or len(logs) < len(logged):
        raise DataError(f"{side}: expected scores of one task or more, each task once, in a list of {len(logged)}")
    return logs
