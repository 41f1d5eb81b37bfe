"""Results of OpenCompass with their details: `results/MODEL/DATASET.json` of a run with `--dump-eval-details`.

`details` is a list, or a mapping of numbers, and each entry says whether it is right as its evaluator calls it. Where
its fields are lists, they are those of the replicas of one example, which are averaged.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.files.reading import suffix_of
from chaintune.files.rows import Row
from chaintune.logs.content import beginning, read_json, stem
from chaintune.logs.facts import digest
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.logs.runs import Run, log_of_run, metric_of

_RIGHT = ("correct", "is_correct", "cascade_correct")
_ANSWERS, _GOLD = ("predictions", "prediction", "pred"), ("references", "reference", "answer", "refr", "gold")
_PROMPTS = ("prompt", "origin_prompt")
_MARKS = (b'"origin_prompt"', b'"example_abbr"', b'"origin_prediction"')
_RESULTS, _PREDICTIONS = "results", "predictions"


def recognises(path: Path) -> bool:
    """Whether a path holds results or predictions of OpenCompass, or is a folder of such."""
    if path.is_dir():
        return any(_is_result(file) for file in path.rglob("*.json"))
    return suffix_of(path) == ".json" and _is_result(path)


def _is_result(path: Path) -> bool:
    start = beginning(path)
    if not start.startswith(b"{"):
        return False
    # Results whose evaluator keeps neither prompt nor prediction are known by their place.
    return any(mark in start for mark in _MARKS) or (path.parent.parent.name == _RESULTS and b'"details"' in start)


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The data sets of a folder of one model's results, or the one of a file.

    Raises:
        ConfigError: a metric or dimension that the results have not.
        DataError: a file cannot be read, or holds no details.
    """
    files = sorted(filter(_is_result, path.rglob("*.json"))) if path.is_dir() else [path]
    kept = [file for file in files if file.parent.parent.name != _PREDICTIONS] or files
    chosen = [file for file in kept if options.wants(stem(file))]
    return [log_of_run(_run(file, options.of_task(stem(file))), options) for file in chosen]


def _run(path: Path, options: ReadOptions) -> Run:
    known = read_json(path)
    details = known.get("details") if isinstance(known, dict) else None
    entries = list(_entries(details))
    if not entries:
        what = "predictions" if isinstance(known, dict) and "0" in known else "results"
        raise DataError(
            f"{path}: {what} of OpenCompass without the details that say which example is right; "
            "run its evaluation with --dump-eval-details, and compare the folder 'results'"
        )
    numbers = [name for name in entries[0][1][0] if isinstance(entries[0][1][0][name], int | float)]
    right = next((name for name in _RIGHT if name in numbers), "")
    if not numbers:
        raise DataError(
            f"{path}: no entry of the details says whether it is right; write id and score of each as a table"
        )
    metric = metric_of(numbers, options, path, preferred=right)
    rows = [
        Row(f"{path}, entry {name}", _example(name, trial, entry, metric))
        for name, replicas in entries
        for trial, entry in enumerate(replicas)
    ]
    return Run(stem(path), path, rows, metric)


def _entries(details: Any) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Each example's name and its replicas."""
    listed = (
        details.items() if isinstance(details, Mapping) else enumerate(details if isinstance(details, list) else ())
    )
    for name, entry in listed:
        if isinstance(entry, Mapping) and entry:
            yield str(entry.get("example_abbr") or name), _replicas(entry)


def _replicas(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is said of each replica of an example: since 0.4 each field holds a list of them."""
    right = next((entry[name] for name in _RIGHT if isinstance(entry.get(name), list)), None)
    if right is None and "example_abbr" in entry:
        right = next((value for value in entry.values() if isinstance(value, list)), None)
    if not right:
        return [entry]
    return [
        {
            name: value[place] if isinstance(value, list) and len(value) == len(right) else value
            for name, value in entry.items()
        }
        for place in range(len(right))
    ]


def _example(name: str, trial: int, entry: Mapping[str, Any], metric: str) -> dict[str, Any]:
    answer, gold, prompt = (_first(entry, names) for names in (_ANSWERS, _GOLD, _PROMPTS))
    score = entry.get(metric)
    digests = {"prompt": digest(prompt) if prompt else None, "target": digest(gold) if gold is not None else None}
    reason = None if score is not None else f"no {metric}"
    known = {"answer": answer, "label": gold, "score": score, "missing_reason": reason, "digests": digests}
    return {**entry, "id": name, "trial": trial, **known}


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


READER = LogReader(recognises, read)
