"""Runs of HELM: `per_instance_stats.json`, and what lies beside it.

`scenario_state.json` says what was asked and answered, `run_spec.json` under what conditions. The slim files of earlier
versions, and what `helm-summarize` leaves of a run, `display_predictions.json` and `instances.json`, are read where the
other files are not there. An
example is an instance of the test split, or any where there is none; its replications with other in-context examples
(`train_trial_index`) are averaged, and its perturbed versions are read only where `perturbation` is a dimension, as
examples of the same cluster.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.files.reading import suffix_of
from chaintune.files.rows import Row
from chaintune.logs.content import beginning, mapping, mappings, read_json
from chaintune.logs.details import CHANCE
from chaintune.logs.facts import canonical, digest, named
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.logs.runs import Run, log_of_run, metric_of

_LOG = logging.getLogger(__name__)

_STATS, _DISPLAYED = "per_instance_stats.json", "display_predictions.json"
_INSTANCES, _SPEC = "instances.json", "run_spec.json"
# The first that is there; a slim one holds fewer metrics, or fewer tokens.
_SCORES = (_STATS, "per_instance_stats_slim.json", _DISPLAYED)
_STATES = ("scenario_state.json", "scenario_state_slim.json")
_BESIDE = (*_STATES, _SPEC)
_MARKS = (b'"instance_id"', b'"train_trial_index"')
_MODEL = re.compile(r"[:,-]?model(_deployment)?=[^,]*")
# What HELM counts beside its metrics.
_COUNTS = re.compile(r"num_|finish_reason_|training_|inference_|batch_size|prompt_truncated|max_prob|logprob")
_RIGHT = {"exact_match", "quasi_exact_match", "prefix_exact_match", "quasi_prefix_exact_match"}
_NO_FACT = {"model", "model_deployment", "max_eval_instances"}
_PERTURBATION, _SPLIT, _TEST = "perturbation", "split", "test"
_PLAIN = {"name", "robustness", "fairness", "computed_on"}
_Key = tuple[str, str]


def recognises(path: Path) -> bool:
    """Whether a path holds scores of HELM, or what it asked alone, in which case `read` says what is missing."""
    if path.is_dir():
        return any(any(path.rglob(name)) for name in (*_SCORES, *_BESIDE))
    if suffix_of(path) != ".json":
        return False
    start = beginning(path)
    return path.name in _BESIDE or (start.startswith(b"[") and all(mark in start for mark in _MARKS))


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The runs of a folder, or the one of a file.

    Raises:
        ConfigError: a metric or dimension that the run has not.
        DataError: a file is missing or cannot be read.
    """
    if path.is_dir() or path.name in _BESIDE:
        folder = path if path.is_dir() else path.parent
        runs = {file.parent: file for name in reversed(_SCORES) for file in folder.rglob(name)}
        files = sorted(runs.values())
    else:
        files = [path]
    if not files:
        raise DataError(f"{path}: a run of HELM without {_STATS}, which holds its scores; copy that file beside it")
    tasks = {file: _task(file) for file in files}
    return [
        log_of_run(_run(file, task, options.of_task(task)), options)
        for file, task in tasks.items()
        if options.wants(task)
    ]


def _task(path: Path) -> str:
    """What HELM calls a run, but for the model."""
    spec = path.with_name(_SPEC)
    name = _mapping(spec).get("name") if spec.is_file() else None
    return _MODEL.sub("", name if isinstance(name, str) else path.resolve().parent.name) or "helm"


def _run(path: Path, task: str, options: ReadOptions) -> Run:
    spec = _mapping(path.with_name(_SPEC)) if path.with_name(_SPEC).is_file() else {}
    adapter = mapping(spec.get("adapter_spec"))
    scored, splits = _scored(path, perturbed=_PERTURBATION in options.dimensions)
    known = {name for values in scored.values() for name in values}
    names = [name for name in _declared(spec) if name in known]
    names = names or sorted(name for name in known if not _COUNTS.match(name))
    choice = str(adapter.get("method")).startswith("multiple_choice")
    candidates = [options.metric] if options.metric in known else names
    metric = metric_of(candidates, options, path, preferred="exact_match" if choice else "")
    instances, answers = _asked(path)
    rows = [
        Row(
            f"{path}, instance '{name}'",
            {
                "id": f"{name} {perturbation}".rstrip(),
                "cluster": name,
                "trial": trial,
                "score": values.get(metric),
                "missing_reason": None if values.get(metric) is not None else f"HELM gives no {metric}",
                _SPLIT: splits.get(name),
                **instances.get((name, perturbation), {}),
                **answers.get((name, perturbation, trial), {}),
                CHANCE: _chance(answers.get((name, perturbation, trial), {}), metric),
                _PERTURBATION: perturbation or "none",
            },
        )
        for (name, perturbation, trial), values in scored.items()
    ]
    rows = rows if _SPLIT in options.dimensions else _of_main_split(rows, path)
    facts = named("adapter", {name: value for name, value in adapter.items() if name not in _NO_FACT})
    return Run(task, path, rows, metric, facts=facts)


def _of_main_split(rows: list[Row], path: Path) -> list[Row]:
    """The rows of the split that HELM's own tables show: of the test split where there is one, else all."""
    test = [row for row in rows if row.values[_SPLIT] == _TEST]
    if test and len(test) < len(rows):
        _LOG.warning(
            "%s: %d of %d instances are of another split than '%s' and left out, as in HELM's own tables; '--by %s' "
            "reads them all",
            path,
            len(rows) - len(test),
            len(rows),
            _TEST,
            _SPLIT,
        )
    return test or rows


