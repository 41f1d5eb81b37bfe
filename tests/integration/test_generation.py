"""Texts through the command line: written, written a second time in another grouping, and killed in the middle."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from chaintune.execution.bases import BaseModel
from chaintune.execution.checkpoint_models import CheckpointModels
from chaintune.execution.compute import PART
from chaintune.models import load_reader
from chaintune.plan.nodes import MEASUREMENT_FILE
from chaintune.records import Measurement, ScorerRef, Scores, Task
from chaintune.runs.scoring import score_models
from chaintune.scoring.writing import end_tokens
from chaintune.store.folder import FolderStore
from chaintune.tasks import load
from tests import tiny
from tests.dummy_engine import make_plan, make_study
from tests.integration import writing_program
from tests.programs import Program, Start


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    """A model, and twenty prompts without a target."""
    tiny.write_model(tmp_path / "model")
    rows = [{"id": one.id, "prompt": one.prompt, "groups": one.groups} for one in tiny.numbered(tiny.examples(20))]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    keys = {
        "path": path,
        "max_new_tokens": 6,
        "train": "none",
        "test": "all",
        "scorer": "{contains: {any: [ball, red]}}",
    }
    sets = [word for key, value in keys.items() for word in ("--set", f"tasks.asked.{key}={value}")]
    return ["score", str(tmp_path / "model"), "--task", "asked", *sets]


def score(start: Start, asked: list[str], folder: Path, *, kept: int = 0) -> Program:
    where = ["--store", str(folder / "store"), "--out", str(folder / "scores.parquet")]
    return start(writing_program.__file__, str(kept), *asked, *where)


def batches(program: Program) -> list[str]:
    return [line for line in program.out.splitlines() if line.startswith("batch ")]


def measurement(folder: Path) -> Path:
    (path,) = (folder / "store").rglob(MEASUREMENT_FILE)
    return path


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that kills without warning")
def test_killed_in_the_middle_the_next_run_ends_with_the_same_bytes(
    start: Start, asked: list[str], tmp_path: Path
) -> None:
    straight = score(start, asked, tmp_path / "straight")
    assert straight.wait() == 0, straight.err
    every = batches(straight)
    # Five batches, and those of the second run, of which none is one of the first.
    assert len(set(every)) == len(every) > 5

    cut = score(start, asked, tmp_path / "cut", kept=3)
    assert cut.wait() == -signal.SIGKILL, cut.err
    assert batches(cut) == every[:3]
    assert not list((tmp_path / "cut" / "store").rglob(MEASUREMENT_FILE))

    resumed = score(start, asked, tmp_path / "cut")
    assert resumed.wait() == 0, resumed.err
    assert batches(resumed) == every[3:], "what was kept is not written again"
    assert measurement(tmp_path / "cut").read_bytes() == measurement(tmp_path / "straight").read_bytes()
    assert not list((tmp_path / "cut" / "store" / PART).glob("*/manifest.json"))


def test_a_base_writes_some_texts_twice_and_its_scores_say_what_changed(
    start: Start, asked: list[str], tmp_path: Path
) -> None:
    program = score(start, asked, tmp_path)
    assert program.wait() == 0, program.err
    table = Measurement.read(measurement(tmp_path)).table
    texts = {(row["example_id"], row["sample"]): row["text"] for row in table.to_pylist()}
    assert len(texts) == 40
    scores = Scores.read(tmp_path / "scores.parquet")
    rounding = json.loads(scores.provenance["rounding"])
    assert rounding["example_id"] == scores.example_ids
    same = [texts[name, 0] == texts[name, -1] for name in scores.example_ids]
    assert all(not changed for changed, alike in zip(rounding["changed"], same, strict=True) if alike)


def ending_at(folder: Path, ends: list[int]) -> None:
    """Have a model's texts end at other tokens."""
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": ends}))


def test_texts_are_written_anew_where_a_model_ends_them_otherwise(tmp_path: Path) -> None:
    model, store = tiny.write_model(tmp_path / "model"), FolderStore(tmp_path / "store")
    path = tiny.write_task(tmp_path / "balls.jsonl", count=40)
    how: dict[str, Any] = {"role": "safety", "path": path, "test": 8}
    generation = {"max_new_tokens": 6}
    texts = load("balls", measure="generation", generation=generation, scorers=[ScorerRef("refusal")], **how)
    chosen = load("balls", **how)

    def scored(task: Task) -> Scores:
        return score_models({"model": str(model)}, [task], store)["model"]["balls"]

    before, key = scored(texts), scored(chosen).provenance["scores_key"]
    assert scored(texts).provenance["scores_key"] == before.provenance["scores_key"]
    assert before.provenance["generation"] == texts.generation.to_json()
    ending_at(model, list(range(340)))
    after = scored(texts)
    assert after.provenance["scores_key"] != before.provenance["scores_key"]
    assert scored(chosen).provenance["scores_key"] == key  # what is not written does not end
    (tokens,) = (set(Measurement.read(path).table["tokens"].to_pylist()) for path in newest(store))
    assert tokens == {1}


def test_how_a_model_would_choose_tokens_is_said_and_has_no_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, store = tiny.write_model(tmp_path / "model"), FolderStore(tmp_path / "store")
    path = tiny.write_task(tmp_path / "balls.jsonl", count=40)
    how: dict[str, Any] = {"role": "safety", "path": path, "test": 4}
    writes = {"measure": "generation", "generation": {"max_new_tokens": 3}, "scorers": [ScorerRef("refusal")]}

    def scored(**more: Any) -> Scores:
        return score_models({"model": str(model)}, [load("balls", **how, **more)], store)["model"]["balls"]

    before = scored(**writes)
    assert "generation_config" not in caplog.text
    settings = model / "generation_config.json"
    own = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.1}
    settings.write_text(json.dumps(json.loads(settings.read_text()) | own))
    assert scored(**writes).provenance["scores_key"] == before.provenance["scores_key"]
    said = (
        "do_sample True, temperature 0.6, top_p 0.9, repetition_penalty 1.1, which has no part here: texts of 'balls'"
    )
    assert said in caplog.text
    caplog.clear()
    scored()
    assert "generation_config" not in caplog.text


def newest(store: FolderStore) -> list[Path]:
    """The measurement by texts that was made last."""
    paths = sorted(store.root.rglob(MEASUREMENT_FILE), key=lambda path: path.stat().st_mtime_ns)
    return [path for path in paths if Measurement.read(path).measure == "generation"][-1:]


def test_every_checkpoint_of_a_base_ends_texts_as_the_base_does(tmp_path: Path) -> None:
    base, trained = (tiny.write_model(tmp_path / name) for name in ("base", "trained"))
    ending_at(trained, [7])
    bases = {"tiny": BaseModel("tiny", "0" * 64, base)}
    models = CheckpointModels(bases, precision="fp32", stop_servers=lambda: None)
    node = make_plan(make_study("a")).stages[0]
    loaded = models.read(trained, None, node)
    assert end_tokens(loaded.model, loaded.tokenizer) == {2}
    assert load_reader(base).ends == (2,)
    assert load_reader(trained).ends == (2, 7)
    (base / "generation_config.json").unlink()
    assert load_reader(base).ends == (2,)
