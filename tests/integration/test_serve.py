"""Servers that are started for each checkpoint: a study, an audit through the command line, and a kill."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaintune.errors import ConfigError
from chaintune.plan.nodes import MEASUREMENT_FILE
from chaintune.records import Measurement
from chaintune.records.parity import PARITY
from chaintune.runs.session import Session, prepare
from chaintune.store.folder import FolderStore
from chaintune.study.serve import SERVED_NAME, SERVER_LOGS
from chaintune.study.study import Study
from tests import tiny
from tests.integration.conftest import Smoke
from tests.programs import Start
from tests.unit.execution.test_server import PROGRAM, pids_of, wait_until_gone

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "serve.md").read_text(encoding="utf-8")
(STUDY,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)

pytest.importorskip("openai")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="commands are run by a shell")


@pytest.fixture
def folder(smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page's study and what it names lie, and a `vllm` that writes nonsense."""
    (tmp_path / "model").symlink_to(smoke.folder / "model")
    (tmp_path / "mine.jsonl").symlink_to(smoke.folder / "balls.jsonl")
    rows = [{"id": one.id, "prompt": one.prompt} for one in tiny.numbered(tiny.examples(8))]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "vllm").write_text(f'#!/bin/sh\nexec {PROGRAM} "$@"\n', encoding="utf-8")
    (tmp_path / "bin" / "vllm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    return tmp_path


def session(folder: Path, serve: Any = ..., *, trusted: bool = True) -> Session:
    """The page's study made ready."""
    mapping = yaml.safe_load(STUDY) | ({} if serve is ... else {"serve": serve})
    (folder / "own.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    return prepare(Study.from_yaml(folder / "own.yaml"), FolderStore(folder / "store"), trust_remote_code=trusted)


def keys(ready: Session, measure: str) -> set[str]:
    return {node.key for node in ready.plan.scores if node.measure == measure}


def written(ready: Session) -> list[Measurement]:
    """The texts of the study's checkpoints."""
    nodes = [node for node in ready.plan.scores if node.measure == "generation"]
    entries = [ready.store.get(node.kind, node.key) for node in nodes]
    return [Measurement.read(entry.path / MEASUREMENT_FILE) for entry in entries if entry]


def test_each_checkpoint_of_the_pages_study_has_a_server_of_its_own(folder: Path) -> None:
    ready = session(folder)
    results = ready.run(folder / "out")
    assert results.outcome.complete, [result.cause for result in results.outcome.of("failed")]
    logs = sorted((folder / "out" / SERVER_LOGS).iterdir())
    assert [log.name.rpartition("-")[0] for log in logs] == ["base", "mine-seed-0"]
    adapters = [f" {SERVED_NAME}=" in log.read_text() for log in logs]
    assert adapters == [False, True], "the stage is an adapter on the base"
    wait_until_gone(*(pid for log in logs for pid in pids_of(log)))

    first, second = written(ready)
    assert first.table["text"].to_pylist()[0] != second.table["text"].to_pylist()[0]
    assert [one.provenance["backend"] for one in (first, second)] == ["openai", "openai"]
    assert first.provenance["serve"].startswith("vllm serve {model} --port {port} ")
    assert [PARITY in one.provenance for one in (first, second)] == [True, False], "the base is measured both ways"
    about = json.loads((folder / "out" / "provenance.json").read_bytes())
    (agreed,) = about[PARITY].values()
    assert (agreed["examples"], agreed["alike"]) == (8, 0), "nonsense"
    assert "give 0 greedy texts alike; log-probabilities differ by" in about["cautions"][PARITY]
    resolved = Study.from_yaml(folder / "out" / "study.resolved.yaml")
    assert resolved.serve == ready.study.serve
    assert resolved.serve is not None
    assert Path(resolved.serve.folder).resolve() == folder.resolve()

    serve = yaml.safe_load(STUDY)["serve"] | {"measures": ["choice", "generation"]}
    both, unserved = session(folder, serve), session(folder, None)
    assert keys(both, "generation") == keys(ready, "generation"), "what else is served is no part of a key"
    assert keys(unserved, "choice") == keys(ready, "choice") != keys(both, "choice")
    assert not keys(unserved, "generation") & keys(ready, "generation")


def test_no_server_is_started_that_nobody_trusts(folder: Path) -> None:
    ready = session(folder, f"touch {folder}/started; vllm serve {{model}} --port {{port}}", trusted=False)
    with pytest.raises(ConfigError, match="--trust-remote-code"):
        ready.run(folder / "out")
    assert not (folder / "started").exists()


@pytest.mark.slow
def test_a_server_that_ends_fails_what_asks_it_and_nothing_else(folder: Path) -> None:
    outcome = session(folder, "vllm serve {model} --port {port} --end-when-asked").run(folder / "out").outcome
    assert [result.node.title for result in outcome.of("failed")] == ["base on asked", "mine, seed 0 on asked"]
    (first, _) = outcome.of("failed")
    assert "ended with exit status 4; the last lines of its log: serving" in first.cause
    assert str(folder / "out" / SERVER_LOGS) in first.cause


def test_killed_without_warning_it_leaves_no_server(start: Start, folder: Path) -> None:
    hanging = folder / "hanging"
    command = [
        "-m",
        "chaintune",
        "run",
        str(folder / "study.yaml"),
        "--out",
        str(folder / "out"),
        "--trust-remote-code",
    ]
    serve = f"vllm serve {{model}} --port {{port}} --hang {hanging}"
    where = ["--out", str(folder / "out"), "--store", str(folder / "store"), "--set", f"serve={serve}"]
    program = start(*command, *where)
    program.wait_until(lambda: hanging.exists() and hanging.read_text())
    program.kill()
    wait_until_gone(*map(int, hanging.read_text().split()))
