"""The rows that a command is handed: every field of an example, and the columns of TRL's trainers."""

import json
from pathlib import Path
from typing import Any

import pytest
from trl.data_utils import is_conversational

from chaintune.execution.external.rows import plain_row, write_examples
from chaintune.records import Choices, Example, Message, Preference, Reference

TURNS = (Message("user", "Why?"), Message("assistant", "", {"tool_calls": [{"name": "look"}]}), Message("tool", "So."))
PLAIN = [
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "look"}]},
    {"role": "tool", "content": "So."},
]


def answered(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]


ROWS: list[tuple[Any, Any, dict[str, Any]]] = [
    ("Why?", Choices((" so", " no"), 1), {"prompt": "Why?", "completion": " no", "answer": "no"}),
    ("Why?", Reference(" so"), {"prompt": "Why?", "completion": " so", "answer": "so"}),
    ("Why?", Preference(" so", " no"), {"prompt": "Why?", "chosen": " so", "rejected": " no"}),
    ("Why?", None, {"prompt": "Why?"}),
    ("", Choices(("He is.", "She is."), 0, ("stereotype", "anti_stereotype")), {"prompt": ""}),
    (TURNS, Choices(("so", "no"), 0), {"prompt": PLAIN, "completion": answered("so"), "answer": "so"}),
    (TURNS, Reference("so"), {"prompt": PLAIN, "completion": answered("so"), "answer": "so"}),
    (
        TURNS,
        Reference((Message("assistant", "so", {"name": "me"}),)),
        {"prompt": PLAIN, "completion": [{"role": "assistant", "content": "so", "name": "me"}], "answer": "so"},
    ),
    (TURNS, Preference("so", "no"), {"prompt": PLAIN, "chosen": answered("so"), "rejected": answered("no")}),
]


@pytest.mark.parametrize(("prompt", "target", "columns"), ROWS)
def test_a_row_has_the_columns_of_its_target(prompt: Any, target: Any, columns: dict[str, Any], tmp_path: Path) -> None:
    example = Example("1", prompt, target, {"group": ("x",)}, "c", extra={"source": "here"})
    row = plain_row(example)
    known = ("prompt", "completion", "answer", "chosen", "rejected")
    assert {name: value for name, value in row.items() if name in known} == columns
    assert {name: value for name, value in example.content().items() if name != "prompt"}.items() <= row.items()
    assert is_conversational(row) == (prompt == TURNS)
    (line,) = (write_examples([example], tmp_path / "data") / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == row
