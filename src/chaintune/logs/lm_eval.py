"""Sample logs of lm-evaluation-harness, as `--log_samples` writes them: a row an example and filter.

What two logs must have in common to be compared is in the rows (document, prompt and target, hashed from 0.4.3 on)
and in the results beside them (task version, few-shot examples, whether more is better), which may be missing. Up to
0.4.2 a log is one JSON list, named by model and task; up to 0.4.6 its rows name neither their filter nor the metrics.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.columns import Columns, read_columns
from chaintune.files.reading import iter_rows, parse_json, suffix_of
from chaintune.files.rows import Row, kind
from chaintune.logs.content import beginning, stem
from chaintune.logs.facts import template_facts
from chaintune.logs.fields import Fields, scores_from_columns
from chaintune.logs.lm_eval_choices import ANSWERS, METRICS, choice_fields, with_choices
from chaintune.logs.log import UNNAMED, Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader

_DATED = re.compile(r"samples_(?P<task>.+?)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)")
_DIGESTS = {"document": "doc_hash", "prompt": "prompt_hash", "target": "target_hash"}
_HASHED = ("doc", "arguments", "target")
_MARKS = {"doc_id", ANSWERS}
# What every row has beside its metrics.
_OWN = {*_MARKS, *_DIGESTS.values(), "doc", "target", "arguments", "resps", "filter", "metrics"}
_PREFERRED = "acc"
_SAMPLES, _RESULTS, _OLD_RESULTS = "samples_*.jsonl", "results_*.json", "results.json"
_TEMPLATE = "chat_template_sha"
_FILTER, _PLAIN_FILTER = "filter", "none"


def recognises(path: Path) -> bool:
    """Whether a path holds samples of lm-eval, or its results alone, in which case `read` says what is missing."""
    if path.is_dir():
        return any(path.rglob(_SAMPLES)) or any(path.rglob(_RESULTS)) or bool(_renamed(path))
    return (path.match(_RESULTS) and _is_results(path)) or _is_log(path)


def _is_log(path: Path) -> bool:
    suffix = suffix_of(path)
    if suffix not in (".jsonl", ".ndjson") and not (suffix == ".json" and beginning(path).startswith(b"[")):
        return False
    try:
        first = next(iter_rows(path), None)
    except DataError:
        return False
    return first is not None and set(first.values) >= _MARKS


def _renamed(folder: Path) -> list[Path]:
    """Samples in a folder under other names than lm-eval gives them today."""
    return [path for path in sorted(folder.rglob("*.jsonl")) if _is_log(path)]


def _is_results(path: Path) -> bool:
    """Whether a file is what lm-eval writes beside its samples; a table may bear the same name."""
    try:
        content = parse_json(path.read_bytes(), str(path))
    except (OSError, DataError):
        return False
    return isinstance(content, dict) and not {"results", "versions"}.isdisjoint(content)


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The tasks of a folder of sample logs, or the one of a file.

    Raises:
        ConfigError: a metric, filter or dimension that the log has not.
        DataError: a file cannot be read, or a row of it.
    """
    files = (sorted(path.rglob(_SAMPLES)) or _renamed(path)) if path.is_dir() else [path]
    if not files or path.match(_RESULTS):
        raise DataError(
            f"{path}: results of lm-eval without its samples; run it with --log_samples and compare samples_*.jsonl"
        )
    tasks = {file: task_of(file, alone=len(files) == 1) for file in files}
    for task in options.tasks:
        if task not in tasks.values():
            raise ConfigError(f"{path}: there is no task '{task}': {nearest(task, tasks.values())}")
    logs: list[Log] = []
    filters: list[str] = []
    for file, task in tasks.items():
        if options.wants(task):
            log, known = _read_file(file, task, options)
            logs.append(log)
            filters += known
    if options.filter is not None and options.filter not in filters:
        raise ConfigError(f"{path}: there is no filter '{options.filter}': {nearest(options.filter, filters)}")
    return logs


