"""Studies on a Ray cluster while workers and drivers are killed, the disk fills, and the store goes away."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch

from chaintune.execution.run import run_plan
from chaintune.runs.session import RunOptions, Session, prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import tiny
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task
from tests.integration.conftest import STUDY, scores
from tests.programs import ray_started
from tests.unit.store import s3_server

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="Windows kills otherwise")]

PROGRAM = Path(__file__).with_name("ray_program.py")
TASKS = {name: make_task(name) for name in "abc"}
PLAN = make_plan(make_study("abc", chains="all orders"), TASKS)
KILLS = 100


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two cores of this machine, for one driver after another; its address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield ray_started().address_info["gcs_address"]
        ray.shutdown()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Scores of the study, run by one process that nobody disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    store = FolderStore(folder / "store")
    run_plan(PLAN, store=store, engine=DummyEngine(folder), out=None, tasks=TASKS)
    return stored(store)


class Site:
    """A folder with a store, and drivers that run the study there."""

    def __init__(self, folder: Path, cluster: str) -> None:
        self.folder, self.cluster = folder, cluster
        self.address = str(folder / "store")
        folder.mkdir(exist_ok=True)

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROGRAM), str(self.folder), self.address, self.cluster]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own file

    def finish(self) -> None:
        """Run until the end."""
        driver = self.start()
        _, said = driver.communicate(timeout=120)
        assert driver.returncode == 0, said

    def calls(self) -> list[tuple[str, int]]:
        """Keys of the nodes that were begun, in order, with the process."""
        with suppress(FileNotFoundError):
            lines = [line.split() for line in (self.folder / "calls").read_text().splitlines()]
            return [(key, int(process)) for key, process in lines]
        return []

    def wait_for_calls(self, count: int, driver: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 600
        while len(self.calls()) < count:
            assert driver.poll() is None, driver.communicate()[1]
            assert time.monotonic() < deadline, "no progress"
            time.sleep(0.005)

    @property
    def store(self) -> FolderStore:
        return FolderStore(self.folder / "store")

    def finished(self) -> set[str]:
        return {key for kind in ("stage", "score") for key in self.store.keys(kind)}


def stored(store: FolderStore) -> dict[str, bytes]:
    entries = {node.title: store.get("score", node.key) for node in PLAN.scores}
    return {title: (entry.path / "measurement.parquet").read_bytes() for title, entry in entries.items() if entry}


def hit(victim: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)


def wait_until_gone(processes: set[int], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while alive := [process for process in processes if psutil.pid_exists(process)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)


@pytest.fixture
def site(tmp_path: Path, cluster: str) -> Site:
    return Site(tmp_path, cluster)


def test_a_killed_driver_costs_what_was_in_flight(site: Site, reference: dict[str, bytes]) -> None:
    driver = site.start()
    site.wait_for_calls(10, driver)
    hit(driver.pid)
    driver.communicate()
    wait_until_gone({process for _, process in site.calls()}, seconds=60)
    finished = site.finished()
    assert 0 < len(finished) < len(PLAN.nodes)
    site.finish()
    assert stored(site.store) == reference
    assert len(site.calls()) <= len(PLAN.nodes) + 2


def test_a_killed_driver_takes_its_own_cluster_with_it(tmp_path: Path) -> None:
    """Ray's agents stay for about a minute."""
    site = Site(tmp_path, "")
    driver = site.start()
    site.wait_for_calls(3, driver)
    processes = {process.pid for process in psutil.Process(driver.pid).children(recursive=True)}
    processes |= {process for _, process in site.calls()}
    hit(driver.pid)
    driver.communicate()
    wait_until_gone(processes, seconds=120)


def test_two_runs_at_once_on_one_store_do_the_work_once(site: Site, reference: dict[str, bytes]) -> None:
    drivers = [site.start(), site.start()]
    errors = [driver.communicate(timeout=240)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], errors
    assert stored(site.store) == reference
    assert sorted(key for key, _ in site.calls()) == sorted(node.key for node in PLAN.nodes)


def test_a_full_disk_stops_the_run_in_one_sentence_and_the_next_goes_on(
    site: Site, reference: dict[str, bytes]
) -> None:
    driver = site.start()
    site.wait_for_calls(10, driver)
    (site.folder / "full").touch()
    _, said = driver.communicate(timeout=120)
    assert driver.returncode != 0
    assert "StoreError: disk full" in said
    (site.folder / "full").unlink()
    finished, begun = site.finished(), len(site.calls())
    site.finish()
    assert stored(site.store) == reference
    assert not finished & {key for key, _ in site.calls()[begun:]}
    # The other worker may have been ended in the middle of an entry; the next run swept what it left.
    assert list((site.folder / "store").rglob("*.partial")) == []


