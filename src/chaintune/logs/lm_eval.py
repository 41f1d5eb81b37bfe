"""Sample logs of lm-evaluation-harness, as `--log_samples` writes them: JSONL, a line an example and filter.

What two logs must have in common to be compared is in the lines (hashes of document, prompt and target) and in the
`results_DATE.json` beside them (task version, few-shot examples), which may be missing.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.columns import read_columns
from chaintune.files.reading import iter_rows, parse_json
from chaintune.files.rows import Row
from chaintune.logs.fields import Fields, scores_from_columns
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader

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
    first = next(iter_rows(path), None)
    return first is not None and {"doc_id", "filtered_resps"} <= set(first.values)


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
    """The task's name, from the file's name.

    Example:
        >>> task_of(Path("samples_arc_easy_2026-01-02T03-04-05.678.jsonl"))
        'arc_easy'
    """
    dated = _DATED.fullmatch(path.stem)
    return dated["task"] if dated else path.stem.removeprefix("samples_")


def _read_file(path: Path, options: ReadOptions) -> Log:
    first = next(iter_rows(path), None)
    if first is None:
        raise DataError(f"{path}: holds no rows")
    fields, task = _fields(first, options), task_of(path)
    columns = read_columns(path, [*fields.paths, _FILTER], first, number=fields.number)
    filters = [_PLAIN_FILTER if name is None else str(name) for name in columns.values[_FILTER]]
    chosen = _filter(list(dict.fromkeys(filters)), options.filter, path)
    if len(set(filters)) > 1:
        columns = columns.rows([row for row, name in enumerate(filters) if name == chosen])
    scores, digests = scores_from_columns(columns, fields, task, str(path))
    return Log(scores, str(path), _facts(path, task), digests, fields=fields.known)


def _filter(filters: Sequence[str], chosen: str | None, path: Path) -> str:
    if chosen is not None and chosen not in filters:
        raise ConfigError(f"{path}: there is no filter '{chosen}': {nearest(chosen, filters)}")
    name = chosen or (_PLAIN_FILTER if _PLAIN_FILTER in filters else filters[0])
    if chosen is None and name != _PLAIN_FILTER and len(filters) > 1:
        raise ConfigError(f"{path}: answers are filtered in {len(filters)} ways, name one: {', '.join(filters)}")
    return name


def _fields(row: Row, options: ReadOptions) -> Fields:
    return Fields(
        id=options.called("id") if "id" in options.columns else "doc_id",
        score=options.metric or options.columns.get("score") or _metric(row),
        cluster=options.cluster or options.columns.get("cluster"),
        dimensions={dimension: options.called(dimension) for dimension in options.dimensions},
        digests=_DIGESTS,
        scale=options.scale,
        known=tuple(row.columns()),
    )


def _metric(row: Row) -> str:
    listed = row.get("metrics")
    named = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    numeric = [name for name in named if isinstance(row.get(name), int | float)]
    if _PREFERRED in numeric:
        return _PREFERRED
    if len(numeric) != 1:
        listed = f"several: {', '.join(numeric)}" if numeric else "no number among the metrics of the first row"
        raise ConfigError(f"{row.where}: name the metric, there is {listed}")
    return numeric[0]


def _facts(path: Path, task: str) -> dict[str, str]:
    """Task version and few-shot count from the results beside a sample log, as far as they are known."""
    dated = _DATED.fullmatch(path.stem)
    results = path.with_name(f"results_{dated['date']}.json") if dated else None
    if results is None or not results.is_file():
        return {}
    try:
        content = parse_json(results.read_bytes(), str(results))
    except OSError as error:
        raise DataError(f"{results}: cannot be read ({error.strerror})") from error
    if not isinstance(content, dict):
        raise DataError(f"{results}: expected a mapping, got a {type(content).__name__}")
    facts = {"task version": _entry(content, "versions", task), "few-shot examples": _entry(content, "n-shot", task)}
    return {name: text for name, text in facts.items() if text}


def _entry(content: Mapping[str, Any], part: str, task: str) -> str:
    inner = content.get(part)
    # A task's name may hold a dot, so it is no path.
    known = inner.get(task) if isinstance(inner, Mapping) else None
    return str(known) if isinstance(known, str | int | float) else ""


READER = LogReader(recognises, read, has_filters=True)
