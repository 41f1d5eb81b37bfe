"""Two logs, of whatever harness, compared task by task."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack, cast

import pyarrow.compute as pc

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.forgetting import compare as compare_scores
from chaintune.forgetting.grouping import grouping
from chaintune.logs.asked import asked_of, wanted_of
from chaintune.logs.comparable import objections
from chaintune.logs.log import Log, Pair, ReadOptions, of_tasks
from chaintune.logs.options import HowToCompare, HowToRead
from chaintune.logs.readers import read_log
from chaintune.logs.scores_files import log_of
from chaintune.logs.tables import logs_of_rows
from chaintune.records import Comparison, ItemScores, Scores

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Logged: TypeAlias = "Path | str | Scores | ItemScores | Sequence[Scores] | pl.DataFrame | pd.DataFrame"

_LOG = logging.getLogger(__name__)


class _Options(HowToRead, HowToCompare):
    """Every option."""


def compare(before: Logged, after: Logged, **options: Unpack[_Options]) -> Comparison:
    """Forgetting between two checkpoints on one task, overall and for each group of the dimensions asked for.

    Args:
        before: what the earlier checkpoint scored: scores of a task or a list of several tasks', a frame with the
            columns `id` and `score`, or the path of a score file, of a table, or of another harness's log.
        after: the same of the later checkpoint.
        **options: how to compare: `by` (dimensions whose groups are compared; `a x b` crosses two), `also_by` (those
            that no task need have), `intersections` (pairs of dimensions), `level` 0.95, `margin` 0.02,
            `reference` (`overall` or `rest`), `adjust` (`holm` or `bh`), `resamples` 10000, `seed` 0, `on_missing`
            (`error` or `intersect`), `force`; see `logs.options.HowToCompare`. How to read: `task`, `columns`
            (`{"id": "qid"}`), `cluster`, `metric`, `filter`, `scale` (worst and best), `reader`; see `HowToRead`.

    Raises:
        ConfigError: an option, field or dimension that does not exist.
        DataError: a log cannot be read, the two are not comparable, or they hold several tasks and `task` names none.

    Sign: positive forgetting is worse; positive biased forgetting: this group loses more.
    """
    found = compare_all(before, after, **options)
    if len(found) > 1:
        names = ", ".join(comparison.task for comparison in found)
        raise DataError(f"there are {len(found)} tasks, name one as task=: {names}")
    return found[0]


def compare_all(before: Logged, after: Logged, **options: Unpack[_Options]) -> list[Comparison]:
    """One comparison for each task that both have; for the arguments see `compare`.

    Raises:
        ConfigError: an option, field or dimension that does not exist.
        DataError: a log cannot be read, or the two are not comparable.
    """
    asked = asked_of(options)
    dimensions = _Dimensions(asked.by, asked.crossed, asked.needed)
    wanted = wanted_of(asked.reading, dimensions.names)
    one, other = (
        of_tasks(_logs(given, wanted, side), wanted.tasks, side)
        for given, side in ((before, "before"), (after, "after"))
    )
    tasks = _common(one, other, asked.comparing.get("on_missing", "error"))
    dimensions.check([side[task] for side in (one, other) for task in tasks])
    how = {**asked.comparing, "metric": wanted.metric}
    found = [_compared(one[task], other[task], dimensions, how, force=asked.force) for task in tasks]
    lonely = tuple(sorted(set(one) ^ set(other)))
    return [replace(comparison, tasks_left_out=lonely) for comparison in found]


@dataclass(frozen=True)
class _Dimensions:
    """Dimensions asked for, pairs of them to cross, and which of them some task has to have."""

    by: tuple[str, ...]
    intersections: tuple[Pair, ...]
    needed: frozenset[str]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.by, *(name for pair in self.intersections for name in pair)]))

    def check(self, logs: Sequence[Log]) -> None:
        """One task need not have what another has, but a dimension that no task has is a slip."""
        for name in self.names:
            if name in self.needed and not any(name in log.dimensions for log in logs):
                others = [field for log in logs for field in log.fields if field != name]
                empty = ", that field is empty throughout" if any(name in log.fields for log in logs) else ""
                raise ConfigError(
                    f"{logs[0].where}: no example has a group on '{name}'{empty}: {nearest(name, others)}"
                )

    def check_both(self, before: Log, after: Log) -> None:
        """Groups that one side alone has are no groups to compare."""
        for name in self.names:
            borne = [log for log in (before, after) if name in log.dimensions]
            if len(borne) == 1:
                one, none = (before, after) if borne[0] is before else (after, before)
                raise DataError(
                    f"task '{before.scores.task}': only {one.where} has groups on '{name}', {none.where} has none; "
                    "give both the same groups, or compare by another dimension"
                )

    def of(self, log: Log) -> dict[str, Sequence[Any]]:
        borne = set(log.dimensions)
        pairs = [pair for pair in self.intersections if borne.issuperset(pair)]
        return {"by": [name for name in self.by if name in borne], "intersections": pairs}


def _logs(given: Logged, wanted: ReadOptions, side: str) -> Mapping[str, Log]:
    if isinstance(given, Path | str):
        return read_log(Path(given), wanted)
    if isinstance(given, Scores):
        return {given.task: log_of(given, side)}
    if isinstance(given, list | tuple):
        return _several(given, side)
    if isinstance(given, ItemScores):
        return {given.task: Log(given, side)}
    # By what they offer and not by class, so that neither library is imported for a question.
    if hasattr(given, "to_dicts"):
        rows = cast("pl.DataFrame", given).to_dicts()
    elif hasattr(given, "to_dict"):
        rows = _pandas_rows(cast("pd.DataFrame", given))
    else:
        raise DataError(f"{side}: expected a path, scores or a frame, got a {type(given).__name__}")
    numbered = ((f"{side}, row {number}", row) for number, row in enumerate(rows, 1))
    return {log.scores.task: log for log in logs_of_rows(numbered, side, wanted)}


def _pandas_rows(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows with Python's own values: pandas holds lists as arrays, and what is missing in several ways."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [
        {str(name): cell.tolist() if hasattr(cell, "tolist") else cell for name, cell in row.items()} for row in rows
    ]


def _several(given: Sequence[Scores], side: str) -> Mapping[str, Log]:
    found = {scores.task: log_of(scores, side) for scores in given if isinstance(scores, Scores)}
    if not found or len(found) < len(given):
        raise DataError(f"{side}: expected scores of one task or more, each task once, in a list of {len(given)}")
    return found


def _common(one: Mapping[str, Log], other: Mapping[str, Log], on_missing: str) -> Sequence[str]:
    tasks = [task for task in one if task in other]
    lonely = sorted(set(one) ^ set(other))
    if not tasks:
        raise DataError(f"no task is on both sides: before {', '.join(one)}; after {', '.join(other)}")
    if lonely and on_missing == "error":
        raise DataError(
            f"only one of the two has {', '.join(lonely)}; compare one task, or what both have with on_missing "
            "'intersect' (--on-missing intersect)"
        )
    if lonely:
        _LOG.warning("left out, as only one of the two has it: %s", ", ".join(lonely))
    return tasks


def _compared(before: Log, after: Log, dimensions: _Dimensions, how: Mapping[str, Any], *, force: bool) -> Comparison:
    one, other = before.scores, after.scores
    against = objections(before, after)
    if against and not force:
        raise DataError(
            f"task '{one.task}' of {before.where} and {after.where} cannot be compared: "
            f"{'; '.join(against)}; to compare them all the same, and have the result say so, use force (--force)"
        )
    shared = _shared(before, after)
    dimensions.check_both(shared, _shared(after, before))
    how = {**how, **dimensions.of(shared)}
    if isinstance(one, Scores) and isinstance(other, Scores):
        found = compare_scores(one, other, **how)
    elif isinstance(one, ItemScores) and isinstance(other, ItemScores):
        if one.metric != other.metric:
            raise DataError(f"task '{one.task}': the metric before is '{one.metric}', after '{other.metric}'; name one")
        found = compare_scores(one, other, **how)
    else:
        raise DataError(f"{before.where} and {after.where} are logs of different kinds; compare two of one kind")
    gone = _vanished(found, (before, after), dimensions) if found.n_left_out else ()
    return replace(found, forced=tuple(against), groups_left_out=tuple(gone))


def _shared(log: Log, other: Log) -> Log:
    """The part of a log whose examples the other one has too."""
    table = log.scores.table
    ids, other_ids = (one.scores.table.column("example_id").combine_chunks() for one in (log, other))
    if ids.equals(other_ids):
        return log
    return replace(log, scores=replace(log.scores, table=table.filter(pc.is_in(ids, value_set=other_ids))))


def _vanished(found: Comparison, logs: Sequence[Log], dimensions: _Dimensions) -> list[tuple[str, str]]:
    """Groups that some example bears, and none that both sides answered."""
    labels = (label for log in logs for label in grouping(log.scores, **dimensions.of(log)).labels if label[0])
    return sorted(set(labels) - {(row.dimension, row.group) for row in found.groups})
