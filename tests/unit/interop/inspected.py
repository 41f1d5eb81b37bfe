"""Logs made up for tests: Inspect's, as archives and as JSON."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


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
    outer = {name: changes.pop(name) for name in ("status", "invalidated", "reductions", "plan") if name in changes}
    spec = {
        "created": "2026-01-02T03:04:05+00:00",
        "task": "who",
        "task_version": 1,
        "task_args": {"shots": 0},
        "dataset": {},
        "model": "mockllm/model",
        "config": {},
    }
    return {"version": 2, "status": "success", "eval": spec | changes, "samples": list(samples)} | outer


def write(path: Path, told: Mapping[str, Any]) -> Path:
    """The log as JSON, or as the archive that the path's name asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(told), encoding="utf-8")
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, part in enumerate(told["samples"]):
            archive.writestr(f"samples/{number}.json", json.dumps(part))
        if told.get("reductions"):
            archive.writestr("reductions.json", json.dumps(told["reductions"]))
        header = {name: value for name, value in told.items() if name not in ("samples", "reductions")}
        archive.writestr("header.json", json.dumps(header))
    return path
