"""Logs made up for tests: Inspect's, as archives and as JSON."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What a summary has of its sample.
SUMMARISED = ("id", "epoch", "input", "choices", "target", "metadata", "scores")


def sample(number: int, scores: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """One sample with a short transcript; scores by scorer."""
    question = f"Who is number {number}?"
    known = {
        "id": f"q{number}",
        "epoch": 1,
        "input": question,
        "target": "a",
        "messages": [
            {"id": f"random{number}", "role": "user", "content": question},
            {"id": f"other{number}", "role": "assistant", "content": "b"},
        ],
        "scores": {name: {"value": value} for name, value in scores.items()},
        "metadata": {"group": "ab"[number % 2], "unit": f"t{number // 2}"},
    }
    return known | fields


def log(samples: Sequence[Any], **changes: Any) -> dict[str, Any]:
    """A whole log; `changes` are parts of its `eval` but for those of the log itself."""
    outer = {
        name: changes.pop(name)
        for name in ("status", "invalidated", "reductions", "plan", "results", "error")
        if name in changes
    }
    spec = {
        "created": "2026-01-02T03:04:05+00:00",
        "task": "who",
        "task_version": 1,
        "task_args": {"shots": 0},
        "dataset": {},
        "model": "mockllm/model",
        "config": {},
    }
    known = {"version": 2, "status": "success", "eval": spec | changes, "plan": {}, "stats": {}}
    return known | {"samples": list(samples)} | outer


def write(path: Path, told: Mapping[str, Any], *, summaries: bool = True) -> Path:
    """The log as JSON, or as the archive that the path's name asks for; old archives have no summaries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(told), encoding="utf-8")
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, part in enumerate(told["samples"]):
            archive.writestr(member(part) if summaries else f"samples/{number}.json", compact(part))
        if told.get("reductions"):
            archive.writestr("reductions.json", compact(told["reductions"]))
        if summaries:
            archive.writestr("summaries.json", compact([summary(part) for part in told["samples"]]))
        header = {name: value for name, value in told.items() if name not in ("samples", "reductions")}
        archive.writestr("header.json", compact(header))
    return path


def compact(told: Any) -> str:
    """JSON as Inspect writes it into archives."""
    return json.dumps(told, separators=(",", ":"), ensure_ascii=True)


def member(part: Any) -> str:
    """A sample's name in an archive."""
    told = part if isinstance(part, dict) else {}
    return f"samples/{str(told.get('id'))[:99]!r}_epoch_{str(told.get('epoch'))[:9]!r}.json".replace("'", "")


def summary(part: Any) -> Any:
    """What Inspect's summary of a sample holds, as far as it is read."""
    return {name: part[name] for name in SUMMARISED if name in part} if isinstance(part, dict) else part


def changed(path: Path, changes: Mapping[str, str | None]) -> Path:
    """The archive with other members in place of those that it has; None to leave one out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members | dict(changes)).items():
            if content is not None:
                archive.writestr(name, content)
    return path
