"""Details of lighteval: `details_TASK_DATE.parquet`, a row an example, of today's form and of that before 0.10."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chaintune.files.reading import iter_rows, parquet_columns
from chaintune.files.rows import Row
from chaintune.logs.content import mapping
from chaintune.logs.details import CHANCE
from chaintune.logs.facts import canonical, digest
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.logs.runs import Run, log_of_run, metric_of
from chaintune.records.answers import NO_PREFERENCE
from chaintune.records.choice import is_tie
from chaintune.records.margins import LOG_MARGIN, log_margin

_DATED = re.compile(r"details_(?P<task>.+?)_(?P<date>\d{4}-\d\d-\d\dT[\d.:-]+)")
_TODAY, _BEFORE = {"doc", "metric", "model_response"}, {"example", "metrics", "predictions"}


def recognises(path: Path) -> bool:
    """Whether a path is a file of details, or a folder of such."""
    if path.is_dir():
        return any(path.rglob("details_*.parquet"))
    return path.suffix.lower() == ".parquet" and any(part <= set(parquet_columns(path)) for part in (_TODAY, _BEFORE))


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The tasks of a folder of details, or the one of a file.

    Raises:
        ConfigError: a metric or dimension that the details have not.
        DataError: a file cannot be read.
    """
    files = sorted(path.rglob("details_*.parquet")) if path.is_dir() else [path]
    tasks = {file: _task(file) for file in files}
    return [
        log_of_run(_run(file, task, options.of_task(task)), options)
        for file, task in tasks.items()
        if options.wants(task)
    ]


def _task(path: Path) -> str:
    dated = _DATED.fullmatch(path.stem)
    return dated["task"] if dated else path.stem.removeprefix("details_")


def _run(path: Path, task: str, options: ReadOptions) -> Run:
    source = list(iter_rows(path))
    # Where all examples offer the same choices these are answers, elsewhere their places are.
    same = len({canonical(mapping(row.values.get("doc")).get("choices")) for row in source}) == 1
    rows = [_example(number, row, by_text=same) for number, row in enumerate(source)]
    numbers = dict.fromkeys(name for row in rows for name, _ in _numbers(row.values["metrics"]))
    metric = metric_of(numbers, options, path)
    guessed = {} if metric.startswith("acc") else {CHANCE: None}
    made = [Row(row.where, {**row.values, **_scored(row.values["metrics"], metric), **guessed}) for row in rows]
    return Run(task, path, made, metric)


def _example(number: int, row: Row, *, by_text: bool) -> Row:
    """One example, whichever form its row has; one that bears no id is named by its row."""
    if "doc" not in row.values:
        return _of_before(number, row)
    doc, response = (mapping(row.values.get(name)) for name in ("doc", "model_response"))
    texts, golds, values = response.get("text"), doc.get("gold_index"), response.get("logprobs")
    choices = doc["choices"] if isinstance(doc.get("choices"), list) else []
    places = golds if isinstance(golds, list) else [golds]
    gold = [place for place in places if isinstance(place, int) and 0 <= place < len(choices)]
    fields: dict[str, Any] = {
        "id": str(doc.get("id") or number),
        "metrics": mapping(row.values.get("metric")),
        "digests": {"prompt": digest(doc.get("query")), "target": digest([choices[place] for place in gold])},
    }
    if isinstance(texts, list) and texts:
        fields |= {"answer": texts[0], "label": choices[gold[0]] if len(gold) == 1 else None}
    elif len(choices) > 1 and isinstance(values, list) and len(values) == len(choices) and all(map(_is_number, values)):
        best = max(range(len(values)), key=values.__getitem__)
        chosen, right = best, gold[0] if len(gold) == 1 else None
        named = [choices[place] if by_text and place is not None else place for place in (chosen, right)]
        fields |= {"answer": named[0], "label": named[1], CHANCE: 1 / len(choices)}
        fields |= {"outcome": NO_PREFERENCE if is_tie(values) else None}
        fields |= {} if right is None else {LOG_MARGIN: log_margin(values, right)}
    return Row(row.where, {"doc": doc, **fields})


def _of_before(number: int, row: Row) -> Row:
    texts = row.values.get("predictions")
    known = {"prompt": row.values.get("full_prompt") or row.values.get("example"), "target": row.values.get("gold")}
    fields = {
        "id": str(number),
        "metrics": mapping(row.values.get("metrics")),
        "answer": texts[0] if isinstance(texts, list) and texts and isinstance(texts[0], str) else None,
        "digests": {name: digest(value) for name, value in known.items() if value is not None},
    }
    return Row(row.where, {**row.values, **fields})


def _scored(metrics: Mapping[str, Any], metric: str) -> dict[str, Any]:
    score = dict(_numbers(metrics)).get(metric)
    return {"score": score, "missing_reason": None if score is not None else f"no {metric}"}


def _numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    return ((name, value) for name, value in metrics.items() if _is_number(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


READER = LogReader(recognises, read)
