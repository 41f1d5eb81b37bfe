"""Logs of openai/evals: JSON lines, the run's `spec` first, then its events.

An example's score is what its `match` event says, else a number of its `metrics` event; several events of one example
are averaged, as evals itself does.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaintune.errors import DataError, number_of
from chaintune.files.reading import iter_rows, suffix_of
from chaintune.files.rows import Row
from chaintune.logs.content import beginning, mapping
from chaintune.logs.facts import digest, named
from chaintune.logs.log import Log, of_finished_runs
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.logs.runs import Run, log_of_run, metric_of

_SPEC = re.compile(rb'\{\s*"spec"\s*:\s*\{')
_CORRECT = "correct"
_ENDED = "did not end"
Events = dict[str, list[tuple[str, Mapping[str, Any]]]]


def recognises(path: Path) -> bool:
    """Whether a path is a log that begins with a spec, or a folder of such."""
    if path.is_dir():
        return any(map(recognises, path.rglob("*.jsonl")))
    return suffix_of(path) == ".jsonl" and _SPEC.match(beginning(path)) is not None


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The runs of a folder, or the one of a file.

    Raises:
        ConfigError: a metric or dimension that the run has not.
        DataError: a file cannot be read, or no example has a score.
    """
    files = sorted(filter(recognises, path.rglob("*.jsonl"))) if path.is_dir() else [path]
    logs = {file: _parts(file) for file in files}
    runs = [(file, _task(spec), "" if ended else _ENDED) for file, (spec, _, ended) in logs.items()]
    kept = of_finished_runs(runs, path) if path.is_dir() else files
    chosen = [(file, task) for file, task, _ in runs if file in kept and options.wants(task)]
    return [log_of_run(_run(file, task, *logs[file], options.of_task(task)), options) for file, task in chosen]


def _parts(path: Path) -> tuple[Mapping[str, Any], Events, bool]:
    """The spec of a run, its events by example, and whether it came to its end."""
    spec: Mapping[str, Any] = {}
    events: Events = defaultdict(list)
    ended = False
    for row in iter_rows(path):
        data = row.values.get("data")
        if isinstance(row.values.get("spec"), Mapping):
            spec = row.values["spec"]
        elif "final_report" in row.values:
            ended = True  # which may stand before events that were written later
        elif isinstance(data, Mapping):
            events[str(row.values.get("sample_id"))].append((str(row.values.get("type")), data))
    if not spec:
        raise DataError(f"{path}: no line with 'spec'; it is no log of openai/evals")
    return spec, events, ended


def _task(spec: Mapping[str, Any]) -> str:
    return str(spec.get("eval_name") or spec.get("base_eval") or "evals")


def _run(path: Path, task: str, spec: Mapping[str, Any], events: Events, ended: bool, options: ReadOptions) -> Run:
    scored = {name: _scores(own) for name, own in events.items()}
    numbers = {name for values in scored.values() for part in values for name in part}
    metric = metric_of(sorted(numbers), options, path, preferred=_CORRECT if _CORRECT in numbers else "score")
    rows = []
    for name, values in scored.items():
        known = [part[metric] for part in values if metric in part]
        fields = _fields(events[name])
        fields |= {} if known else {"missing_reason": _reason(events[name], metric)}
        for trial, score in enumerate(known or [None]):
            rows.append(Row(f"{path}, sample '{name}'", {"id": name, "trial": trial, "score": score, **fields}))
    facts = named("eval", mapping(mapping(spec.get("run_config")).get("eval_spec")))
    doubts = () if ended else (f"the run {_ENDED}, {number_of(len(rows), 'sample')}",)
    return Run(task, path, rows, metric, facts=facts, doubts=doubts)


def _scores(events: list[tuple[str, Mapping[str, Any]]]) -> list[dict[str, float]]:
    """The numbers of each event that scores: whether it is right of a match, all of metrics."""
    return [
        {
            name: value
            for name, value in data.items()
            if isinstance(value, int | float) and (kind == "metrics" or name == _CORRECT)
        }
        for kind, data in events
        if kind in ("match", "metrics")
    ]


def _fields(events: list[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """What was asked and answered."""
    known: dict[str, Any] = {}
    digests: dict[str, str] = {}
    for kind, data in events:
        sampled = data.get("sampled")
        sampled = sampled[0] if isinstance(sampled, list) and sampled else sampled
        if kind == "sampling" and "prompt" not in digests and data.get("prompt"):
            digests["prompt"] = digest(data["prompt"])
        answer = data["picked"] if isinstance(data.get("picked"), str) else sampled
        if kind in ("sampling", "match") and isinstance(answer, str):
            known["answer"] = answer
        if kind == "match" and "expected" in data:
            known["label"] = data["expected"]
            digests["target"] = digest(data["expected"])
    return known | {"digests": digests}


def _reason(events: list[tuple[str, Mapping[str, Any]]], metric: str) -> str:
    errors = [str(data.get("message") or data.get("type")) for kind, data in events if kind == "error"]
    return errors[0] if errors else f"no event has a number for {metric}"


READER = LogReader(recognises, read)
