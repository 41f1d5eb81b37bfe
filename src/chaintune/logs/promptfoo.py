"""Results of promptfoo, as `promptfoo eval -o results.json` or `.jsonl` writes them.

An example is a test with its variables; what `--repeat` asks again is averaged. A file of several providers or prompts
is one side each, chosen by `--filter`.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.reading import iter_rows, suffix_of
from chaintune.files.rows import Row
from chaintune.logs.content import beginning, mapping, read_json
from chaintune.logs.facts import digest
from chaintune.logs.log import UNNAMED, Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.logs.runs import Run, log_of_run, metric_of
from chaintune.records.answers import REFUSAL

_MARKS = re.compile(rb'"evalId"|"promptIdx"|"promptId"|"gradingResult"|"namedScores"')
_WHOLE = re.compile(rb'\{\s*("evalId"\s*:\s*("[^"]*"|null)\s*,\s*)?"results"\s*:\s*\{')
_ERROR = 2
_SCORES = ("score", "success")
_MOST_NAME = 40


def recognises(path: Path) -> bool:
    """Whether a path is a file of results."""
    start = beginning(path) if path.is_file() and suffix_of(path) in (".json", ".jsonl") else b""
    if suffix_of(path) == ".jsonl":
        return b'"promptIdx"' in start and b'"testIdx"' in start
    return _WHOLE.match(start) is not None and (b'"evalId"' in start or _MARKS.search(start) is not None)


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The results of a file, of one provider and prompt.

    Raises:
        ConfigError: a metric, filter or dimension that the results have not; several providers or prompts.
        DataError: the file cannot be read.
    """
    options = options.of_task(UNNAMED)
    rows = _of_one(path, _results(path), options.filter)
    named = list(dict.fromkeys(name for row in rows for name in mapping(row.values.get("namedScores"))))
    metric = metric_of([*_SCORES, *named], options, path, preferred="score")
    seen: Counter[str] = Counter()
    return [log_of_run(Run(UNNAMED, path, [_example(row, metric, seen) for row in rows], metric), options)]


def _results(path: Path) -> list[Row]:
    if suffix_of(path) == ".jsonl":
        return list(iter_rows(path))
    known = read_json(path)
    outer = known.get("results") if isinstance(known, dict) else None
    results = outer.get("results") if isinstance(outer, dict) else outer
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise DataError(f"{path}: expected results of promptfoo, a mapping with results.results, a list of objects")
    return [Row(f"{path}, result {number}", result) for number, result in enumerate(results, 1)]


def _of_one(path: Path, rows: list[Row], chosen: str | None) -> list[Row]:
    """The rows of one provider and prompt."""
    sides = [_side(row) for row in rows]
    labels = list(dict.fromkeys(sides))
    providers = {provider for provider, _ in labels}
    names = [provider if len(providers) == len(labels) else f"{provider} | {prompt}" for provider, prompt in labels]
    if chosen is None and len(labels) > 1:
        raise ConfigError(
            f"{path}: results of {len(labels)} providers or prompts; choose one as --filter: {', '.join(names)}"
        )
    if chosen is not None and chosen not in names:
        raise ConfigError(f"{path}: there is no filter '{chosen}': {nearest(chosen, names)}")
    label = labels[names.index(chosen)] if chosen is not None else None
    return [row for row, side in zip(rows, sides, strict=True) if label in (None, side)]


def _side(row: Row) -> tuple[str, str]:
    provider, prompt = row.values.get("provider"), row.values.get("prompt")
    if isinstance(provider, Mapping):
        provider = provider.get("label") or provider.get("id")
    if isinstance(prompt, Mapping):
        # Rendered prompts differ from test to test, labels do not.
        prompt = prompt.get("label") if row.values.get("promptIdx") is None else row.values["promptIdx"]
    return str(provider), str(prompt)


def _example(row: Row, metric: str, seen: Counter[str]) -> Row:
    test = mapping(row.values.get("testCase"))
    variables = mapping(row.values.get("vars") or test.get("vars"))
    variables = {name: value for name, value in variables.items() if not name.startswith("_")}
    description = test.get("description") or row.values.get("description") or ""
    content = digest([variables, description, test.get("assert"), test.get("prompt")])
    seen[content] += 1
    failed = row.values.get("failureReason") == _ERROR
    named, response = mapping(row.values.get("namedScores")), mapping(row.values.get("response"))
    score = named.get(metric) if metric in named else row.values.get(metric) if metric in _SCORES else None
    reason = str(row.values.get("error") or "the test ended in an error") if failed else f"no {metric}"
    name = str(description or next((value for value in variables.values() if isinstance(value, str)), "test"))
    prompt = mapping(row.values.get("prompt")).get("raw")
    fields = {
        "id": f"{' '.join(name.split())[:_MOST_NAME]} {content[:8]}",
        "trial": seen[content],
        "score": None if failed else score,
        "missing_reason": reason if failed or score is None else None,
        "answer": response.get("output"),
        "outcome": REFUSAL if response.get("isRefusal") is True else None,
        "digests": {"prompt": digest(prompt) if prompt else None},
        "vars": variables,
        "metadata": mapping(test.get("metadata")),
    }
    return Row(row.where, {"description": description, **fields})


READER = LogReader(recognises, read, has_filters=True)
