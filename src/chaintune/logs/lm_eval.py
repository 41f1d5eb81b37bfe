"""Sample logs of lm-evaluation-harness, as `--log_samples` writes them: JSONL, a line an example and filter.

What tells whether two logs may be compared is in the lines (hashes of document, prompt and target) and in the
`results_DATE.json` beside them (task version, few-shot examples), which may be missing.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.lines import Row, parsed, rows_of
from chaintune.logs.columns import columns_of
from chaintune.logs.fields import Collected, Fields, names_in
from chaintune.logs.log import Digests, Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.logs.regular import raw_columns
from chaintune.records import Scores

_DATED = re.compile(r"samples_(?P<task>.+?)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)")
_DIGESTS = {"document": "doc_hash", "prompt": "prompt_hash", "target": "target_hash"}
_PREFERRED = "acc"
_RESULTS = "results_*.json"
_FILTER, _PLAIN_FILTER = "filter", "none"


def recognises(path: Path) -> bool:
    """Whether a path holds samples of lm-eval, or its results alone, in which case `read` says what is missing."""
    if path.is_dir():
        return any(path.rglob("samples_*.jsonl")) or any(path.rglob(_RESULTS))
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        return path.match(_RESULTS)
    first = next(rows_of(path), None)
    return first is not None and {"doc_id", "filtered_resps"} <= set(first[1])


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The tasks of a folder of sample logs, or the one of a file.

    Raises:
        ConfigError: a metric, filter or dimension that the log has not.
        DataError: a file cannot be read, or a row of it.
    """
    files = sorted(path.rglob("samples_*.jsonl")) if path.is_dir() else [path]
    if not files or path.match(_RESULTS):
        raise DataError(
            f"{path}: results of lm-eval without its samples; run it with --log_samples and compare samples_*.jsonl"
        )
    named = {task_of(file) for file in files}
    for task in options.tasks:
        if task not in named:
            raise ConfigError(f"{path}: there is no task '{task}': {nearest(task, named)}")
    return [_read_file(file, options) for file in files if options.wants(task_of(file))]


def task_of(path: Path) -> str:
    """The task's name as the file's name tells it.

    Example:
        >>> task_of(Path("samples_arc_easy_2026-01-02T03-04-05.678.jsonl"))
        'arc_easy'
    """
    dated = _DATED.fullmatch(path.stem)
    return dated["task"] if dated else path.stem.removeprefix("samples_")


def _read_file(path: Path, options: ReadOptions) -> Log:
    first = next(rows_of(path), None)
    if first is None:
        raise DataError(f"{path}: holds no rows")
    fields = _fields(first[1], options, first[0])
    task = task_of(path)
    scores, digests = _regular(path, first[1], options, fields) or _row_by_row(path, options, fields)
    return Log(scores, str(path), _facts(path, task), digests, fields=tuple(names_in(first[1])))


def _regular(path: Path, first: Row, options: ReadOptions, fields: Fields) -> tuple[Scores, Digests] | None:
    raw = raw_columns(path, first, fields.paths, number=fields.score, optional=_FILTER)
    found = columns_of(raw, fields, _FILTER) if raw else None
    if found is None:
        return None
    chosen = found.of_part(_filter(found.parts, options.filter, path))
    return chosen.scores(task_of(path), str(path), fields.score)


def _row_by_row(path: Path, options: ReadOptions, fields: Fields) -> tuple[Scores, Digests]:
    filters: dict[str, Collected] = {}
    for place, row in rows_of(path):
        filters.setdefault(str(row.get(_FILTER, _PLAIN_FILTER)), Collected()).add(row, place, fields)
    chosen = filters[_filter(list(filters), options.filter, path)]
    return chosen.item_scores(task_of(path), str(path), fields.score)


def _filter(filters: Sequence[str], asked: str | None, path: Path) -> str:
    if asked is not None and asked not in filters:
        raise ConfigError(f"{path}: there is no filter '{asked}': {nearest(asked, filters)}")
    name = asked or (_PLAIN_FILTER if _PLAIN_FILTER in filters else filters[0])
    if asked is None and name != _PLAIN_FILTER and len(filters) > 1:
        raise ConfigError(f"{path}: answers are filtered in {len(filters)} ways, name one: {', '.join(filters)}")
    return name


def _fields(row: Row, options: ReadOptions, place: str) -> Fields:
    return Fields(
        id=options.called("id") if "id" in options.columns else "doc_id",
        score=options.metric or options.columns.get("score") or _metric(row, place),
        cluster=options.cluster or options.columns.get("cluster"),
        dimensions={dimension: options.called(dimension) for dimension in options.dimensions},
        digests=_DIGESTS,
        scale=options.scale,
    )


def _metric(row: Row, place: str) -> str:
    listed = row.get("metrics")
    named = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    numeric = [name for name in named if isinstance(row.get(name), int | float)]
    if _PREFERRED in numeric:
        return _PREFERRED
    if len(numeric) != 1:
        told = f"several: {', '.join(numeric)}" if numeric else "no number among the metrics of the first row"
        raise ConfigError(f"{place}: name the metric, there is {told}")
    return numeric[0]


def _facts(path: Path, task: str) -> dict[str, str]:
    """Task version and few-shot count from the results beside a sample log, as far as they are told."""
    dated = _DATED.fullmatch(path.stem)
    results = path.with_name(f"results_{dated['date']}.json") if dated else None
    if results is None or not results.is_file():
        return {}
    try:
        told = parsed(results.read_bytes(), str(results))
    except OSError as error:
        raise DataError(f"{results}: cannot be read ({error.strerror})") from error
    if not isinstance(told, dict):
        raise DataError(f"{results}: expected a mapping, got a {type(told).__name__}")
    found = {"task version": _said(told, "versions", task), "few-shot examples": _said(told, "n-shot", task)}
    return {name: text for name, text in found.items() if text}


def _said(told: Mapping[str, Any], part: str, task: str) -> str:
    inner = told.get(part)
    # A task's name may hold a dot, so it is no path.
    known = inner.get(task) if isinstance(inner, Mapping) else None
    return str(known) if isinstance(known, str | int | float) else ""


READER = LogReader(recognises, read, has_filters=True)
