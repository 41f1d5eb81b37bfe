"""Servers that are started for each checkpoint: a study, an audit through the command line, and a kill."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import ConfigError
from chaintune.plan.nodes import MEASUREMENT_FILE
from chaintune.records import Measurement
from chaintune.records.parity import PARITY
from chaintune.runs.session import Session, prepare
from chaintune.store.folder import FolderStore
from chaintune.study.serve import SERVER_LOGS
from chaintune.study.study import Study
from tests import tiny
from tests.integration.conftest import Smoke
from tests.programs import Start
from tests.unit.execution.test_server import ADAPTERS, STAND_IN, pids_of, wait_until_gone

pytest.importorskip("openai")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="commands are run by a shell")


def session(smoke: Smoke, store: Path, serve: Any, *, trusted: bool = True) -> Session:
    """A study of one stage, whose checkpoints are asked for choices and for texts."""
    path = str(smoke.folder / "balls.jsonl")
    balls = {"role": "capability", "path": path, "train": 4, "test": 4}
    texts = {"contains": {"any": ["a", "b", "c", "0", "1"]}}
    asked = balls | {"train": "none", "measure": "generation", "scorer": texts, "max_new_tokens": 3}
    study = Study.from_mapping(
        {
            "base": str(smoke.folder / "model"),
            "tasks": {"balls": balls, "asked": asked},
            "chains": [["balls"]],
            "recipe": {"method": "lora", "epochs": 1},
            "serve": serve,
        }
    )
    return prepare(study, FolderStore(store), trust_remote_code=trusted)


def written(ready: Session) -> list[Measurement]:
    """The texts of the study's checkpoints."""
    nodes = [node for node in ready.plan.scores if node.measure == "generation"]
    entries = [ready.store.get(node.kind, node.key) for node in nodes]
    return [Measurement.read(entry.path / MEASUREMENT_FILE) for entry in entries if entry]


def test_each_checkpoint_of_a_study_has_a_server_of_its_own(smoke: Smoke, tmp_path: Path) -> None:
    serve = {"command": STAND_IN, "adapters": ADAPTERS}
    ready = session(smoke, tmp_path / "store", serve)
    results = ready.run(tmp_path / "out")
    assert results.outcome.complete, [result.cause for result in results.outcome.of("failed")]
    logs = sorted((tmp_path / "out" / SERVER_LOGS).iterdir())
    assert [log.name.rpartition("-")[0] for log in logs] == ["balls-seed-0", "base"]
    assert "checkpoint=" in "".join(log.read_text() for log in logs)
    wait_until_gone(*(pid for log in logs for pid in pids_of(log)))

    first, second = written(ready)
    assert first.table["text"].to_pylist()[:4] != second.table["text"].to_pylist()
    assert [one.provenance["backend"] for one in (first, second)] == ["openai", "openai"]
    assert first.provenance["serve"] == f"{STAND_IN} {ADAPTERS}"
    assert PARITY in first.provenance, "only the base is measured both ways"
    assert PARITY not in second.provenance
    about = json.loads((tmp_path / "out" / "provenance.json").read_bytes())
    (agreed,) = about[PARITY].values()
    assert (agreed["examples"], agreed["alike"]) == (4, 0), "nonsense"
    assert "give 0 greedy texts alike; log-probabilities differ by" in about["cautions"][PARITY]

    again = session(smoke, tmp_path / "store", {**serve, "measures": ["choice", "generation"]})
    theirs, ours = ({node.key for node in one.plan.scores if node.measure == "generation"} for one in (again, ready))
    assert theirs == ours, "which measures are served besides is no part of a key"
    unserved = session(smoke, tmp_path / "store", None)
    assert {node.key for node in unserved.plan.nodes} & {node.key for node in ready.plan.nodes} == {
        node.key for node in ready.plan.nodes if node not in ready.plan.scores or node.measure == "choice"
    }
    assert "serve" in (tmp_path / "out" / "study.resolved.yaml").read_text()


def test_no_server_is_started_that_nobody_trusts(smoke: Smoke, tmp_path: Path) -> None:
    ready = session(smoke, tmp_path / "store", f"touch {tmp_path}/started; {STAND_IN}", trusted=False)
    with pytest.raises(ConfigError, match="--trust-remote-code"):
        ready.run(tmp_path / "out")
    assert not (tmp_path / "started").exists()


def test_a_server_that_fails_fails_its_measurements_once_and_nothing_else(smoke: Smoke, tmp_path: Path) -> None:
    ready = session(smoke, tmp_path / "store", f"echo x >> {tmp_path}/starts; {STAND_IN} --end-when-asked")
    outcome = ready.run(tmp_path / "out").outcome
    assert sorted(result.node.measure for result in outcome.of("failed")) == ["generation", "generation"]
    (first, *_) = outcome.of("failed")
    assert "ended with exit status 4; the last lines of its log: serving" in first.cause
    assert str(tmp_path / "out" / SERVER_LOGS) in first.cause


def test_killed_without_warning_it_leaves_no_server(start: Start, smoke: Smoke, tmp_path: Path) -> None:
    rows = [{"id": one.id, "prompt": one.prompt} for one in tiny.numbered(tiny.examples(4))]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    keys = {"path": tmp_path / "asked.jsonl", "train": "none", "max_new_tokens": 3, "scorer": "{contains: {any: [a]}}"}
    sets = [word for key, value in keys.items() for word in ("--set", f"tasks.asked.{key}={value}")]
    asked = tmp_path / "asked"
    command = ["-m", "chaintune", "score", str(smoke.folder / "model"), "--task", "asked", *sets, "--trust-remote-code"]
    where = ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "scores.parquet")]
    program = start(*command, *where, "--serve", f"{STAND_IN} --hang {asked}")
    program.wait_until(lambda: asked.exists() and asked.read_text())
    program.kill()
    wait_until_gone(*map(int, asked.read_text().split()))
