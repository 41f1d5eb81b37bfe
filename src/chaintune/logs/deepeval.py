"""Test runs of DeepEval: `test_run_DATE.json`, `.latest_run_full.json`, or what `evaluate` returns, as JSON."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.files.reading import suffix_of
from chaintune.files.rows import Row
from chaintune.logs.content import beginning, mapping, mappings, read_json
from chaintune.logs.facts import digest
from chaintune.logs.log import UNNAMED, Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.logs.runs import Run, log_of_run, metric_of

_CASES = ("testCases", "conversationalTestCases", "test_results")
_MARKS = re.compile(rb'"(testCases|conversationalTestCases|test_results|metricsData|metrics_data)"\s*:')
_NAMES = ("test_run_*.json", ".latest_run_full.json", ".latest_test_run.json")
_SUCCESS = "success"
_PREFERRED_METADATA = ("metadata", "additionalMetadata", "additional_metadata")


def recognises(path: Path) -> bool:
    """Whether a path is a test run, or a folder of one."""
    if path.is_dir():
        return bool(_files(path))
    if suffix_of(path) != ".json":
        return False
    start = beginning(path)
    return start.startswith(b"{") and _MARKS.search(start) is not None


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The test run of a file.

    Raises:
        ConfigError: a metric or dimension that the run has not.
        DataError: the file cannot be read, or the folder holds several runs.
    """
    if path.is_dir():
        files = _files(path)
        if len(files) > 1:
            raise DataError(f"{path}: {len(files)} test runs of DeepEval; name one of them, such as {files[-1].name}")
        path = files[0]
    return [log_of_run(_run(path, options), options)]


def _files(folder: Path) -> list[Path]:
    """The test runs that a folder keeps, or else the latest one."""
    return next((files for name in _NAMES if (files := sorted(folder.rglob(name)))), [])


def _run(path: Path, options: ReadOptions) -> Run:
    known = mapping(read_json(path))
    known = mapping(known.get("testRunData", known))
    cases = [case for name in _CASES for case in mappings(known.get(name))]
    if not cases:
        raise DataError(f"{path}: expected a test run of DeepEval, a mapping with a list testCases")
    task = str(known.get("datasetAlias") or UNNAMED)
    options = options.of_task(task)
    measured = [dict(_measured(case)) for case in cases]
    names = list(dict.fromkeys(name for part in measured for name in part))
    metric = metric_of([*names, _SUCCESS] if options.metric == _SUCCESS else names, options, path)
    # Cases that were never to be measured by it belong to another evaluation of the same run.
    own = [k for k, part in enumerate(measured) if metric in part or metric not in names]
    by_name = Counter(str(cases[k].get("name")) for k in own)
    rows = [
        _example(path, k, cases[k], measured[k], metric, unique=by_name[str(cases[k].get("name"))] == 1) for k in own
    ]
    low = _less_is_better([part[metric] for part in measured if metric in part])
    facts = {} if low is None else {f"better score of '{metric}'": "lower" if low else "higher"}
    return Run(task, path, rows, metric, (0.0, 1.0), low is True, facts)


def _measured(case: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each metric of a test case."""
    for part in mappings(case.get("metricsData") or case.get("metrics_data")):
        yield str(part.get("name")), part


def _less_is_better(parts: Sequence[Mapping[str, Any]]) -> bool | None:
    """Whether a lower score passes, as the thresholds tell; None where they do not.

    DeepEval turned the scores of Bias, Toxicity and Hallucination over between its versions, and no file says which it
    is of.
    """
    directions = [
        part["success"] == (part["score"] < part["threshold"])
        for part in parts
        if isinstance(part.get("success"), bool)
        and all(isinstance(part.get(name), int | float) for name in ("score", "threshold"))
        and part["score"] != part["threshold"]
    ]
    return all(directions) if directions and len(set(directions)) == 1 else None


def _example(
    path: Path, number: int, case: Mapping[str, Any], measured: Mapping[str, Any], metric: str, *, unique: bool
) -> Row:
    part = measured.get(metric, {})
    score = case.get(_SUCCESS) if metric == _SUCCESS and metric not in measured else part.get("score")
    question = case.get("input") or case.get("scenario")
    expected = case.get("expectedOutput") or case.get("expected_output") or case.get("expectedOutcome")
    fields = {
        "id": str(case.get("name")) if unique and case.get("name") else f"{number}",
        "score": score,
        "missing_reason": None if score is not None else str(part.get("error") or f"no {metric}"),
        "answer": case.get("actualOutput") if "actualOutput" in case else case.get("actual_output"),
        "digests": {"prompt": digest(question) if question else None, "target": digest(expected) if expected else None},
        "metadata": next((case[name] for name in _PREFERRED_METADATA if isinstance(case.get(name), dict)), {}),
        "tags": case.get("tags") or [],
    }
    return Row(f"{path}, test case {number}", fields)


READER = LogReader(recognises, read)
