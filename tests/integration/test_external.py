"""Stages that other programs train: measured, trained on, replayed and reported as our own."""

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from chaintune.runs.session import Session, prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import tiny
from tests.integration.conftest import STUDY, Smoke, files_that_name_this_machine, scores

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a command is run by /bin/sh")

# Moves every weight by what the seed says, and leaves word of what it was handed.
SCRIPT = """
import json, os, pathlib, sys
from safetensors.numpy import load_file, save_file
import shutil

parent, out = (pathlib.Path(os.environ["CHAINTUNE_" + name]) for name in ("PARENT", "OUT"))
rows = [json.loads(line) for line in (pathlib.Path(os.environ["CHAINTUNE_DATA"]) / "train.jsonl").open()]
shutil.copy(parent / "config.json", out)
weights = load_file(parent / "model.safetensors")
step = 0.01 * (1 + int(os.environ["CHAINTUNE_SEED"]))
save_file({name: weight + step for name, weight in weights.items()}, out / "model.safetensors", {"format": "pt"})
print("read", len(rows), sorted(rows[0]), "beside", sorted(os.listdir()))
"""


@pytest.fixture
def straight_checkpoints(smoke: Smoke, tmp_path: Path) -> Path:
    """Folder of the checkpoint `balls` of the smoke study."""
    session = smoke.open(tmp_path / "straight", "chains=[[balls]]")
    session.run(tmp_path / "straight-out")
    (node,) = session.plan.stages
    entry = session.store.get("stage", node.key)
    assert entry is not None
    return Path(shutil.copytree(entry.path, tmp_path / "elsewhere"))


def opened(smoke: Smoke, folder: Path, chains: Any, *overrides: str, trusted: bool = True, **keys: Any) -> Session:
    """The smoke study with other chains, its file in `folder`."""
    written = yaml.safe_load(STUDY.read_text(encoding="utf-8")) | {"chains": chains} | keys
    (folder / "study.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    study = Study.from_yaml(folder / "study.yaml", [*smoke.places, *overrides])
    return prepare(study, FolderStore(folder / "store"), trust_remote_code=trusted)


def answers(measurement: bytes) -> pl.DataFrame:
    """What was recorded, apart from the checkpoint's key."""
    return pl.read_parquet(io.BytesIO(measurement))


def command(text: str = '"$CHAINTUNE_PYTHON" move.py', **keys: Any) -> dict[str, Any]:
    return {"external": {"command": text, "task": "balls", "files": ["move.py"], **keys}}


def ran(session: Session, out: Path) -> list[str]:
    """The causes of what failed when a study was run."""
    outcome = session.run(out).outcome
    return [result.cause for result in outcome.of("failed")]


def test_a_checkpoint_made_elsewhere_is_measured_and_trained_on_as_our_own(
    smoke: Smoke, straight: dict[str, bytes], straight_checkpoints: Path, tmp_path: Path
) -> None:
    chain = [{"external": {"path": "elsewhere", "task": "balls"}}, "boxes"]
    session = opened(smoke, tmp_path, [chain], mitigations=[{"replay": {"task": "balls", "dose": [0.5]}}])
    assert ran(session, tmp_path / "out") == []
    own = scores(session)
    for title in (title for title in straight if title.startswith(("base", "balls"))):
        assert answers(own[title]).equals(answers(straight[title])), title
    assert {">".join(node.chain) for node in session.plan.stages} == {
        "balls",
        "balls>boxes",
        "balls>boxes>balls@50%",
    }
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert [row["task"] for row in rows if row["metric"] == "recovery"] == ["balls"]
    (stage,) = Study.from_yaml(tmp_path / "out" / "study.resolved.yaml").external
    assert Path(stage.path).resolve() == straight_checkpoints
    shutil.rmtree(tmp_path / "straight")
    assert files_that_name_this_machine(tmp_path / "out") == []


def test_an_adapter_made_elsewhere_lies_on_its_parent(smoke: Smoke, tmp_path: Path) -> None:
    tiny.write_adapter(tmp_path / "adapter", smoke.folder / "model")
    stage = {"external": {"path": "adapter", "name": "theirs"}}
    session = opened(smoke, tmp_path, [[stage], ["balls", stage, "boxes"]], "recipe.epochs=1")
    assert ran(session, tmp_path / "out") == []
    entries = {
        ">".join(node.chain): entry.path
        for node in session.plan.stages
        if (entry := session.store.get("stage", node.key))
    }
    assert (entries["theirs"] / "adapter_config.json").is_file()
    assert (entries["balls>theirs"] / "model.safetensors").is_file()
    own = scores(session)
    assert not answers(own["theirs on balls"]).equals(answers(own["base on balls"]))


def test_what_a_command_makes_is_kept_with_its_log(smoke: Smoke, tmp_path: Path) -> None:
    (tmp_path / "move.py").write_text(SCRIPT)
    session = opened(smoke, tmp_path, [[command(), "boxes"]], "recipe.epochs=1", vary={"seed": [0, 1]})
    assert ran(session, tmp_path / "out") == []
    made = [node for node in session.plan.stages if node.chain == ("balls",)]
    entries = [entry for node in made if (entry := session.store.get("stage", node.key))]
    assert len(made) == len(entries) == 2
    assert len({entry.info["output"] for entry in entries}) == 2
    for entry in entries:
        assert entry.info["exit_status"] == 0
        assert len(entry.info["environment"]) == 64
        log = (entry.path / "command.log").read_text()
        assert log.startswith("read 32 ['answer', 'cluster', 'completion', 'groups', 'id', 'prompt', 'target'] beside")
        assert log.endswith("beside ['move.py']\n")
    assert not list((tmp_path / "store").rglob("*.partial"))
    assert (
        ran(opened(smoke, tmp_path, [[command(), "boxes"]], "recipe.epochs=1", vary={"seed": [0, 1]}), tmp_path) == []
    )
    changed = opened(smoke, tmp_path, [[command('"$CHAINTUNE_PYTHON" move.py # again')]])
    assert {node.key for node in changed.plan.stages}.isdisjoint(node.key for node in session.plan.stages)
    (tmp_path / "move.py").write_text(SCRIPT + "\n")
    assert opened(smoke, tmp_path, [[command()]]).plan.stages[0].key not in {node.key for node in session.plan.stages}