def _scored(path: Path, *, perturbed: bool) -> tuple[dict[tuple[str, str, int], dict[str, float]], dict[str, str]]:
    """Metrics by instance, perturbation and replication, and the split of each instance."""
    scored: dict[tuple[str, str, int], dict[str, float]] = {}
    splits: dict[str, str] = {}
    for entry in _objects(read_json(path), path):
        key = (str(entry.get("instance_id")), _perturbation(entry.get(_PERTURBATION)), entry.get("train_trial_index"))
        if not all(isinstance(part, kind) for part, kind in zip(key, (str, str, int), strict=True)):
            raise DataError(f"{path}: an entry without instance_id and train_trial_index; it is no file of HELM's")
        if perturbed or not key[1]:
            scored.setdefault((key[0], key[1], int(key[2] or 0)), {}).update(_means(entry.get("stats")))
            for stat in mappings(entry.get("stats"))[:1]:
                splits[key[0]] = str(mapping(stat.get("name")).get(_SPLIT))
    return scored, splits


def _means(stats: Any) -> Iterator[tuple[str, float]]:
    if isinstance(stats, Mapping):  # as helm-summarize writes them
        yield from ((str(name), value) for name, value in stats.items() if isinstance(value, int | float))
        return
    for stat in mappings(stats):
        if isinstance(stat.get("mean"), int | float):
            yield str(mapping(stat.get("name")).get("name")), stat["mean"]


def _declared(spec: Mapping[str, Any]) -> list[str]:
    """The metrics that a run names, in its order."""
    lists = [mapping(part.get("args")).get("names") for part in mappings(spec.get("metric_specs"))]
    return [name for names in lists if isinstance(names, list) for name in names if isinstance(name, str)]


def _asked(path: Path) -> tuple[dict[_Key, dict[str, Any]], dict[tuple[str, str, int], dict[str, Any]]]:
    """Fields of each instance, and what was answered in each replication, as far as they are known."""
    instances: dict[_Key, dict[str, Any]] = {}
    answers: dict[tuple[str, str, int], dict[str, Any]] = {}
    states = [file for name in _STATES if (file := path.with_name(name)).is_file()]
    listed = path.with_name(_INSTANCES)
    if path.name == _DISPLAYED or not states:
        for instance in _objects(read_json(listed), listed) if listed.is_file() else ():
            instances[_key(instance)] = _fields(instance)
        for entry in _objects(read_json(path), path) if path.name == _DISPLAYED else ():
            known = (str(entry.get("instance_id")), _perturbation(entry.get(_PERTURBATION)))
            text = entry.get("mapped_output") or entry.get("predicted_text")
            answers[(*known, _trial(entry))] = {"answer": text}
        return instances, answers
    requests = _objects(_mapping(states[0]).get("request_states"), states[0])
    same = len({frozenset(map(str, mapping(request.get("output_mapping")).values())) for request in requests}) == 1
    for request in requests:
        question = mapping(request.get("instance"))
        key = _key(question)
        instances[key] = _fields(question)
        # A choice that is asked by itself is no answer.
        if request.get("reference_index") is None:
            answers.setdefault((*key, _trial(request)), _answer(request, instances[key], by_text=same))
    return instances, answers


def _key(instance: Mapping[str, Any]) -> _Key:
    return str(instance.get("id")), _perturbation(instance.get(_PERTURBATION))


def _fields(instance: Mapping[str, Any]) -> dict[str, Any]:
    right = [
        mapping(reference.get("output")).get("text")
        for reference in mappings(instance.get("references"))
        if "correct" in (reference["tags"] if isinstance(reference.get("tags"), list) else ())
    ]
    names = (_SPLIT, "sub_split", "extra_data")
    fields = {name: instance[name] for name in names if instance.get(name) is not None}
    return fields | {"label": right[0] if len(right) == 1 else None, "digests": {"target": digest(right)}}


def _answer(request: Mapping[str, Any], known: Mapping[str, Any], *, by_text: bool) -> dict[str, Any]:
    """What was answered: the choice where all instances offer the same ones, else its letter; and what is right."""
    completions = mappings(mapping(request.get("result")).get("completions"))
    text = completions[0].get("text") if completions else None
    offered, right = mapping(request.get("output_mapping")), known["label"]
    if offered and isinstance(text, str):
        text = offered.get(text.strip(), text) if by_text else text.strip()
    if offered and not by_text:
        right = next((letter for letter, choice in offered.items() if choice == right), None)
    prompt = mapping(request.get("request")).get("prompt")
    digests = {**known["digests"], "prompt": digest(prompt) if prompt else None}
    return {"answer": text, "label": right, "offered": len(offered), "digests": digests}


def _chance(answer: Mapping[str, Any], metric: str) -> float | None:
    """What guessing a choice scores; None where nothing is chosen, or something else is measured."""
    return 1 / answer["offered"] if answer.get("offered") and metric in _RIGHT else None


def _trial(entry: Mapping[str, Any]) -> int:
    number = entry.get("train_trial_index")
    return number if isinstance(number, int) else 0


def _perturbation(known: Any) -> str:
    """A perturbation's name with its settings; empty where there is none."""
    if not isinstance(known, Mapping):
        return ""
    settings = {name: value for name, value in known.items() if name not in _PLAIN}
    return f"{known.get('name')}{f' {canonical(settings)}' if settings else ''}"


def _mapping(path: Path) -> Mapping[str, Any]:
    known = read_json(path)
    if not isinstance(known, dict):
        raise DataError(f"{path}: expected a mapping, as HELM writes it, got a {type(known).__name__}")
    return known


def _objects(known: Any, path: Path) -> Sequence[dict[str, Any]]:
    if not isinstance(known, list) or not all(isinstance(entry, dict) for entry in known):
        raise DataError(f"{path}: expected a list of objects, as HELM writes it")
    return known


READER = LogReader(recognises, read)
