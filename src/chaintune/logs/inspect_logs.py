"""Logs of Inspect, read by `inspect-ai` itself (extra `inspect`).

An example's score is its scorer's value, the mean over epochs unless the task names another reducer. An example that
ended in an error or that its scorer left unscored has none, as if it had not been asked.
"""

import math
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError
from chaintune.files.columns import columns_of
from chaintune.files.reading import parse_json, readable
from chaintune.files.rows import Row
from chaintune.logs.content import beginning, blocks, check_json, check_size
from chaintune.logs.details import CHANCE, explain
from chaintune.logs.facts import canonical, digest
from chaintune.logs.fields import Fields, scores_from_columns
from chaintune.logs.inspect_conditions import doubts_of, ending, facts_of
from chaintune.logs.inspect_scores import detail_of, scorer_of, scores_by_scorer, values_of, warn_of_unscored
from chaintune.logs.log import Log, of_finished_runs
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.records.examples import LABEL

# Most of a log, and nothing that is compared.
_TRANSCRIPT = {"attachments", "events", "events_data", "output", "store", "timelines"}
_PROMPTS = 500
# Begins what is no field of a sample, as no name of one does.
_DIGEST = "\0"
_NAMED = 5
_MOST_OF_AN_ERROR = 200
# What Inspect writes beside the logs of a folder.
_MANIFESTS = {"logs.json", "eval-set.json"}
# How a text of the metadata ends that a summary shortened, and what it leaves in the place of a large value.
_SHORTENED, _REMOVED = "...", "Key removed from summary"


def read(path: Path, options: ReadOptions) -> list[Log]:
    """The task of a log, or every task of a folder of logs.

    Raises:
        ConfigError: inspect-ai is not installed; a score or dimension that the log has not; several scores.
        DataError: a log cannot be read, or an example's score is no number.
    """
    files = _files(path) if path.is_dir() else [path]
    logs = [log for file in files if (log := _read_file(file, options))]
    if not logs:
        raise ConfigError(f"{path}: no log of task {', '.join(map(repr, options.tasks))} among {len(files)}")
    return logs


def recognises(path: Path) -> bool:
    """Whether a path is an archive, JSON that is no list, or a folder of these."""
    if path.is_dir():
        return any(path.rglob("*.eval")) or any(path.rglob("*.json"))
    return _is_archive(path) or (path.suffix.lower() == ".json" and beginning(path).startswith(b"{"))


def _files(folder: Path) -> list[Path]:
    """The logs of a folder: of a task that was tried again, those of runs that finished, where one did."""
    logs = sorted(file for kind in ("*.eval", "*.json") for file in folder.rglob(kind))
    files = [file for file in logs if file.name not in _MANIFESTS]
    if len(files) < 2:
        return files
    headers = [_header(file) for file in files]
    endings = (ending(log.status) for log in headers)
    return of_finished_runs(list(zip(files, (log.eval.task for log in headers), endings, strict=True)), folder)


def _header(path: Path) -> Any:
    """A log without its samples."""
    if not _is_archive(path):
        _check_mapping(path)
    return _call("read_eval_log", path, _outside_samples, header_only=True)


def _read_file(path: Path, options: ReadOptions) -> Log | None:
    """A log; None when its task is not among those of the options."""
    log = _header(path) if _is_archive(path) else _whole(path)
    if not options.wants(log.eval.task):
        return None
    summaries, prompts = _samples(path, log, options)
    if not any(map(scores_by_scorer, summaries)):
        whole = "score it by 'inspect score'" if summaries else "run it without --no-log-samples"
        why = "; ".join(_doubts(log, summaries)) or whole
        cause = f"; its error: {log.error.message.partition(chr(10))[0][:_MOST_OF_AN_ERROR]}" if log.error else ""
        raise DataError(f"{path}: {'no sample was scored' if summaries else 'holds no samples'}; {why}{cause}")
    return _log_of(log, summaries, prompts, options, str(path))


