"""Data of one's own through a whole study of a two-layer model: answers, pairs and texts, taught, measured, or both."""

import json
from typing import Any

import polars as pl
import pytest

from chaintune.runs.session import prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import tiny

COUNT = 24


def alpaca(k: int) -> dict[str, Any]:
    return {"instruction": f"Name colour {k}.", "input": "", "output": f"blue {k % 3}", "owner": "AB"[k % 2]}


def pair(k: int) -> dict[str, Any]:
    return {"prompt": f"Colour {k}?", "chosen": f"blue {k % 3}", "rejected": f"red {k % 5}"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    folder = tmp_path_factory.mktemp("own")
    tiny.write_model(folder / "model")
    for name, row in (("answers", alpaca), ("pairs", pair), ("texts", lambda k: {"text": f"The ball of Ann is {k}."})):
        lines = (json.dumps(row(k)) + "\n" for k in range(COUNT))
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    tasks: dict[str, Any] = {
        "answers": {"role": "capability", "train": 8, "test": "4 per owner", "columns": {"groups": {"owner": "owner"}}},
        "pairs": {"role": "safety", "train": "none", "test": 12},
        "texts": {"role": "capability", "test": "none"},
    }
    tasks = {name: keys | {"path": str(folder / f"{name}.jsonl")} for name, keys in tasks.items()}
    study = Study.from_mapping(
        {
            "base": str(folder / "model"),
            "tasks": tasks,
            "chains": [["answers", "texts"]],
            "recipe": {"method": "full", "learning_rate": 1e-3, "epochs": 1, "batch_size": 8},
            "precision": "fp32",
            "resamples": 200,
        },
        name="own",
    )
    session = prepare(study, FolderStore(folder / "store"))
    assert (len(session.tasks["texts"].train), len(session.tasks["pairs"].test)) == (COUNT, 12)
    assert session.run(folder / "out").outcome.complete
    return pl.read_parquet(folder / "out" / "results.parquet")


def test_what_is_measured_has_rows_in_its_unit_and_what_is_only_taught_has_none(results: pl.DataFrame) -> None:
    lost = results.filter(metric="forgetting", deciding=True, chain="answers>texts", group="")
    units = {row["task"]: row["unit"] for row in lost.to_dicts()}
    assert set(units) == {"answers", "pairs"}
    assert units["answers"] == "nats"
    assert "texts" not in set(results["task"])


def test_a_task_that_no_chain_teaches_is_counted_from_the_base(results: pl.DataFrame) -> None:
    lost = results.filter(metric="forgetting", task="pairs", chain="answers>texts", group="", deciding=True)
    assert lost["reference"].to_list() == ["base"]


def test_answers_have_groups_as_choices_have(results: pl.DataFrame) -> None:
    lost = results.filter(metric="forgetting", task="answers", chain="answers>texts", dimension="owner", deciding=True)
    assert sorted(lost["group"].to_list()) == ["A", "B"]
