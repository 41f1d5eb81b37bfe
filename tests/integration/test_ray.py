"""Studies on a Ray cluster of this machine: the smoke study with real models, and text whose workers are killed."""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import ClusterError, ConfigError, ModelError, StoreError
from chaintune.execution import engine_factory
from chaintune.execution import ray as ray_executor
from chaintune.execution.engine import LocalEngine
from chaintune.execution.engine_factory import EngineFactory
from chaintune.execution.ray import RAY, _last_line, connected
from chaintune.execution.run import run_plan
from chaintune.execution.status import read_status
from chaintune.runs.session import RunOptions, prepare
from chaintune.store.address import open_store
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import dummy_engine, tiny
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task
from tests.integration.conftest import STUDY, Smoke, checkpoints, outcome_of, scores
from tests.integration.test_external import SCRIPT, command
from tests.programs import Start, ray_started

ray = pytest.importorskip("ray")

# Each job takes both cores, so that one worker loads torch and not two.
BOTH_CORES = "recipe.cpus=2"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two cores of this machine; its address."""
    yield ray_started().address_info["gcs_address"]
    ray.shutdown()


def test_the_same_scores_as_one_process(cluster: str, smoke: Smoke, straight: dict[str, bytes], tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store", BOTH_CORES)
    found = session.run(tmp_path / "out", RunOptions("ray"))
    assert found.outcome.complete
    assert scores(session) == straight
    assert (tmp_path / "out" / "results.parquet").is_file()
    assert read_status(tmp_path / "out").state == "done"
    again = outcome_of(smoke.open(tmp_path / "store", BOTH_CORES), RunOptions("ray"))
    assert (len(again.of("made")), again.complete) == (0, True)


@pytest.mark.slow
def test_adapters_on_one_base_over_a_store_behind_a_url(
    cluster: str, smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINTUNE_CACHE", str(tmp_path / "cache"))
    lora = ["recipe.method=lora", "recipe.lora_rank=4", "recipe.epochs=0.5", "keep=none"]
    alone = smoke.open(tmp_path / "alone", *lora)
    assert alone.run(tmp_path / "out").outcome.complete
    study = Study.from_yaml(STUDY, [*smoke.places, *lora])
    session = prepare(study, open_store((tmp_path / "bucket").as_uri()))
    assert session.run(tmp_path / "out", RunOptions("ray")).outcome.complete
    assert scores(session) == scores(alone)
    assert checkpoints(session) == checkpoints(alone) == {}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a command is run by /bin/sh")
def test_stages_of_pairs_and_of_commands_are_those_of_one_process(cluster: str, smoke: Smoke, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Pair {number}: {pair.prompt}", "chosen": pair.answers[0], "rejected": pair.answers[1]}
        for number, pair in enumerate(tiny.pairs(48))
    ]
    (tmp_path / "prefs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "move.py").write_text(SCRIPT)
    balls = {"role": "capability", "path": str(smoke.folder / "balls.jsonl"), "train": 16, "test": 8}
    study = {
        "base": str(smoke.folder / "model"),
        "tasks": {"prefs": {"role": "safety", "path": "prefs.jsonl", "train": 16, "test": 12}, "balls": balls},
        "chains": [["prefs", command()]],
        "recipe": {"learning_rate": 5e-3, "batch_size": 8, "cpus": 2},
        "resamples": 100,
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    found = []
    for executor in ("local", "ray"):
        asked = Study.from_yaml(tmp_path / "study.yaml")
        session = prepare(asked, FolderStore(tmp_path / executor), trust_remote_code=True)
        outcome = session.run(tmp_path / f"out-{executor}", RunOptions(executor)).outcome
        assert outcome.complete, [result.cause for result in outcome.of("failed")]
        found.append(scores(session))
    assert found[0] == found[1]
    assert len(found[0]) == 7  # of three checkpoints on two tasks, and what the base gives the pairs


def test_an_address_where_nothing_is_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with (
        pytest.raises(ConfigError, match=r"--address 127\.0\.0\.1:1: no Ray cluster can be reached"),
        connected("127.0.0.1:1"),
    ):
        pass


def test_a_cluster_that_asks_for_a_token_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        cause = RuntimeError("RPC error: InvalidAuthToken: Authentication token is missing or incorrect.")
        raise ConnectionError("Failed to connect to Ray cluster at head:6379") from cause

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(ConfigError, match="asks for a token; set RAY_AUTH_MODE=token"), connected("auto"):
        pass


def test_a_cluster_of_another_version_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: object, **__: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.40.0\n    Python: 3.10.1")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    sentence = "has other versions; install the same on both sides .*Ray: 2.40.0 Python: 3.10.1"
    with pytest.raises(ConfigError, match=sentence), connected("auto"):
        pass


def test_without_ray_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'chaintune\[ray\]'"), connected():
        pass


def test_another_machine_needs_the_same_base(smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = smoke.open(tmp_path / "store")
    factory = EngineFactory.of(session.bases, session.precision)
    assert isinstance(factory(session.store), LocalEngine)
    (base,) = session.bases.values()
    os.utime(base.folder / "config.json", (1, 1))  # another file, for all that one sees from outside
    assert isinstance(factory(session.store), LocalEngine)
    monkeypatch.setattr(engine_factory, "open_base", lambda name, *_, **__: type(base)(name, "0" * 64, base.folder))
    with pytest.raises(ModelError, match="is not the model that the study was planned with"):
        factory(FolderStore(tmp_path / "other"))


def test_a_base_that_is_named_from_a_folder_is_the_same_from_any_other(
    smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers run in another folder than the command."""
    monkeypatch.chdir(smoke.folder)
    session = smoke.open(tmp_path / "store", "base=model")
    factory = EngineFactory.of(session.bases, session.precision)
    monkeypatch.chdir(tmp_path)
    assert factory(session.store).base_folder("model") == smoke.folder / "model"


