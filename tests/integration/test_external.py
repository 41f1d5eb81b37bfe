"""Stages that other programs train: measured, trained on, replayed and reported as our own."""

import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from chaintune.errors import ConfigError, ModelError
from chaintune.execution.status import read_status
from chaintune.runs.session import Session, prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import tiny
from tests.integration.conftest import BRIEF, STUDY, Smoke, files_that_name_this_machine, scores
from tests.programs import Start

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
    session = smoke.open(tmp_path / "straight", "chains=[[balls]]", BRIEF)
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
    smoke: Smoke, brief: dict[str, bytes], straight_checkpoints: Path, tmp_path: Path
) -> None:
    chain = [{"external": {"path": "elsewhere", "task": "balls"}}, "boxes"]
    session = opened(smoke, tmp_path, [chain], BRIEF, mitigations=[{"replay": {"task": "balls", "dose": [0.5]}}])
    assert ran(session, tmp_path / "out") == []
    own = scores(session)
    for title in (title for title in brief if title.startswith(("base", "balls"))):
        assert answers(own[title]).equals(answers(brief[title])), title
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
    assert all((entries[name] / "model.safetensors").is_file() for name in ("theirs", "balls>theirs"))
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


def test_nothing_runs_that_was_not_allowed_or_only_planned(smoke: Smoke, tmp_path: Path) -> None:
    (tmp_path / "move.py").write_text(SCRIPT)
    chains = [[command(f"touch {tmp_path / 'ran'}; exit 1")]]
    session = opened(smoke, tmp_path, chains, trusted=False)
    with pytest.raises(ConfigError, match=r"stage 'balls': it is made by a command, .* which may do anything"):
        session.run(tmp_path / "out")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def of_another_vocabulary(folder: Path) -> None:
    tiny.make_model(vocabulary=360).save_pretrained(folder)
    tiny.make_tokenizer().save_pretrained(folder)


def of_another_tokenizer(folder: Path) -> None:
    tiny.make_model().save_pretrained(folder)
    tiny.make_tokenizer("sentencepiece").save_pretrained(folder)


def of_another_shape(folder: Path) -> None:
    shape: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    tiny.make_model(**shape).save_pretrained(folder)
    tiny.make_tokenizer().save_pretrained(folder)


def of_one_more_token(folder: Path) -> None:
    tokenizer = tiny.make_tokenizer()
    tokenizer.add_tokens(["<tool>"])
    tiny.make_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


PATHS: dict[str, tuple[Callable[[Path], object], str]] = {
    "embeddings": (of_another_vocabulary, "stage 'balls': its model has 360 embeddings and base 'model' 340"),
    "tokens": (of_another_tokenizer, "stage 'balls': its vocabulary differs from that of base 'model' in "),
    "a token": (of_one_more_token, "in 1 token ('<tool>'); every checkpoint of a chain is asked in the base's tokens"),
    "shape": (of_another_shape, "stage 'balls': its model is no checkpoint of base 'model': "),
    "nothing": (Path.mkdir, "elsewhere: config.json is missing"),
    "no folder": (lambda _: None, "elsewhere' is no folder"),
}


@pytest.mark.parametrize("path", PATHS)
def test_a_checkpoint_that_is_none_of_the_base_is_told_before_anything_runs(
    path: str, smoke: Smoke, tmp_path: Path
) -> None:
    write, sentence = PATHS[path]
    write(tmp_path / "elsewhere")
    with pytest.raises(ModelError) as caught:
        opened(smoke, tmp_path, [[{"external": {"path": "elsewhere", "task": "balls"}}]])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"files": ["other.py"]}, "stage 'balls': files names 'other.py', and there is no such file in "),
        ({"files": []}, "its command names 'move.py', which it does not declare and so would not find; add it to its "),
    ],
)
def test_files_that_a_command_would_not_find_are_told_before_anything_runs(
    keys: dict[str, Any], sentence: str, smoke: Smoke, tmp_path: Path
) -> None:
    (tmp_path / "move.py").write_text(SCRIPT)
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        opened(smoke, tmp_path, [[command(**keys)]])


