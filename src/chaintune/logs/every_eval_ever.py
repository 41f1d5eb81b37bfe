"""Evaluations in the form of Every Eval Ever: `UUID_samples.jsonl`, a line an example, and `UUID.json` beside it.

The second says what the scores mean: metric, range, direction. Where a sample comes several times in one evaluation,
its scores are averaged.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.files.reading import iter_rows, suffix_of
from chaintune.files.rows import Row
from chaintune.logs.content import beginning, mapping, mappings, read_json
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.logs.runs import Run, log_of_run, metric_of

_MARKS = (b'"schema_version"', b'"evaluation_id"')
_SAMPLES = "_samples"
_SCORE = "score"


def recognises(path: Path) -> bool:
    """Whether a path holds samples of an evaluation or its averages, or is a folder of such."""
    if path.is_dir():
        return any(map(recognises, path.rglob("*.jsonl"))) or any(map(recognises, path.rglob("*.json")))
    return suffix_of(path) in (".jsonl", ".json") and all(mark in beginning(path) for mark in _MARKS)


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The evaluations of a folder, or those of a file.

    Raises:
        ConfigError: a metric or dimension that the evaluation has not.
        DataError: a file cannot be read, or the averages stand alone.
    """
    files = sorted(filter(recognises, path.rglob("*.jsonl"))) if path.is_dir() else [_samples(path)]
    if not files:
        raise DataError(f"{path}: averages of Every Eval Ever without their samples; compare the files *_samples.jsonl")
    return [log for file in files for log in _read_file(file, options)]


def _samples(path: Path) -> Path:
    """The samples that averages belong to."""
    if suffix_of(path) == ".jsonl":
        return path
    samples = path.with_name(f"{path.stem}{_SAMPLES}.jsonl")
    if not samples.is_file():
        raise DataError(f"{path}: averages of Every Eval Ever, and {samples.name} with the samples is not beside it")
    return samples


def _read_file(path: Path, options: ReadOptions) -> list[Log]:
    tasks: dict[str, list[Row]] = {}
    for row in iter_rows(path):
        tasks.setdefault(str(row.values.get("evaluation_name")), []).append(row)
    results = _results(path)
    chosen = {task: rows for task, rows in tasks.items() if options.wants(task)}
    return [
        log_of_run(_run(path, task, rows, results, options.of_task(task)), options) for task, rows in chosen.items()
    ]


def _results(path: Path) -> dict[str, Mapping[str, Any]]:
    """What is said of each metric, by the id of its result and by the evaluation's name."""
    averages = path.with_name(f"{path.stem.removesuffix(_SAMPLES)}.json")
    known = mapping(read_json(averages) if averages.is_file() else {})
    by_name: dict[str, Mapping[str, Any]] = {}
    for result in mappings(known.get("evaluation_results")):
        config = mapping(result.get("metric_config"))
        by_name.setdefault(str(result.get("evaluation_name")), config)
        by_name[str(result.get("evaluation_result_id"))] = config
    return by_name


def _run(path: Path, task: str, rows: list[Row], results: Mapping[str, Mapping[str, Any]], options: ReadOptions) -> Run:
    by_metric: dict[str, list[Row]] = {}
    configs: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        config = results.get(str(row.values.get("evaluation_result_id"))) or results.get(task) or {}
        name = str(config.get("metric_name") or config.get("metric_id") or _metric_id(row))
        by_metric.setdefault(name, []).append(row)
        configs[name] = config
    metric = metric_of(by_metric, options, path)
    config, trials = configs[metric], Counter[str]()
    unknown = -1 if config.get("has_unknown_level") is True else None
    made = [_example(row, trials, unknown) for row in by_metric[metric]]
    return Run(task, path, made, metric, _range(config), less_is_better=config.get("lower_is_better") is True)


def _metric_id(row: Row) -> str:
    return str(row.values.get("evaluation_result_id") or _SCORE)


def _example(row: Row, trials: Counter[str], unknown: int | None) -> Row:
    name = str(row.value("sample_id"))
    trials[name] += 1
    texts = mapping(row.values.get("output")).get("raw")
    score = mapping(row.values.get("evaluation")).get("score")
    score = None if score == unknown else score
    fields = {
        "id": name,
        "trial": trials[name],
        "score": score,
        "missing_reason": None
        if score is not None
        else str(row.values.get("error") or "no score, or an unknown level"),
        "answer": texts[0] if isinstance(texts, list) and texts else texts,
        "outcome": row.values.get("error"),
        # The digest of what was asked and the right answers.
        "digests": {"prompt": row.values.get("sample_hash")},
        "metadata": row.values.get("metadata") or {},
    }
    return Row(row.where, {**row.values, **fields})


def _range(config: Mapping[str, Any]) -> tuple[float, float] | None:
    """The lowest and the highest score there can be, where both are stated."""
    levels = config.get("level_names")
    if config.get("score_type") == "binary":
        return 0.0, 1.0
    if config.get("score_type") == "levels" and isinstance(levels, list) and len(levels) > 1:
        return 0.0, len(levels) - 1.0
    low, high = config.get("min_score"), config.get("max_score")
    stated = isinstance(low, int | float) and isinstance(high, int | float) and low < high
    return (float(low), float(high)) if stated else None  # type: ignore[arg-type]


READER = LogReader(recognises, read)