def test_workers_that_see_another_store_say_so(cluster: str, smoke: Smoke) -> None:
    """What is in the memory of one process is not in that of another."""
    address = "memory://apart/store"
    session = prepare(Study.from_yaml(STUDY, smoke.places), open_store(address))
    with pytest.raises(StoreError, match=f"{address} on .* is not the store of this run; name one that every machine"):
        session.run(smoke.folder / "apart", RunOptions("ray", cluster))
    assert session.store.keys("sentinel") == []


TASKS = {name: make_task(name) for name in "ab"}
PLAN = make_plan(make_study("ab", keep="none"), TASKS)


class FragileEngine(DummyEngine):
    """Notes what it begins; its process is killed where FOLDER/kill-KIND-CHAIN is, which is removed once if asked."""

    def tune(self, **given: Any) -> Any:
        self._begin(f"tune-{'>'.join(given['node'].chain)}")
        return super().tune(**given)

    def score(self, **given: Any) -> Any:
        self._begin(f"score-{given['node'].title}")
        return super().score(**given)

    def _begin(self, title: str) -> None:
        folder = self.base.parent
        with (folder / "calls").open("a") as stream:
            stream.write(f"{title}\n")
        for trap in folder.glob(f"kill-*-{title}"):
            if trap.name.startswith("kill-once"):
                trap.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def text_cluster(cluster: str) -> Iterator[str]:
    """The cluster, sent what it needs of the tests, which are no installed package."""
    sent = [sys.modules[name] for name in (__name__, dummy_engine.__name__)]
    for module in sent:
        ray.cloudpickle.register_pickle_by_value(module)
    yield cluster
    for module in sent:
        ray.cloudpickle.unregister_pickle_by_value(module)


def stored(store: FolderStore) -> dict[str, bytes]:
    entries = {node.title: store.get("score", node.key) for node in PLAN.scores}
    return {title: (entry.path / "measurement.parquet").read_bytes() for title, entry in entries.items() if entry}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Scores of the text, computed by one process that nobody disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    run_plan(PLAN, store=FolderStore(folder / "store"), engine=DummyEngine(folder), out=None, tasks=TASKS)
    return stored(FolderStore(folder / "store"))


def run_text(folder: Path) -> Any:
    engine = FragileEngine(folder)
    return run_plan(
        PLAN, store=FolderStore(folder / "store"), engine=engine, out=folder / "out", tasks=TASKS, executor=RAY
    )


@pytest.mark.usefixtures("text_cluster")
@pytest.mark.parametrize("title", ["tune-a>b", pytest.param("score-b, seed 0 on a", marks=pytest.mark.slow)])
def test_a_job_whose_worker_is_killed_runs_again(title: str, reference: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / f"kill-once-{title}").touch()
    outcome = run_text(tmp_path)
    assert outcome.complete
    assert stored(FolderStore(tmp_path / "store")) == reference
    assert len(outcome.of("made")) == len(PLAN.nodes)
    calls = Counter((tmp_path / "calls").read_text().splitlines())
    assert calls.pop(title) == 2
    assert set(calls.values()) == {1}
    assert FolderStore(tmp_path / "store").keys("stage") == []


