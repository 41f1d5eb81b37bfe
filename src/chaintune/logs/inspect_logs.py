"""Logs of Inspect: `.eval` archives by their summaries, what is not regular and JSON as `inspect-ai` itself reads it.

An example's score is its scorer's value, the mean over epochs unless the task asked for another way. An example that
ended in an error or that its scorer left unscored has none, as if it had not been asked.
"""

import json
import logging
import math
from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from operator import attrgetter
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError
from chaintune.logs.archives import Parts, canonical, opened
from chaintune.logs.conditions import doubts_of, facts_of
from chaintune.logs.fields import Collected
from chaintune.logs.inspect_samples import digests_of, row_of
from chaintune.logs.inspect_scores import scorer_of, tell_unscored, told_by, values_of
from chaintune.logs.inspect_summaries import fields_of, read_summarised
from chaintune.logs.irregular import Irregular
from chaintune.logs.log import Log, Wanted

_LOG = logging.getLogger(__name__)
# All that is needed of a sample; messages and events are most of a log and are not checked.
_NEEDED = ("id", "epoch", "target", "scores", "score", "metadata")
_NAMED = 5
_WRONG = (ValueError, TypeError, LookupError, AttributeError)

_Digests = dict[tuple[str, str], dict[str, str]]


def read(path: Path, wanted: Wanted) -> list[Log]:
    """The task of a log, or every task of a folder of logs.

    Raises:
        ConfigError: inspect-ai is needed and not installed; a score or dimension that the log has not; several scores.
        DataError: a log cannot be read, or an example's score is no number.
    """
    files = sorted(file for kind in ("*.eval", "*.json") for file in path.rglob(kind)) if path.is_dir() else [path]
    logs = [log for file in files if (log := _read_file(file, wanted))]
    if not logs:
        raise ConfigError(f"{path}: no log of task {', '.join(map(repr, wanted.tasks))} among {len(files)}")
    return logs


def _read_file(path: Path, wanted: Wanted) -> Log | None:
    if path.suffix.lower() != ".eval":
        return read_checked(path, wanted)
    try:
        return read_summarised(path, wanted)
    except Irregular as doubt:
        _LOG.info("%s: read sample by sample, since %s", path, doubt)
        return read_checked(path, wanted)


def read_checked(path: Path, wanted: Wanted) -> Log | None:
    """A log whose every sample `inspect-ai` checked; None when it is of another task than the one wanted.

    Raises:
        ConfigError: inspect-ai is not installed; a score or dimension that the log has not; several scores.
        DataError: the log cannot be read, or an example's score is no number.
    """
    with opened(path) as parts:
        if "eval" not in parts.header:
            named = ", ".join(map(repr, list(parts.header)[:_NAMED])) or "nothing"
            raise DataError(
                f"{path}: expected a log of Inspect, a mapping with 'eval', or a list of rows with id and score; "
                f"got a mapping with {named}"
            )
        reader = _inspect()
        header = _checked(path, parts.header, reader)
        if not wanted.wants(header.eval.task):
            return None
        samples, digests = _slim(parts, path)
        log = _checked(path, {**parts.header, "samples": samples, "reductions": parts.reductions}, reader)
    if not log.samples:
        raise DataError(f"{path}: holds no samples")
    return _log_of(log, digests, wanted, str(path))


def _inspect() -> Any:
    try:
        return import_module("inspect_ai.log")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "logs of Inspect need inspect-ai; install it with: pip install 'chaintune[inspect]'"
        ) from error


def _checked(path: Path, data: Mapping[str, Any], reader: Any) -> Any:
    """A log as `inspect-ai` understands it, older forms brought up to date."""
    try:
        return reader.read_eval_log(BytesIO(json.dumps(data).encode()), format="json")
    except _WRONG as error:
        told = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: no log that inspect-ai understands ({told})") from error


def _slim(parts: Parts, path: Path) -> tuple[list[dict[str, Any]], _Digests]:
    """The samples without their transcripts, and what each was asked, by the JSON of its id and epoch."""
    samples: list[dict[str, Any]] = []
    digests: _Digests = {}
    for sample in parts.samples:
        if not isinstance(sample, dict):
            raise DataError(f"{path}: expected a sample, got a {type(sample).__name__}")
        samples.append({name: sample[name] for name in _NEEDED if name in sample} | {"input": ""})
        digests[canonical(sample.get("id")), canonical(sample.get("epoch"))] = digests_of(sample)
    return samples, digests


def _log_of(log: Any, digests: _Digests, wanted: Wanted, where: str) -> Log:
    told = (told_by(sample) for sample in log.samples)
    scorer = scorer_of(told, wanted.metric or wanted.columns.get("score"), where)
    values = values_of(log, scorer, where)
    fields, collected = fields_of(wanted), Collected()
    scored = [key for key, value in values.items() if not (isinstance(value, float) and math.isnan(value))]
    tell_unscored(where, len(values) - len(scored), len(values))
    # Of several epochs the first one tells; choices that are shuffled differ between epochs.
    samples = {canonical(sample.id): sample for sample in sorted(log.samples, key=attrgetter("epoch"), reverse=True)}
    for key in scored:
        sample = samples[key]
        row = {**row_of(vars(sample)), "score": values[key]}
        collected.add(row, f"{where}, sample '{sample.id}'", fields)
    if not collected.faults:
        collected.know(digests.get((key, canonical(samples[key].epoch)), {}) for key in scored)
    scores, known = collected.item_scores(log.eval.task, where, scorer)
    header = log.model_dump(include={"status", "invalidated", "eval", "plan"})
    return Log(scores, where, facts_of(header, scorer), known, fields=collected.names, doubts=doubts_of(header))
