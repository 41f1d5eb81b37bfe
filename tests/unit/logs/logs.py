"""Logs made up for tests: lm-eval's sample lines, as `--log_samples` writes them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaintune.records import Comparison

_ANSWERED = ("answers_", "verdict")
DATE = "2026-01-02T03-04-05.678901"


def sample(number: int, right: float, **fields: Any) -> dict[str, Any]:
    """One line of a sample log."""
    digest = f"{number:064x}"
    line = {
        "doc_id": number,
        "doc": {"question": "Who?", "category": "ab"[number % 2], "template": f"t{number // 2}"},
        "target": "0",
        "arguments": {"gen_args_0": {"arg_0": "Who?", "arg_1": " a"}},
        "resps": [[["-1.0", "False"]], [["-2.0", "False"]]],
        "filtered_resps": [["-1.0", "False"], ["-2.0", "False"]],
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": digest,
        "prompt_hash": digest,
        "target_hash": digest,
        "acc": right,
        "acc_norm": 1 - right,
    }
    return line | fields


def write(
    folder: Path, lines: Sequence[dict[str, Any]], *, task: str = "faith", version: Any = 1.0, shots: int | None = 0
) -> Path:
    """A folder as lm-eval leaves it; without results when `shots` is None."""
    inner = folder / "some__model"
    inner.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (inner / f"samples_{task}_{DATE}.jsonl").write_text(text, encoding="utf-8")
    if shots is not None:
        told = {"versions": {task: version}, "n-shot": {task: shots}}
        (inner / f"results_{DATE}.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def figures(found: Comparison) -> list[dict[str, Any]]:
    """The numbers of a comparison, without how examples were answered and what follows, which not every log tells."""
    known = found.to_dict()
    rows = [known["overall"], *known["groups"], *known["disparities"]]
    return [{name: value for name, value in row.items() if not name.startswith(_ANSWERED)} for row in rows]