@pytest.mark.slow
@pytest.mark.usefixtures("text_cluster")
def test_a_job_that_costs_every_worker_its_life_fails_and_the_others_finish(tmp_path: Path) -> None:
    (tmp_path / "kill-always-tune-a").touch()
    outcome = run_text(tmp_path)
    (failed,) = outcome.of("failed")
    assert failed.node.chain == ("a",)
    assert failed.cause.startswith("its worker was lost 4 times; the last time: ")
    assert {result.node.title for result in outcome.of("skipped")} == {
        node.title for node in PLAN.nodes if node.chain[:1] == ("a",) and node is not failed.node
    }
    assert len(outcome.of("made")) == len(PLAN.nodes) - len(outcome.of("skipped")) - 1


@pytest.mark.usefixtures("text_cluster")
@pytest.mark.parametrize("gone", ["head", "machine"])
def test_a_cluster_that_is_gone_ends_the_run_with_a_sentence(
    gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself would wait for ever, or end the process with the code of a failed gate."""
    monkeypatch.setattr(ray_executor, "_SECONDS_OF_SILENCE", 0.0)
    if gone == "head":
        monkeypatch.setattr(ray_executor, "_is_reached", lambda _: False)
    else:
        monkeypatch.setattr(ray, "nodes", lambda nodes=ray.nodes: [node | {"Alive": False} for node in nodes()])
        monkeypatch.setattr(ray_executor, "_check_requests", lambda *_, **__: None)
    words = {"head": "the head of the Ray cluster at .* is gone", "machine": "Ray on this machine is gone"}
    with pytest.raises(ClusterError, match=f"{words[gone]}.*; what is finished is kept"):
        run_text(tmp_path)
    assert read_status(tmp_path / "out").state == "failed"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x1b[36mray::run()\x1b[39m\nTraceback (most recent call last):\n  File x\nKeyError: 'a'", "KeyError: 'a'"),
        ("The worker died unexpectedly.\n\tLogs are elsewhere.", "The worker died unexpectedly."),
        ("", "RuntimeError"),
    ],
)
def test_why_a_worker_is_gone_is_one_line(text: str, line: str) -> None:
    assert _last_line(RuntimeError(text)) == line


# Last, since Ray ends idle workers for those of another driver.
@pytest.mark.slow
def test_the_command_joins_a_cluster_and_says_what_failed(
    cluster: str, smoke: Smoke, start: Start, tmp_path: Path
) -> None:
    command = ["-m", "chaintune", "run", str(STUDY), "--executor", "ray", "--address", cluster, f"--set={BOTH_CORES}"]
    # Weights that overflow at the first step.
    diverging = ["tasks.boxes.recipe.learning_rate=9", "tasks.boxes.recipe.weight_decay=1e38", "recipe.epochs=0.5"]
    places = [f"--set={place}" for place in [*smoke.places, *diverging]]
    folders = ["--out", str(tmp_path / "out"), "--store", str(tmp_path / "store")]
    here = tmp_path / "here"
    here.mkdir()
    (here / "safetensors.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    process = start(*command, *places, *folders, folder=here, anew=True)
    assert process.wait() == 2, process.err
    journal = json.loads((tmp_path / "out" / "status.json").read_text())
    assert {found["title"] for found in journal["failed"]} == {"boxes, seed 0", "balls>boxes, seed 0"}
    assert {found["cause"] for found in journal["skipped"]} == {
        f"'{found['title']}' failed: {found['cause']}" for found in journal["failed"]
    }
    assert not (tmp_path / "ran").exists()  # no module of the current folder is imported
    assert journal["nodes"]["made"] == 5  # the base's scores, balls and its own
    assert journal["nodes"]["total"] == sum(journal["nodes"][kind] for kind in ("made", "failed", "skipped"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_command_that_is_asked_to_end_says_how_to_go_on(
    executor: str, smoke: Smoke, start: Start, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As SLURM and Kubernetes ask it."""
    folders = ["--out", str(tmp_path / "out"), "--store", str(tmp_path / "store")]
    where = []
    if executor == "ray":  # no cluster is started for the other
        where = ["--executor", "ray", "--address", request.getfixturevalue("cluster"), f"--set={BOTH_CORES}"]
    places = [f"--set={place}" for place in smoke.places]
    process = start("-m", "chaintune", "run", str(STUDY), *folders, *where, *places, anew=executor == "ray")
    journal = tmp_path / "out" / "status.json"
    process.wait_until(lambda: journal.exists() and json.loads(journal.read_text())["running"])
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 143, process.err
    assert process.err.splitlines()[-1] == "chaintune: interrupted; the same command goes on where it stopped"
    assert read_status(tmp_path / "out").state == "interrupted"
    if executor == "local":  # a worker is ended at once; the next run sweeps what it left
        assert not list((tmp_path / "store").rglob("*.partial"))
