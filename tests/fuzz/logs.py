"""Logs, as each reader reads them, and tables."""

import csv
import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests import synthetic
from tests.fuzz.damage import damage
from tests.fuzz.driver import Case
from tests.unit.logs import (
    archives,
    logs,
    test_deepeval,
    test_every_eval_ever,
    test_helm,
    test_lighteval,
    test_openai_evals,
    test_opencompass,
    test_promptfoo,
)

_OPTIONS = ("", "", "--by kind", "--cluster template", "--on-missing intersect", "--force", "--format json")


def _right(number: int, side: str) -> int:
    return int(side == "before" or number % 3 > 0)


def _table(side: str) -> list[dict[str, Any]]:
    return [
        {"id": f"q{number}", "score": _right(number, side), "kind": "ab"[number % 2], "template": f"t{number // 2}"}
        for number in range(24)
    ]


def prepare(valid: Path) -> None:
    for side in ("before", "after"):
        folder = valid / side
        folder.mkdir()
        table = _table(side)
        (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
        (folder / "table.json").write_text(json.dumps(table))
        pq.write_table(pa.Table.from_pylist(table), folder / "table.parquet")
        with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
        logs.write(folder / "lm-eval", [logs.sample(number, _right(number, side)) for number in range(24)])
        told = archives.log([archives.sample(number, {"match": "IC"[_right(number, side)]}) for number in range(24)])
        archives.write(folder / "inspect.eval", told)
        archives.write(folder / "inspect.json", told)
        _harnesses(folder, [float(_right(number, side)) for number in range(24)])
        kinds = {"kind": ["ab"[number % 2] for number in range(24)]}
        right = [_right(number, side) for number in range(24)]
        synthetic.scores(right, groups=kinds).write(folder / "scores.parquet")


def _harnesses(folder: Path, right: list[float]) -> None:
    """Results of the other harnesses."""
    numbered = list(enumerate(right))
    test_helm.write(folder / "helm", right)
    test_every_eval_ever.write(folder / "eee", [test_every_eval_ever.sample(k, one) for k, one in numbered], [])
    test_lighteval.write(folder / "lighteval", [test_lighteval.today(k, one) for k, one in numbered])
    test_opencompass.write(folder / "opencompass", test_opencompass.replicas([[one == 1] * 2 for one in right]))
    test_promptfoo.write(folder / "promptfoo.json", [test_promptfoo.result(k, one) for k, one in numbered])
    cases = [test_deepeval.case(k, test_deepeval.metric("M", one)) for k, one in numbered]
    test_deepeval.write(folder / "deepeval.json", cases)
    events = [event for k, one in numbered for event in test_openai_evals.match(k, one == 1)]
    test_openai_evals.write(folder / "evals.jsonl", events)


def case(rng: Random, valid: Path) -> Case:
    name = rng.choice(sorted(path.name for path in (valid / "before").iterdir()))
    after = Path(name)
    if (valid / "after" / name).is_dir():
        shutil.copytree(valid / "after" / name, after)
    else:
        shutil.copy(valid / "after" / name, after)
    files = sorted(path for path in after.rglob("*") if path.is_file()) if after.is_dir() else [after]
    others = [path for path in (valid / "after").rglob("*") if path.is_file()]
    what = damage(rng, rng.choice(files), others)
    options = rng.choice(_OPTIONS).split()
    sides = [str(valid / "before" / name), name]
    if rng.random() < 0.3:
        sides.reverse()
    return Case(f"{what} with {' '.join(options) or 'no options'}", ["compare", *sides, *options, "--resamples", "200"])
