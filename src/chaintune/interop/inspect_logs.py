"""Logs of Inspect (`.eval` archives and JSON), checked by `inspect-ai` itself.

An example's score is its scorer's value, the mean over epochs unless the task asked for another way. An example that
ended in an error or that its scorer left unscored has none, as if it had not been asked.
"""

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError
from chaintune.interop.archives import Parts, canonical, opened
from chaintune.interop.conditions import facts_of
from chaintune.interop.fields import Collected, Fields
from chaintune.interop.inspect_scores import scorer_of, values_of
from chaintune.interop.log import Log, Wanted

_LOG = logging.getLogger(__name__)
# All that is needed of a sample; messages and events are most of a log and are not checked.
_NEEDED = ("id", "epoch", "target", "scores", "score", "metadata")
_WRONG = (ValueError, TypeError, LookupError, AttributeError)

_ByExample = dict[str, dict[str, str]]


def read(path: Path, wanted: Wanted) -> list[Log]:
    """The task of a log, or every task of a folder of logs.

    Raises:
        ConfigError: inspect-ai is not installed; a score or dimension that the log has not; several scores.
        DataError: a log cannot be read, or an example's score is no number.
    """
    reader = _inspect()
    files = sorted(file for kind in ("*.eval", "*.json") for file in path.rglob(kind)) if path.is_dir() else [path]
    logs = [log for file in files if (log := _read_file(file, wanted, reader))]
    if not logs:
        raise ConfigError(f"{path}: no log of task '{wanted.task}' among {len(files)}")
    return logs


def _inspect() -> Any:
    try:
        return import_module("inspect_ai.log")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "logs of Inspect need inspect-ai; install it with: pip install 'chaintune[inspect]'"
        ) from error


def _read_file(path: Path, wanted: Wanted, reader: Any) -> Log | None:
    with opened(path) as parts:
        header = _checked(path, parts.header, reader)
        if wanted.task not in (None, header.eval.task):
            return None
        samples, digests = _slim(parts, path)
        log = _checked(path, {**parts.header, "samples": samples, "reductions": parts.reductions}, reader)
    if not log.samples:
        raise DataError(f"{path}: holds no samples")
    return _log_of(log, digests, wanted, str(path))


def _checked(path: Path, data: Mapping[str, Any], reader: Any) -> Any:
    """A log as `inspect-ai` understands it, older forms brought up to date."""
    try:
        return reader.read_eval_log(BytesIO(json.dumps(data).encode()), format="json")
    except _WRONG as error:
        told = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: no log that inspect-ai understands ({told})") from error


def _slim(parts: Parts, path: Path) -> tuple[list[dict[str, Any]], _ByExample]:
    """The samples without their transcripts, and digests of what each example was asked, by the JSON of its id."""
    samples: list[dict[str, Any]] = []
    digests: _ByExample = {}
    for sample in parts.samples:
        if not isinstance(sample, dict):
            raise DataError(f"{path}: expected a sample, got a {type(sample).__name__}")
        samples.append({name: sample[name] for name in _NEEDED if name in sample} | {"input": ""})
        # Of several epochs the first one tells; choices that are shuffled differ between epochs as well.
        digests.setdefault(canonical(sample.get("id")), _digests(sample))
    return samples, digests


def _digests(sample: Mapping[str, Any]) -> dict[str, str]:
    known = {"input": [sample.get("input"), sample.get("choices")], "target": sample.get("target")}
    if asked := _asked(sample.get("messages")):
        known["prompt"] = asked
    return {name: hashlib.sha256(canonical(value).encode()).hexdigest() for name, value in known.items()}


def _asked(messages: Any) -> list[Any]:
    """Role and content of the messages before the model's first answer; their ids are drawn at random."""
    found = []
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict) or message.get("role") == "assistant":
            break
        found.append([message.get("role"), message.get("content")])
    return found


def _log_of(log: Any, digests: _ByExample, wanted: Wanted, where: str) -> Log:
    scorer = scorer_of(log.samples, wanted.metric or wanted.columns.get("score"), where)
    values = values_of(log, scorer, where)
    fields, collected = _fields(wanted), Collected()
    scored = [key for key, value in values.items() if not (isinstance(value, float) and math.isnan(value))]
    if len(scored) < len(values):
        _LOG.warning("%s: %d of %d examples have no score", where, len(values) - len(scored), len(values))
    samples = {canonical(sample.id): sample for sample in reversed(log.samples)}
    for key in scored:
        sample = samples[key]
        row = {"id": sample.id, "target": sample.target, "metadata": sample.metadata, "score": values[key]}
        collected.add(row, f"{where}, sample '{sample.id}'", fields)
    if not collected.faults:
        collected.know(digests.get(key, {}) for key in scored)
    scores, known = collected.item_scores(log.eval.task, where, scorer)
    return Log(scores, where, facts_of(log, scorer), known, fields=collected.names, doubts=_doubts(log))


def _fields(wanted: Wanted) -> Fields:
    return Fields(
        id=wanted.called("id"),
        score="score",
        cluster=wanted.cluster or wanted.columns.get("cluster"),
        dimensions={dimension: wanted.called(dimension) for dimension in wanted.dimensions},
        scale=wanted.scale,
    )


def _doubts(log: Any) -> tuple[str, ...]:
    """What speaks against a log on its own."""
    ended = () if log.status == "success" else (f"the run has status '{log.status}'",)
    return (*ended, "the log is marked as invalid") if log.invalidated else ended