def task_of(path: Path, *, alone: bool = True) -> str:
    """The task's name: from the file's name, or from the results beside a log of 0.4.0 to 0.4.2.

    Args:
        path: of the log.
        alone: whether it is the only one, so that a name that lm-eval did not give need tell nothing apart.

    Example:
        >>> task_of(Path("samples_arc_easy_2026-01-02T03-04-05.678.jsonl"))
        'arc_easy'
    """
    name = stem(path)
    if dated := _DATED.fullmatch(name):
        return dated["task"]
    if name.startswith("samples_"):
        return name.removeprefix("samples_")
    configs = _results(path).get("configs")
    named = [task for task in (configs if isinstance(configs, Mapping) else ()) if name.endswith(f"_{task}")]
    return max(named, key=len) if named else UNNAMED if alone else name


def _read_file(path: Path, task: str, options: ReadOptions) -> tuple[Log, list[str]]:
    """The log of one task, and the filters whose answers it holds."""
    first = next(iter_rows(path), None)
    if first is None:
        raise DataError(f"{path}: holds no rows")
    results = _results(path)
    fields = _fields(
        first,
        options.of_task(task),
        _entry(results, "higher_is_better", task) or {},
    )
    hashed = any(first.get(name) for name in _DIGESTS.values())
    choices = choice_fields(first) if fields.score in METRICS else []
    paths = [*fields.paths, _FILTER, *choices, *(() if hashed else _HASHED)]
    columns = read_columns(path, paths, first, number=fields.number)
    columns, filters = _filtered(columns if hashed else _with_digests(columns), fields.id, options.filter, path)
    if choices:
        columns, details = with_choices(columns, fields.score)
        fields = replace(fields, details=details)
    scores, digests = scores_from_columns(columns, fields, task, str(path))
    return Log(scores, str(path), _facts(results, task), digests, fields=fields.known), filters


def _with_digests(columns: Columns) -> Columns:
    """The columns with the digests that lm-eval writes from 0.4.3 on, of what an older log holds."""
    documents, arguments, targets = (columns.values[name] for name in _HASHED)
    texts = {
        "document": [json.dumps(document, indent=2, ensure_ascii=False) for document in documents],
        "prompt": list(map(_prompt, arguments)),
        "target": list(map(str, targets)),
    }
    made = {_DIGESTS[name]: [text and _digest(text) for text in column] for name, column in texts.items()}
    return replace(columns, values={**columns.values, **made})


def _prompt(arguments: Any) -> str:
    """The prompt of the first request of a row; empty where it is not as lm-eval wrote it."""
    first = arguments[0] if isinstance(arguments, list) and arguments else None
    prompt = first[0] if isinstance(first, list) and first else None
    return prompt if isinstance(prompt, str) else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _filtered(columns: Columns, ids: str, chosen: str | None, path: Path) -> tuple[Columns, list[str]]:
    """The rows of one filter, and all filters: the chosen one's, else the only one's or the unfiltered answers."""
    named = columns.values[_FILTER]
    numbers = _numbered(columns.values[ids], path) if not any(named) else []
    filters = numbers or [_PLAIN_FILTER if name is None else str(name) for name in named]
    known = list(dict.fromkeys(filters))
    if len(known) == 1:
        return columns, known
    if chosen is not None and chosen not in known and _PLAIN_FILTER not in known:
        raise ConfigError(f"{path}: there is no filter '{chosen}': {nearest(chosen, known)}")
    if chosen is None and numbers:
        raise ConfigError(
            f"{path}: every id comes {len(known)} times, so these are answers of {len(known)} filters, which lm-eval "
            f"did not name before 0.4.7; choose one by its number in the task, --filter 1 to --filter {len(known)}"
        )
    if chosen is None and _PLAIN_FILTER not in known:
        raise ConfigError(
            f"{path}: answers are filtered in {len(known)} ways; choose one as --filter: {', '.join(known)}"
        )
    wanted = chosen if chosen in known else _PLAIN_FILTER
    return columns.rows([row for row, name in enumerate(filters) if name == wanted]), known


