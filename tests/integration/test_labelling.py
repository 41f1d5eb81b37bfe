"""A labelling task through a whole study of a two-layer model: answered by rote, learned, lost again, and told."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chaintune.cli import main
from chaintune.records import Scores
from chaintune.report.folder import read_results
from chaintune.report.words import summary
from chaintune.runs.session import prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import tiny

OWNERS = ("Ann", "Bob", "Cem", "Dia")
LABELS = [" blue", " dark green"]


def write(path: Path, *, learnable: bool, count: int = 160) -> Path:
    """Prompts that name an owner: three of four owners like dark green; without a rule every answer is dark green."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        owner = OWNERS[number % 4]
        gold = LABELS[0] if learnable and owner == "Ann" else LABELS[1]
        what = f"item {number}" if learnable else f"thing {number}"
        offered = LABELS if learnable else [LABELS[1], (" red", " black")[number % 2]]
        row = {
            "id": f"r{number:03}",
            "prompt": f"{owner} has {what}. Colour?",
            "choices": offered,
            "cluster": f"c{number // 8}",
        }
        rows.append(row | {"gold": offered.index(gold), "half": "ab"[number % 2]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelling")
    tiny.write_model(folder / "model")
    owners, rote = (str(write(folder / f"{name}.jsonl", learnable=name == "owners")) for name in ("owners", "rote"))
    columns = {"groups": {"half": "half"}}
    tasks = {
        "owners": {"role": "safety", "path": owners, "train": 48, "test": "8 per label", "columns": columns},
        "rote": {"role": "capability", "path": rote, "train": 48, "test": 24},
    }
    tasks["owners"] |= {"metric": ["auto", "accuracy"]}
    study = Study.from_mapping(
        {
            "base": str(folder / "model"),
            "tasks": tasks,
            "chains": [["owners", "rote"]],
            "recipe": {"method": "full", "learning_rate": 1e-2, "epochs": 6, "batch_size": 8},
            "precision": "fp32",
            "resamples": 400,
        },
        name="labelling",
    )
    assert prepare(study, FolderStore(folder / "store")).run(folder / "out").outcome.complete
    return folder


def rows(folder: Path, **where: Any) -> list[dict[str, Any]]:
    table = pl.read_parquet(folder / "out" / "results.parquet").filter(pl.col("task") == "owners")
    return table.filter(**where).to_dicts()


def test_what_was_learned_is_lost_and_told(folder: Path) -> None:
    levels = {
        row["chain"]: row for row in rows(folder, metric="accuracy", dimension="", item_metric="balanced_accuracy")
    }
    assert levels["owners"]["value"] > levels["owners>rote"]["value"]
    (lost,) = rows(folder, metric="forgetting", dimension="", item_metric="balanced_accuracy")
    assert (lost["verdict"], lost["deciding"]) == ("forgot", True)
    by_label = {row["group"]: row for row in rows(folder, metric="forgetting", dimension="label", deciding=True)}
    assert by_label["blue"]["verdict"] == "forgot"
    assert by_label["blue"]["value"] > by_label["dark green"]["value"]
    assert {row["item_metric"] for row in rows(folder, metric="forgetting", dimension="")} == {
        "balanced_accuracy", "accuracy", "auc", "scaled_margin",
    }  # fmt: skip
    scores = Scores.read(folder / "out" / "scores" / "owners-rote.seed0.on-owners.parquet")
    assert scores.metric.name == "balanced_accuracy"
    assert scores.dimensions == ("half", "label")
    assert set(scores.table["label"].to_pylist()) == {"blue", "dark green"}
    text = summary(read_results(folder / "out"))
    assert "owners>rote forgot owners" in text
    assert "Ranking of the labels by log-odds (AUC) lost +" in text
    assert "so it changed as well" in text


def test_a_base_that_answers_by_rote_passes_no_gate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = folder / "policy.yaml"
    policy.write_text("budgets:\n  - {task: owners, forgetting: 0.5}\n", encoding="utf-8")
    model, data = str(folder / "model"), f"tasks.owners.path={folder / 'owners.jsonl'}"
    arguments = [
        "audit",
        model,
        model,
        "--task",
        "owners",
        "--set",
        data,
        "--policy",
        str(policy),
        "--precision",
        "fp32",
    ]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--store", str(folder / "audited"), "--resamples", "200"])
    assert ended.value.code == 3
    printed = capsys.readouterr().out
    assert "not shown to be above chance" in printed
    assert "kept owners" not in printed
