"""The smoke study on a Ray cluster of this machine, with real models."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaintune.errors import ConfigError, ModelError, StoreError
from chaintune.execution.engine import LocalEngine
from chaintune.execution.ray import elsewhere
from chaintune.execution.ray.connection import connected
from chaintune.execution.ray.elsewhere import EngineElsewhere
from chaintune.execution.status import read_status
from chaintune.runs.session import prepare
from chaintune.store.address import open_store
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests.integration.conftest import STUDY, Smoke, checkpoints, scores

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two cores of this machine; its address."""
    context = ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield context.address_info["gcs_address"]
    ray.shutdown()


def test_the_same_scores_as_one_process(cluster: str, smoke: Smoke, straight: dict[str, bytes], tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store")
    found = session.run(tmp_path / "out", executor="ray")
    assert found.outcome.complete
    assert scores(session) == straight
    assert (tmp_path / "out" / "results.parquet").is_file()
    assert read_status(tmp_path / "out").state == "done"
    again = smoke.open(tmp_path / "store").run(tmp_path / "again", executor="ray").outcome
    assert (len(again.of("made")), again.complete) == (0, True)


def test_adapters_on_one_base_over_a_store_behind_a_url(
    cluster: str, smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINTUNE_CACHE", str(tmp_path / "cache"))
    lora = ["recipe.method=lora", "recipe.lora_rank=4", "recipe.epochs=0.5", "keep=none"]
    alone = smoke.open(tmp_path / "alone", *lora)
    assert alone.run(tmp_path / "out").outcome.complete
    study = Study.from_yaml(STUDY, [*smoke.places, *lora])
    session = prepare(study, open_store((tmp_path / "bucket").as_uri()))
    assert session.run(tmp_path / "out", executor="ray").outcome.complete
    assert scores(session) == scores(alone)
    assert checkpoints(session) == checkpoints(alone) == {}


def test_the_command_joins_a_cluster_and_says_what_failed(cluster: str, smoke: Smoke, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chaintune", "run", str(STUDY), "--executor", "ray", "--address", cluster]
    # Weights that overflow at the first step.
    diverging = ["tasks.boxes.recipe.learning_rate=9", "tasks.boxes.recipe.weight_decay=1e38", "recipe.epochs=0.5"]
    places = [f"--set={place}" for place in [*smoke.places, *diverging]]
    folders = ["--out", str(tmp_path / "out"), "--store", str(tmp_path / "store")]
    done = subprocess.run([*command, *places, *folders], capture_output=True, text=True, check=False)  # noqa: S603
    journal = json.loads((tmp_path / "out" / "status.json").read_text())
    assert done.returncode == 2, done.stderr
    assert {found["title"] for found in journal["failed"]} == {"boxes, seed 0", "balls>boxes, seed 0"}
    assert {found["cause"] for found in journal["skipped"]} == {
        f"'{found['title']}' failed: {found['cause']}" for found in journal["failed"]
    }
    assert journal["nodes"]["made"] == 5  # the base's scores, balls and its own
    assert journal["nodes"]["total"] == sum(journal["nodes"][kind] for kind in ("made", "failed", "skipped"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_command_that_is_asked_to_end_says_how_to_go_on(
    executor: str, cluster: str, smoke: Smoke, tmp_path: Path
) -> None:
    """As SLURM and Kubernetes ask it."""
    folders = ["--out", str(tmp_path / "out"), "--store", str(tmp_path / "store")]
    where = ["--executor", "ray", "--address", cluster] if executor == "ray" else []
    command = [sys.executable, "-m", "chaintune", "run", str(STUDY), *folders, *where]
    process = subprocess.Popen([*command, *(f"--set={place}" for place in smoke.places)], stderr=subprocess.PIPE)  # noqa: S603
    journal = tmp_path / "out" / "status.json"
    while not (journal.exists() and json.loads(journal.read_text())["running"]):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert said.decode().splitlines()[-1] == "chaintune: interrupted; the same command goes on where it stopped"
    assert read_status(tmp_path / "out").state == "interrupted"
    if executor == "local":  # a worker is ended at once; the next run sweeps what it left
        assert not list((tmp_path / "store").rglob("*.partial"))


def test_an_address_where_nothing_is_says_so(tmp_path: Path) -> None:
    code = "from chaintune.execution.ray.connection import connected\nwith connected('127.0.0.1:1'): pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert "ConfigError: --address 127.0.0.1:1: no Ray cluster can be reached there" in done.stderr


def test_a_cluster_that_asks_for_a_token_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        cause = RuntimeError("RPC error: InvalidAuthToken: Authentication token is missing or incorrect.")
        raise ConnectionError("Failed to connect to Ray cluster at head:6379") from cause

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(ConfigError, match="asks for a token; set RAY_AUTH_MODE=token"), connected("auto"):
        pass


def test_what_is_about_ray_alone_is_refused_without_it(smoke: Smoke) -> None:
    for option in (["--address", "auto"], ["--autoscale", "15m"]):
        command = [sys.executable, "-m", "chaintune", "run", str(STUDY), *option]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
        assert (done.returncode, f"{option[0]} is about a Ray cluster; add --executor ray" in done.stderr) == (2, True)


def test_without_ray_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'chaintune\[ray\]'"), connected():
        pass


def test_another_machine_needs_the_same_base(smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = smoke.open(tmp_path / "store")
    engine = EngineElsewhere.of(session.bases, session.precision, trust_remote_code=False)
    assert isinstance(engine(session.store), LocalEngine)
    (base,) = session.bases.values()
    monkeypatch.setattr(elsewhere, "open_base", lambda name, _store: type(base)(name, "0" * 64, base.folder))
    with pytest.raises(ModelError, match="is not the model that the study was planned with"):
        engine(FolderStore(tmp_path / "other"))


def test_a_base_that_is_named_from_a_folder_is_the_same_from_any_other(
    smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers run in another folder than the command."""
    monkeypatch.chdir(smoke.folder)
    session = smoke.open(tmp_path / "store", "base=model")
    engine = EngineElsewhere.of(session.bases, session.precision, trust_remote_code=False)
    monkeypatch.chdir(tmp_path)
    assert engine(session.store).base_folder(session.study.bases[0]) == smoke.folder / "model"


def test_workers_that_see_another_store_say_so(cluster: str, smoke: Smoke) -> None:
    """What is in the memory of one process is not in that of another."""
    address = "memory://apart/store"
    session = prepare(Study.from_yaml(STUDY, smoke.places), open_store(address))
    with pytest.raises(StoreError, match=f"{address} on .* is not the store of this run; name one that every machine"):
        session.run(smoke.folder / "apart", executor="ray", address=cluster)
    assert session.store.keys("mark") == []
