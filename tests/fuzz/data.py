"""Data files of tasks."""

import csv
import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.damage import damage
from tests.fuzz.driver import Case

_FILES = ("items.jsonl", "items.json", "items.csv", "items.parquet", "parts.json")
_COLUMNS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"groups": {"kind": "kind"}, "cluster": "template"},
    {"groups": "kind", "split": "split"},
    {"choices": ["a", "b"], "gold": "answer"},
)


def rows() -> list[dict[str, Any]]:
    """Items with two choices, in two kinds, two of a template, with answers in columns of their own beside."""
    return [
        {
            "id": f"q{number}",
            "prompt": f"Is {number} odd?",
            "choices": [" yes", " no"],
            "gold": 1 - number % 2,
            "kind": "ab"[number % 2],
            "template": f"t{number // 2}",
            "split": "train" if number < 12 else "test",
            "a": " yes",
            "b": " no",
            "answer": "ba"[number % 2],
        }
        for number in range(24)
    ]


def prepare(valid: Path) -> None:
    lines = rows()
    (valid / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (valid / "items.json").write_text(json.dumps(lines))
    (valid / "parts.json").write_text(json.dumps({"train": lines[:12], "test": lines[12:]}))
    pq.write_table(pa.Table.from_pylist(lines), valid / "items.parquet")
    with (valid / "items.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(row | {"choices": json.dumps(row["choices"])} for row in lines)


def case(rng: Random, valid: Path) -> Case:
    name = rng.choice(_FILES)
    shutil.copy(valid / name, name)
    what = damage(rng, Path(name), [valid / other for other in _FILES])
    columns = rng.choice(_COLUMNS)

    options: dict[str, Any] = {"path": name, "test": rng.choice((None, 4)), "columns": columns}

    def load() -> object:
        from chaintune import tasks

        return tasks.load("mine", role="safety", **options)

    return Case(f"{what} with columns {columns}", load)
