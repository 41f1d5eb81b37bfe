"""SFT on answers, then DPO on pairs: scores in nats from the study file to the report, the card and the callback."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chaintune import ForgettingCallback
from chaintune.report.folder import write_report
from chaintune.runs.session import prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from chaintune.study.task_spec import load_spec
from tests import tiny
from tests.integration.test_pages import run
from tests.unit.callback.test_callback import Tracker, make_trainer


def write_rows(path: Path, columns: tuple[str, ...], count: int) -> str:
    lines = []
    for number, pair in enumerate(tiny.pairs(count)):
        values = (f"Note {number}: {pair.prompt}", *pair.answers)
        row = dict(zip(columns, values, strict=False)) | {"owner": pair.groups["owner"][0]}
        lines.append(json.dumps({"id": f"{number:03}"} | row) + "\n")
    path.write_text("".join(lines))
    return str(path)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("nats")
    groups, sizes = {"groups": {"owner": "owner"}}, {"train": 16, "test": 16}
    notes = write_rows(folder / "notes.jsonl", ("prompt", "response"), 48)
    prefs = write_rows(folder / "prefs.jsonl", ("prompt", "chosen", "rejected"), 48)
    tasks = {
        "notes": {"role": "capability", "path": notes, "columns": groups, "margin": "0.05 nats", **sizes},
        "prefs": {"role": "safety", "path": prefs, "columns": groups, "metric": ["difference", "preference"], **sizes},
    }
    recipe = {"learning_rate": 5e-3, "batch_size": 8}
    base = str(tiny.write_model(folder / "model"))
    named = {"base": base, "tasks": tasks, "chains": [["notes", "prefs"]], "recipe": recipe, "resamples": 200}
    return Study.from_mapping(named)


@pytest.fixture(scope="module")
def out(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    outcome = prepare(study, FolderStore(folder / "store")).run(folder / "out").outcome
    assert outcome.complete, [result.cause for result in outcome.of("failed")]
    return folder / "out"


def test_rows_are_in_nats_and_no_text_tells_them_in_points(out: Path) -> None:
    rows = pl.read_parquet(out / "results.parquet").filter(pl.col("task").is_in(["notes", "prefs"]))
    changes = rows.filter(pl.col("metric").is_in(["accuracy", "gain", "forgetting", "biased_forgetting"]))
    units = set(changes.select("task", "item_metric", "unit").rows())
    assert units == {("notes", "likelihood", "nats"), ("prefs", "difference", "nats"), ("prefs", "preference", "share")}
    lost = rows.filter((pl.col("task") == "notes") & (pl.col("metric") == "forgetting"))
    assert set(lost["group"]) == {"", *tiny.OWNERS}
    assert set(lost["margin"]) == {0.05}
    assert set(rows.filter(pl.col("metric").str.starts_with("power_"))["unit"]) <= {"share"}
    report = write_report(out)
    about = [line for line in report.splitlines() if "notes" in line and "preference" not in line]
    assert any(re.search(r"[+-]\d\.\d+ nats \(", line) for line in about)
    assert [line for line in about if re.search(r"\bpoints", line)] == []
    (scores,) = [part for part in report.split("## ") if part.startswith("Scores")]
    assert "perplexity in notes" in scores
    levels = rows.filter((pl.col("task") == "notes") & (pl.col("metric") == "accuracy") & (pl.col("group") == ""))
    assert all(value < 0 for value in levels["value"])


def test_the_card_tells_them_in_nats(out: Path) -> None:
    (line,) = [line for line in run(["card", str(out)]).splitlines() if line.startswith("| notes ")]
    assert re.search(r"-\d\.\d+ nats \(", line)
    assert "points" not in line


def test_the_callback_logs_them_in_nats(study: Study, tmp_path: Path) -> None:
    tasks: list[Any] = [load_spec(name, spec) for name, spec in study.tasks.items()]
    tracker = Tracker()
    trainer = make_trainer(tmp_path, tiny.make_model(), tracker, max_steps=2)
    watch = ForgettingCallback(tasks, every=2, resamples=100).attach(trainer)
    trainer.train()
    assert {name: one.unit for name, one in watch.comparisons.items()} == {"notes": "nats", "prefs": "nats"}
    start, end = (dict(told) for told in (tracker.told[0][1], tracker.told[-1][1]))
    assert start["likelihood/notes"] < 0
    assert end["forgetting/notes"] == watch.comparisons["notes"].overall.forgetting.value
