"""Texts that were written before, judged by scorers that ask a model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import chaintune
from chaintune import tasks
from chaintune.cli import main
from chaintune.errors import ConfigError, DataError
from chaintune.execution.bases import open_base
from chaintune.records import Scores
from chaintune.store.folder import FolderStore
from tests import tiny

TEMPLATE = {"ask": "{prompt} {answer} Red?", "verdicts": {"yes": 1, "no": 0}, "direction": "less"}
ROWS: list[dict[str, Any]] = [
    {
        "id": item.id,
        "prompt": item.prompt_text,
        "text": f"It is{item.choices.gold_text}.",
        "owner": item.groups["owner"][0],
    }
    for item in tiny.numbered(tiny.examples(12))
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A judge and a classifier."""
    folder = tmp_path_factory.mktemp("judges")
    return tiny.write_model(folder / "judge", seed=5), tiny.write_classifier(folder / "classifier")


@pytest.fixture
def scorer(models: tuple[Path, Path]) -> dict[str, Any]:
    return {"judge": {"model": str(models[0]), "template": TEMPLATE, "least_mass": 0}}


def test_a_judge_is_asked_about_texts_of_any_program_and_once(scorer: dict[str, Any], tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    (scores,) = chaintune.rescore(ROWS, scorer, by="owner", store=store, precision="fp32")
    assert (scores.metric.name, scores.metric.direction, len(scores), scores.n_missing) == ("judge", "less", 12, 0)
    assert scores.dimensions == ("owner",)
    assert scores.table.column("texts").to_pylist()[0] == [ROWS[0]["text"]]
    before = store.keys("score")
    (again,) = chaintune.rescore(ROWS, scorer, by="owner", store=store, precision="fp32")
    assert again.table.equals(scores.table)
    assert store.keys("score") == before
    assert chaintune.compare(scores, again, by=["owner"], resamples=200).overall.forgetting.value == 0


def test_scores_of_equal_texts_tell_where_each_came_from(models: tuple[Path, Path], tmp_path: Path) -> None:
    classifier = {"classifier": {"model": str(models[1]), "label": 1}}
    told = []
    for name in ("before", "after"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        (scores,) = chaintune.rescore(path, classifier, store=tmp_path / "store")
        told.append((scores.provenance["model"], scores.provenance["judge"]))
    assert [Path(model).name for model, _ in told] == ["before.jsonl", "after.jsonl"]
    assert {judge for _, judge in told} == {models[1].name}


def test_a_classifier_reads_texts_alone_and_a_judge_needs_prompts(
    models: tuple[Path, Path], scorer: dict[str, Any], tmp_path: Path
) -> None:
    bare = [{"id": row["id"], "text": row["text"]} for row in ROWS]
    classifier = {"classifier": {"model": str(models[1]), "label": 1}}
    (scores,) = chaintune.rescore(bare, classifier, store=tmp_path / "store")
    assert (scores.metric.name, len(scores), scores.n_missing) == ("classifier", 12, 0)
    with pytest.raises(DataError, match=r"cannot judge 12 texts, such as .*, which has no prompt; --tasks FILE"):
        chaintune.rescore(bare, scorer, store=tmp_path / "store")


def test_the_same_texts_of_two_checkpoints_are_judged_once_and_each_keeps_its_own(
    scorer: dict[str, Any], tmp_path: Path
) -> None:
    store = FolderStore(tmp_path / "store")
    (scores,) = chaintune.rescore(ROWS, "refusal")
    keys = []
    for name in ("a", "b"):
        about = {"checkpoint": name, "model": name, "rounding": "{}", "judge": "other"}
        scores = replace(scores, provenance=about)
        scores.write(tmp_path / f"{name}.parquet")
        (judged,) = chaintune.rescore(tmp_path / f"{name}.parquet", scorer, store=store, precision="fp32")
        assert set(judged.provenance) == {"checkpoint", "model", "judge", "judge_key", "scores_key"}
        assert (judged.provenance["checkpoint"], judged.provenance["model"]) == (name, name)
        assert judged.provenance["judge"] != "other"
        keys.append(store.keys("score"))
    assert keys[0] == keys[1]


def test_no_model_judges_what_it_wrote(models: tuple[Path, Path], scorer: dict[str, Any], tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    wrote = open_base(str(models[0]), store).key
    (scores,) = chaintune.rescore(ROWS, "refusal")
    scores = replace(scores, provenance={**scores.provenance, "checkpoint": wrote})
    task = tasks.load(
        "items", rows=[{"id": row["id"], "prompt": row["prompt"]} for row in ROWS], role="safety", scorers="refusal"
    )
    with pytest.raises(ConfigError, match="which wrote these texts, and no model judges itself; name another judge"):
        chaintune.rescore(scores, scorer, tasks=task, store=store, precision="fp32")


def test_the_command_does_it_too(
    models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.csv").write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in ROWS))
    settings = ["--set", f"model={models[1]}", "--set", "label=1"]
    with pytest.raises(SystemExit) as ended:
        main(["rescore", "texts.csv", "--scorer", "classifier", *settings, "--out", "x.parquet", "--store", "store"])
    printed = capsys.readouterr()
    assert not ended.value.code, printed.err
    assert "wrote x.parquet" in printed.out
    assert Scores.read("x.parquet").metric.direction == "less"
