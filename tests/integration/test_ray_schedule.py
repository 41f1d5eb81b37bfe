"""A schedule held against what it simulates: the same plan, of sleeps, on a Ray cluster of this machine."""

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from chaintune.execution.events import Event
from chaintune.execution.ray.bench import Job
from chaintune.execution.ray.connection import connected
from chaintune.execution.ray.described import read_cluster
from chaintune.execution.ray.parallel import News, run_parallel
from chaintune.execution.ray.pool import asks_of
from chaintune.execution.ray.ray_crew import RayCrew
from chaintune.execution.ray.schedule import critical_path, simulate
from chaintune.execution.state import RunState
from chaintune.plan.nodes import Node, StageNode
from chaintune.store.address import open_store
from chaintune.store.folder import FolderStore
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task

ray = pytest.importorskip("ray")

WORKERS = 3
TASKS = {name: make_task(name) for name in "abc"}
# Chains that share little, so that who comes first matters.
PLAN = make_plan(make_study("abc", chains=[["a", "b"], ["b", "a"], ["c", "a", "b"], ["a", "c"]]), TASKS)


def nap(when: str, what: str) -> float:
    """Seconds of a node, the same at every call: stages 0.5 to 1, scores 0.2 to 0.4."""
    length = 0.5 if when == "tune" else 0.2
    return length * random.Random(f"{when} {what}").uniform(1, 2)  # noqa: S311 - no secret


def planned(node: Node) -> float:
    return nap("tune" if isinstance(node, StageNode) else "score", ">".join(node.chain) or "base")


def sleeper(folder: Path, _store: FolderStore) -> DummyEngine:
    return DummyEngine(folder, hook=lambda when, what: time.sleep(nap(when, what)))


class AllAtOnce(RayCrew):
    """Workers of whom nobody is ready before all are: how long a process takes to start is not what is compared."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._ready: list[News] = []

    def news(self, seconds: float) -> Sequence[News]:
        found = super().news(seconds)
        if len(self._ready) == WORKERS:
            return found
        self._ready += found
        return self._ready if len(self._ready) == WORKERS else ()


class Watch:
    """When each node began and ended."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.took: dict[str, float] = {}

    def note(self, event: Event) -> None:
        if event.kind == "start":
            self.began[event.node.key] = time.monotonic()
        elif event.kind == "made":
            self.took[event.node.key] = time.monotonic() - self.began[event.node.key]

    def seconds(self, node: Node) -> float:
        return self.took[node.key]

    @property
    def makespan(self) -> float:
        return max(self.began[key] + took for key, took in self.took.items()) - min(self.began.values())


@pytest.fixture
def cluster() -> Iterator[None]:
    """So many logical cores; its workers are sent what they need of the tests, which are no installed package."""
    ray.init("local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="error")
    sent = [sys.modules[name] for name in (__name__, DummyEngine.__module__)]
    for module in sent:
        ray.cloudpickle.register_pickle_by_value(module)
    yield
    for module in sent:
        ray.cloudpickle.unregister_pickle_by_value(module)
    ray.shutdown()


def simulated(seconds: Callable[[Node], float]) -> float:
    placed = simulate(PLAN.nodes, read_cluster(f"{WORKERS} cpu"), seconds=seconds, ask=asks_of(PLAN, any_gpu=False))
    return max(one.end_seconds for one in placed)


def test_a_run_takes_what_was_simulated(cluster: None, tmp_path: Path) -> None:
    store, watch = FolderStore(tmp_path / "store"), Watch()
    ledger = RunState.of(PLAN, store, "all")
    job = Job.of(
        ledger,
        TASKS,
        open_store=partial(open_store, store.address),
        make_engine=partial(sleeper, tmp_path / "engine"),
    )
    with connected(), AllAtOnce(job) as crew:
        outcome = run_parallel(ledger, crew, out=None, on_event=watch.note)
    assert outcome.complete
    assert watch.took.keys() == {node.key for node in PLAN.nodes}

    alone = simulated(planned)
    # With what each node took in that run, the store and Ray included, the order alone is compared.
    assert simulated(watch.seconds) == pytest.approx(watch.makespan, rel=0.1)
    # With the sleeps, and for each node what the store and Ray took in the mean, one number is taken from the run.
    more = sum(watch.took[node.key] - planned(node) for node in PLAN.nodes) / len(PLAN.nodes)
    assert simulated(lambda node: planned(node) + more) == pytest.approx(watch.makespan, rel=0.25)
    assert watch.makespan > 0.97 * alone
    # Not by chance: one worker would take more than twice as long, and the longest path is far shorter.
    assert sum(map(planned, PLAN.nodes)) > 2 * alone
    assert sum(map(planned, critical_path(PLAN.nodes, planned))) < 0.8 * alone