def _check_mapping(path: Path) -> None:
    """Refuse JSON that is no log of Inspect, before inspect-ai has to be installed for it."""
    if b'"eval"' in beginning(path):
        return
    known = parse_json(path.read_bytes(), str(path))
    if not isinstance(known, dict) or "eval" not in known:
        named = ", ".join(map(repr, list(known)[:_NAMED] if isinstance(known, dict) else ())) or "nothing"
        raise DataError(
            f"{path}: expected a log of Inspect, a mapping with 'eval', or a list of rows with id and score; "
            f"got a mapping with {named}"
        )


def _is_archive(path: Path) -> bool:
    """Whether a log has parts that can be read alone, as JSON has not."""
    return path.suffix.lower() == ".eval"


def _whole(path: Path) -> Any:
    if not _is_archive(path):
        _check_mapping(path)
    return _call("read_eval_log", path, exclude_fields=_TRANSCRIPT)


def _outside_samples(member: str) -> bool:
    return not member.startswith("samples/")


def _call(name: str, path: Path, reads: Callable[[str], bool] = bool, *args: Any, **options: Any) -> Any:
    """The result of one of inspect-ai's public readers; `reads` says which members of an archive it opens."""
    try:
        reader = getattr(import_module("inspect_ai.log"), name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            "logs of Inspect need inspect-ai; install it with: pip install 'chaintune[inspect]'"
        ) from error
    with readable(path):
        try:
            if _is_archive(path):
                _check_members(path, reads)
            else:
                check_json(path)
            return reader(str(path), *args, **options)
        except (DataError, OSError):
            raise
        except Exception as error:  # its parsers of zip, Zstandard and JSON each raise errors of their own
            message = " ".join(str(error).split())[:200] or type(error).__name__
            raise DataError(
                f"{path}: inspect-ai cannot read it, damaged, cut off or no log of Inspect ({message})"
            ) from error


