"""A program that runs a study of text on a Ray cluster, and notes what is computed where.

`python ray_program.py FOLDER STORE ADDRESS` runs with results in FOLDER/out; an empty ADDRESS is a cluster of its own.
Each line of FOLDER/calls is the key of a
node and the process that begins to compute it. While FOLDER/full is there, the disk is full.
"""

import errno
import importlib.util
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from ray import cloudpickle

from chaintune.execution.ray import RAY
from chaintune.execution.run import run_plan
from chaintune.execution.state import RunOutcome
from chaintune.store.address import open_store

NAP = 0.05


def by_path(name: str) -> ModuleType:
    """A module of the tests; workers get it by value, since they cannot import it."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / f"{name}.py")
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


def run(folder: Path, store: str, address: str) -> RunOutcome:
    engine, out = NotingEngine(folder), folder / "out"
    return run_plan(
        PLAN, store=open_store(store), engine=engine, tasks=TASKS, out=out, executor=RAY, address=address or None
    )


if __name__ == "__main__":
    cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    folder, store, address = sys.argv[1:]
    sys.exit(0 if run(Path(folder), store, address).complete else 2)