def test_a_command_that_fails_is_told_with_its_log_and_other_chains_go_on(smoke: Smoke, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    of_another_vocabulary(tmp_path / "elsewhere")
    texts = {
        "status": "for n in 1 2 3 4 5 6 7; do echo line $n; done; exit 3",
        "signal": "kill -TERM $$",
        "empty": "true",
        "other": f'cp -r {tmp_path / "elsewhere"}/. "$CHAINTUNE_OUT"',
    }
    chains = [[{"external": {"command": text, "name": name}}] for name, text in texts.items()]
    session = opened(smoke, tmp_path, [*chains, ["balls"]], "recipe.epochs=1")
    outcome = session.run(tmp_path / "out").outcome
    causes = {result.node.chain[-1]: result.cause for result in outcome.of("failed")}
    lines = "line 3 | line 4 | line 5 | line 6 | line 7"
    left = "what its command left in CHAINTUNE_OUT is no checkpoint of the base: "
    assert causes.pop("status") == (
        f"stage 'status': its command ended with exit status 3; the last lines of its log: {lines}"
    )
    assert causes.pop("signal") in (
        "stage 'signal': its command was ended by SIGTERM; its log is empty",
        "stage 'signal': its command was ended by SIGTERM; the last lines of its log: Terminated",
    )
    assert causes.pop("empty").startswith(f"stage 'empty': {left}model folder CHAINTUNE_OUT: config.json is missing")
    assert causes.pop("other").startswith(f"stage 'other': {left}stage 'other': its model has 360 embeddings")
    assert not causes
    assert {node.node.title for node in outcome.of("made") if node.node.kind == "stage"} == {"balls, seed 0"}
    assert len(list((tmp_path / "store" / "stage").glob("[0-9a-f]*"))) == 1


def test_measurements_belong_to_what_a_command_made(smoke: Smoke, tmp_path: Path) -> None:
    (tmp_path / "move.py").write_text(SCRIPT)
    (tmp_path / "seed").write_text("0")
    chains = [[command(f'CHAINTUNE_SEED=$(cat {tmp_path / "seed"}) "$CHAINTUNE_PYTHON" move.py')]]
    assert ran(opened(smoke, tmp_path, chains, keep="none"), tmp_path / "out") == []
    more = opened(smoke, tmp_path, chains, "tasks.boxes.test=12", keep="none")
    assert ran(more, tmp_path / "out") == []  # made once more, the same
    (tmp_path / "seed").write_text("1")
    (cause,) = ran(opened(smoke, tmp_path, chains, "tasks.boxes.test=10", keep="none"), tmp_path / "out")
    assert cause.startswith("stage 'balls': its command made another model than the time before")


def test_a_command_ends_with_the_run_that_started_it(smoke: Smoke, start: Start, tmp_path: Path) -> None:
    """Also where the run is killed without warning; the next one begins it anew."""
    (tmp_path / "move.py").write_text(SCRIPT)
    pid, go = tmp_path / "pid", tmp_path / "go"
    waits = f"test -e {go} || {{ echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 600 & wait; }}"
    chains = [[command(f'{waits}; "$CHAINTUNE_PYTHON" move.py')]]
    session = opened(smoke, tmp_path, chains)
    arguments = [word for text in smoke.places for word in ("--set", text)]
    arguments += ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out"), "--trust-remote-code"]
    program = start("-m", "chaintune", "run", str(tmp_path / "study.yaml"), *arguments)
    program.wait_until(pid.exists)
    group = os.getpgid(int(pid.read_text()))
    assert read_status(tmp_path / "out").journal["running"][0]["title"] == "balls, seed 0"
    program.kill()
    while process_group_exists(group):
        time.sleep(0.01)
    assert list((tmp_path / "store").rglob("*.partial"))
    go.touch()
    session = opened(smoke, tmp_path, chains)
    assert ran(session, tmp_path / "out") == []
    assert not list((tmp_path / "store").rglob("*.partial"))


def process_group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