def _check_members(path: Path, reads: Callable[[str], bool]) -> None:
    """Refuse an archive whose members hold more than is read; `zipfile` knows Zstandard once inspect-ai is imported."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in dict.fromkeys(archive.namelist()) if reads(name)]
        check_size((piece for name in names for piece in _member(archive, name)), path)


def _member(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    with archive.open(name) as member:
        yield from blocks(member)


def _samples(path: Path, log: Any, options: ReadOptions) -> tuple[Sequence[Any], dict[str, str]]:
    """A summary of each sample, with all the metadata that is read, and the prompts of some examples by id.

    Reading every sample of an archive takes fifteen times as long as reading its summaries.
    """
    if _is_archive(path):
        summaries = _call("read_eval_log_sample_summaries", path, _outside_samples)
        if summaries and not _any_shortened(summaries, options):
            drawn = _drawn(summaries)
            members = {f"samples/{name}_epoch_{epoch}.json" for name, epoch in drawn}
            by_id = "read_eval_log_samples_by_id"
            return summaries, _prompts(_call(by_id, path, members.__contains__, drawn, exclude_fields=_TRANSCRIPT))
        log = _whole(path)
    samples = log.samples or []
    summaries = [sample.summary().model_copy(update={"metadata": sample.metadata}) for sample in samples]
    chosen = set(_drawn(summaries))
    return summaries, _prompts([sample for sample in samples if (sample.id, sample.epoch) in chosen])


def _any_shortened(summaries: Sequence[Any], options: ReadOptions) -> bool:
    """Whether a summary may have shortened or left out some metadata that is read."""
    fields = _fields_of(options)
    paths = [path.split(".") for path in fields.paths]
    names = {path[1] for path in paths if len(path) > 1 and path[0] == "metadata"}
    return any(
        isinstance(text := summary.metadata.get(name), str) and (text.endswith(_SHORTENED) or text.startswith(_REMOVED))
        for summary in summaries
        for name in names
    )


def _drawn(summaries: Sequence[Any]) -> list[tuple[str | int, int]]:
    """Id and first epoch of some examples, of the same ones in every log."""
    first: dict[str, Any] = {}
    for summary in sorted(summaries, key=attrgetter("epoch")):
        first.setdefault(canonical(summary.id), summary)
    some = sorted(first.values(), key=lambda summary: zlib.crc32(str(summary.id).encode(errors="replace")))
    return [(summary.id, summary.epoch) for summary in some[:_PROMPTS]]


def _prompts(samples: Collection[Any]) -> dict[str, str]:
    return {canonical(sample.id): known for sample in samples if (known := _prompt_digest(sample.messages))}


def _log_of(log: Any, summaries: Sequence[Any], prompts: dict[str, str], options: ReadOptions, where: str) -> Log:
    scorer = scorer_of(
        map(scores_by_scorer, summaries), options.metric_of(log.eval.task) or options.columns.get("score"), where
    )
    values = values_of(log, summaries, scorer, where)
    scored = [key for key, value in values.items() if not (isinstance(value, float) and math.isnan(value))]
    warn_of_unscored(where, summaries, len(values) - len(scored), len(values))
    # Of several epochs the first one tells; choices that are shuffled differ between epochs.
    samples = {canonical(sample.id): sample for sample in sorted(summaries, key=attrgetter("epoch"), reverse=True)}
    rows = [
        _row(samples[key], {"score": values[key], **detail_of(samples[key], scorer)}, prompts.get(key), where)
        for key in scored
    ]
    names = tuple(name for name in rows[0].columns() if not name.startswith(_DIGEST)) if rows else ()
    fields = _fields_of(options)
    labelled = explain(*([row.values[name] for row in rows] for name in ("score", "target", "answer")))
    labels = {LABEL: "target"} if labelled else {}
    fields = replace(fields, known=names, details={**fields.details, **labels})
    scores, digests = scores_from_columns(columns_of(rows, fields.paths), fields, log.eval.task, where, metric=scorer)
    facts = facts_of(log.model_dump(include={"eval", "plan"}), scorer)
    return Log(scores, where, facts, digests, fields=names, doubts=_doubts(log, summaries))


def _doubts(log: Any, summaries: Sequence[Any]) -> tuple[str, ...]:
    header = log.model_dump(include={"status", "invalidated", "eval", "results"})
    return doubts_of(header, sum(not summary.error for summary in summaries))


def _row(summary: Any, scored: Mapping[str, Any], prompt: str | None, where: str) -> Row:
    digests = {**_question_digests(summary), "prompt": prompt}
    known = {f"{_DIGEST}{kind}": value for kind, value in digests.items()}
    return Row(f"{where}, sample '{summary.id}'", {**_sample_fields(summary), **scored, **known})


def _fields_of(options: ReadOptions) -> Fields:
    """The fields of a sample that are read; its score is no field of its own."""
    return Fields(
        id=options.called("id"),
        score="score",
        cluster=options.cluster or options.columns.get("cluster"),
        dimensions={dimension: options.called(dimension) for dimension in options.dimensions},
        digests={kind: f"{_DIGEST}{kind}" for kind in ("input", "target", "prompt")},
        details={name: name for name in ("answer", "outcome", CHANCE)},
        scale=options.scale,
    )


def _sample_fields(sample: Any) -> dict[str, Any]:
    """The fields of a sample or summary that may be named, but for the score.

    White space inside texts of the metadata counts as one space, as in the summaries that Inspect writes.
    """
    metadata = {
        name: " ".join(value.split()) if isinstance(value, str) else value for name, value in sample.metadata.items()
    }
    return {"id": sample.id, "target": sample.target, "metadata": metadata}


def _question_digests(summary: Any) -> dict[str, str]:
    """Digests of what an example asked, `input` with its choices and `target`, both as long as a summary has them."""
    question = summary.input if isinstance(summary.input, str) else _messages(summary.input)
    target = summary.target if isinstance(summary.target, list) else [summary.target]
    return {"input": digest([question, *(summary.choices or ())]), "target": digest(target)}


def _prompt_digest(messages: Sequence[Any]) -> str:
    """Digest of the messages before the model's first answer; empty when there are none."""
    prompt = []
    for message in messages:
        if message.role == "assistant":
            break
        prompt.append(message)
    return digest(_messages(prompt)) if prompt else ""


def _messages(messages: Sequence[Any]) -> list[Any]:
    """Role and content; the ids are drawn at random."""
    return [message.model_dump(mode="json", include={"role", "content"}) for message in messages]


READER = LogReader(recognises, read)