def _numbered(ids: Sequence[Any], path: Path) -> list[str]:
    """The number of each row's filter, where rows name none: how often its id came by; empty where ids do not tell.

    lm-eval writes all examples of the first filter of a task, then all of the second.
    """
    seen: Counter[Any] = Counter()
    rounds = []
    for name in map(str, ids):
        seen[name] += 1
        rounds.append(str(seen[name]))
    if len(set(seen.values())) > 1:
        return []
    if len(seen) == len(rounds):
        return rounds
    questions: dict[str, str] = {}
    for row in iter_rows(path):
        digest = _digest(json.dumps(row.get("doc"), sort_keys=True, default=str))
        if questions.setdefault(str(row.get("doc_id")), digest) != digest:
            return []  # other examples under the same ids, which is for people to mend
    return rounds


def _fields(row: Row, options: ReadOptions, falling: Mapping[str, Any]) -> Fields:
    score = options.metric or options.columns.get("score")
    candidates = _candidates(row)
    if score is None:
        score = _metric(row, candidates)
    elif score not in candidates and row.get(score) is None:
        raise ConfigError(f"{row.where}: there is no metric '{score}': {nearest(score, candidates or ['none'])}")
    turned = options.scale == (0.0, 1.0) and falling.get(score) is False
    return Fields(
        id=options.called("id") if "id" in options.columns else "doc_id",
        score=score,
        cluster=options.cluster or options.columns.get("cluster"),
        dimensions={dimension: options.called(dimension) for dimension in options.dimensions},
        digests=_DIGESTS,
        details={"answer": ANSWERS} if _is_text(row.get(ANSWERS)) else {},
        scale=(1.0, 0.0) if turned else options.scale,
        known=tuple(row.columns()),
    )


def _is_text(answers: Any) -> bool:
    """Whether answers are texts, and not log-probabilities of choices."""
    return isinstance(answers, list) and len(answers) == 1 and isinstance(answers[0], str)


def _candidates(row: Row) -> list[str]:
    """The metrics of a row that are one number; rows of lm-eval before 0.4.7 do not list theirs."""
    listed = row.get("metrics")
    names = listed if isinstance(listed, list) else row.values.keys() - _OWN
    return [name for name in row.values if name in names and isinstance(row.values[name], int | float)]


def _metric(row: Row, candidates: Sequence[str]) -> str:
    if _PREFERRED in candidates:
        return _PREFERRED
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise ConfigError(f"{row.where}: name the metric as --metric, there are several: {', '.join(candidates)}")
    others = [f"{name} holds {kind(value)}" for name, value in row.values.items() if name not in _OWN]
    raise ConfigError(
        f"{row.where}: no metric is one number a row ({'; '.join(others) or 'there is none'}); compare a task with "
        "such a metric, or write its scores as a table with the columns id and score"
    )


def _results(path: Path) -> Mapping[str, Any]:
    """The results beside a sample log; empty where there are none."""
    dated = _DATED.fullmatch(stem(path))
    results = path.with_name(f"results_{dated['date']}.json" if dated else _OLD_RESULTS)
    if not results.is_file():
        return {}
    try:
        content = parse_json(results.read_bytes(), str(results))
    except OSError as error:
        raise DataError(f"{results}: cannot be read ({error.strerror})") from error
    if not isinstance(content, dict):
        raise DataError(f"{results}: expected a mapping, got a {type(content).__name__}")
    return content


def _facts(results: Mapping[str, Any], task: str) -> dict[str, str]:
    """Task version, few-shot count and chat template, as far as they are known."""
    parts = {"task version": "versions", "few-shot examples": "n-shot"}
    known = {fact: _entry(results, part, task) for fact, part in parts.items()}
    facts = {fact: str(value) for fact, value in known.items() if isinstance(value, str | int | float)}
    if _TEMPLATE not in results:
        return facts
    template = results[_TEMPLATE]
    return facts | (template_facts(template) if isinstance(template, str) else {"chat": "off"})


def _entry(results: Mapping[str, Any], part: str, task: str) -> Any:
    inner = results.get(part)
    # A task's name may hold a dot, so it is no path.
    return inner.get(task) if isinstance(inner, Mapping) else None


READER = LogReader(recognises, read, has_filters=True)
