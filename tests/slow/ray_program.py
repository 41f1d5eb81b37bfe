"""A program that runs a study of text on a Ray cluster, and notes what is computed where.

`python ray_program.py FOLDER STORE ADDRESS` runs with results in FOLDER/out. Each line of FOLDER/calls is the key of a
node and the process that begins to compute it. While FOLDER/full is there, the disk is full.
"""

import errno
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ray import cloudpickle

from chaintune.execution.ray.bench import Job
from chaintune.execution.ray.connection import connected
from chaintune.execution.ray.parallel import run_parallel
from chaintune.execution.ray.ray_crew import RayCrew
from chaintune.execution.state import RunOutcome, RunState
from chaintune.store.address import open_store
from chaintune.store.store import Store

NAP = 0.05


def by_path(name: str) -> ModuleType:
    """A module of the tests; workers get it by value, since they cannot import it."""
    path = Path(__file__).parents[1] / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module


dummy = by_path("dummy_engine")
TASKS = {name: dummy.make_task(name) for name in "abc"}
PLAN = dummy.make_plan(dummy.make_study("abc", chains="all orders"), TASKS)


class NotingEngine(dummy.DummyEngine):  # type: ignore[name-defined]
    """Notes each node before it is computed, and takes its time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def tune(self, **given: Any) -> Any:
        self.begin(given["node"].key)
        return super().tune(**given)

    def score(self, **given: Any) -> Any:
        self.begin(given["node"].key)
        return super().score(**given)

    def begin(self, key: str) -> None:
        with (self.folder / "calls").open("a") as stream:
            stream.write(f"{key} {os.getpid()}\n")
        time.sleep(NAP)
        if (self.folder / "full").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def opener(address: str) -> Callable[[], Store]:
    """Opens the store wherever it is called; the bucket and the cache are the same everywhere."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "CHAINTUNE_"))}

    def opened() -> Store:
        os.environ.update(environment)
        return open_store(address)

    return opened


def run(folder: Path, store: str, address: str, growth_seconds: float | None) -> RunOutcome:
    opened = opener(store)
    ledger = RunState.of(PLAN, opened(), PLAN.keep)
    job = Job.of(ledger, TASKS, open_store=opened, make_engine=lambda _store: NotingEngine(folder))
    with connected(address), RayCrew(job) as crew:
        return run_parallel(ledger, crew, out=folder / "out", first_pause=0.1, growth_seconds=growth_seconds)


if __name__ == "__main__":
    cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    folder, store, address, *growth = sys.argv[1:]
    found = run(Path(folder), store, address, float(growth[0]) if growth else None)
    sys.exit(0 if found.complete else 2)