@pytest.mark.parametrize("kind", ["stage", "score"])
def test_a_corrupt_entry_is_made_again_and_nothing_else(kind: str, site: Site, reference: dict[str, bytes]) -> None:
    driver = site.start()
    site.wait_for_calls(30, driver)
    chosen = site.store.keys(kind)[0]
    entry = site.store.peek(kind, chosen)
    assert entry
    path = entry.path / ("weights" if kind == "stage" else "measurement.parquet")
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    driver.communicate(timeout=120)
    begun = len(site.calls())
    site.finish()
    assert stored(site.store) == reference
    again = Counter(key for key, _ in site.calls())
    assert {key for key, count in again.items() if count > 1} == {chosen}
    assert {key for key, _ in site.calls()[begun:]} <= {chosen}
    assert not site.store.damage(kind, chosen)


def test_a_store_that_is_away_for_ten_seconds_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server.running() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CHAINTUNE_CACHE", str(site.folder / "cache"))
        site.address = f"s3://{s3_server.BUCKET}/prefix"
        site.cluster = ""  # of its own, whose workers have the environment of the driver
        driver = site.start()
        site.wait_for_calls(10, driver)
        server.trouble = lambda _request: 503
        time.sleep(10)
        server.trouble = lambda _request: None
        _, said = driver.communicate(timeout=240)
        assert driver.returncode == 0, said
        assert Counter(key for key, _ in site.calls()).most_common(1)[0][1] == 1
        site.finish()
        assert len(site.calls()) == len(PLAN.nodes)


def test_at_random_points_nothing_that_was_finished_is_lost_or_computed_twice(
    tmp_path: Path, cluster: str, reference: dict[str, bytes]
) -> None:
    """A worker or the driver is killed; the next run completes."""
    again = 0
    for seed in range(KILLS):
        chance = random.Random(seed)  # noqa: S311 - no secret
        site = Site(tmp_path / str(seed), cluster)
        driver = site.start()
        site.wait_for_calls(chance.randrange(1, len(PLAN.nodes) - 2), driver)
        time.sleep(chance.uniform(0, 0.1))
        finished, begun = site.finished(), len(site.calls())
        hit(driver.pid if chance.random() < 0.5 else chance.choice(site.calls())[1])
        driver.communicate(timeout=120)
        site.finish()
        assert stored(site.store) == reference, seed
        assert not finished & {key for key, _ in site.calls()[begun:]}, seed
        assert len(site.calls()) <= len(PLAN.nodes) + 2, seed
        again += len(site.calls()) - len(PLAN.nodes)
    assert again > 0  # some of the kills met a node in flight


def smoke(folder: Path, store: Path) -> Session:
    """Forty stages of a two-layer model."""
    if not (folder / "model").exists():
        tiny.write_smoke(folder)
    data = [f"tasks.{name}.path={folder / name}.jsonl" for name in ("balls", "boxes")]
    more = ["recipe.epochs=0.5", f"vary.seed={list(range(5))}", "vary.recipe.learning_rate=[1e-3, 3e-3]"]
    return prepare(Study.from_yaml(STUDY, [f"base={folder / 'model'}", *data, *more]), FolderStore(store))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many as each worker has, for bits hang on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_forty_stages_on_two_workers_give_the_scores_of_one_process(cluster: str, tmp_path: Path) -> None:
    alone, spread = smoke(tmp_path, tmp_path / "alone"), smoke(tmp_path, tmp_path / "spread")
    assert len(alone.plan.stages) == 40
    assert alone.run(tmp_path / "out").outcome.complete
    outcome = spread.run(tmp_path / "out", RunOptions("ray")).outcome
    assert outcome.complete
    assert len(outcome.of("made")) == len(spread.plan.nodes)
    assert scores(spread) == scores(alone)
    assert weights(spread) == weights(alone)


def weights(session: Session) -> dict[str, bytes]:
    """Bytes of every checkpoint, by key."""
    entries = [session.store.get(node.kind, node.key) for node in session.plan.stages]
    return {entry.key: (entry.path / "model.safetensors").read_bytes() for entry in entries if entry}


def test_a_machine_that_is_lost_costs_what_it_computed(tmp_path: Path, reference: dict[str, bytes]) -> None:
    """Two nodes of Ray on this machine, of which one goes."""
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    other = machines.add_node(num_cpus=1)
    try:
        site = Site(tmp_path, machines.address)
        driver = site.start()
        deadline = time.monotonic() + 120
        while len({process for _, process in site.calls()}) < 2:  # both have begun something
            assert driver.poll() is None, driver.communicate()[1]
            assert time.monotonic() < deadline, "one machine does nothing"
            time.sleep(0.005)
        machines.remove_node(other, allow_graceful=False)
        _, said = driver.communicate(timeout=240)
        assert driver.returncode == 0, said
        assert stored(site.store) == reference
        assert len(site.calls()) <= len(PLAN.nodes) + 1
    finally:
        machines.shutdown()
