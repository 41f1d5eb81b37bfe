"""A worker's side of a run in parallel: one node after another, from the store and into it."""

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from chaintune.errors import StoreError
from chaintune.execution.compute import FAILURES, Engine, NodeRunner, NotNeededError
from chaintune.execution.events import Progress
from chaintune.execution.hardware import of_a_worker
from chaintune.execution.pending import PendingWork
from chaintune.execution.ray.pool import asks_of
from chaintune.execution.state import RunState
from chaintune.plan.nodes import Node, StageNode
from chaintune.plan.plan import Plan
from chaintune.records import Task
from chaintune.store.store import Store

MARK = "mark"  # kind of the entry by which workers tell the run's store from another


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker of a run has to know.

    Attributes:
        plan: that is run.
        tasks: name -> task.
        transient_keys: keys of the checkpoints that the run does not keep.
        open_store: opens the store that all share.
        make_engine: builds what computes, on the worker's machine.
        mark: key of an entry that tells the store from any other; empty where all workers are in this process.
    """

    plan: Plan
    tasks: Mapping[str, Task]
    transient_keys: frozenset[str]
    open_store: Callable[[], Store]
    make_engine: Callable[[Store], Engine]
    mark: str = ""

    @classmethod
    def of(
        cls,
        ledger: RunState,
        tasks: Mapping[str, Task],
        *,
        open_store: Callable[[], Store],
        make_engine: Callable[[Store], Engine],
        mark: str = "",
    ) -> "Job":
        """The job of a run."""
        return cls(ledger.plan, tasks, ledger.transient_keys, open_store, make_engine, mark)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a node on a worker.

    Attributes:
        kind: `made`; `reused`, because another process made it or everything that needs it; `failed`; `missing`.
        cause: with `failed`.
        missing: with `missing`: key of the checkpoint or the scores that the store no longer has.
    """

    kind: Literal["made", "reused", "failed", "missing"]
    cause: str = ""
    missing: str = ""


class _MissingError(Exception):
    """The store lacks what a node reads."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Bench:
    """Computes nodes, and keeps the last model in memory; `progress` may be asked from another thread meanwhile."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._lock = threading.Lock()
        self._progress: Progress | None = None

    def prepare(self) -> str:
        """Open the store and build the engine; the version of chaintune that the worker has.

        Raises:
            ModelError: a base cannot be had on this machine.
            StoreError: the store cannot be opened, or is another one than that of the run.
        """
        job, self._store = self._job, self._job.open_store()
        if job.mark and not self._store.has(MARK, job.mark):
            raise StoreError(
                f"{self._store.address} on {socket.gethostname()} is not the store of this run; "
                "name one that every machine sees with --store, a shared folder or a URL"
            )
        engine = job.make_engine(self._store)
        self._making = NodeRunner.of(
            job.plan, engine=engine, store=self._store, tasks=job.tasks, transient_keys=job.transient_keys
        )
        self._ask = asks_of(job.plan, any_gpu=True)
        return version("chaintune")

    def compute(self, node: Node, *, forced: bool = False) -> Answer:
        """Make a node's entry in the store, if it is not there.

        Args:
            node: whose inputs are in the store, as far as anybody knows.
            forced: make a checkpoint even if nothing that is missing needs it.
        """

        def make(out: Path) -> dict[str, Any]:
            if isinstance(node, StageNode) and not forced and not PendingWork(self._job.plan, self._store).stage(node):
                raise NotNeededError
            notes, asked = self._making.compute(node, out, folder=self._folder, report=self._note), self._ask(node)
            return notes | of_a_worker(notes, cpus=asked.cpus, gpus=asked.gpus)

        try:
            entry = self._store.get_or_make(node.kind, node.key, make)
        except FAILURES as error:
            return Answer("failed", cause=str(error))
        except _MissingError as error:
            return Answer("missing", missing=error.key)
        except NotNeededError:
            return Answer("reused")
        return Answer("made" if entry.made else "reused")

    def progress(self) -> Progress | None:
        """The latest word on the node at work; None when there is no new one."""
        with self._lock:
            found, self._progress = self._progress, None
        return found

    def _folder(self, kind: Literal["stage", "score"], key: str) -> Path:
        entry = self._store.get(kind, key)
        if entry is None:
            raise _MissingError(key)
        return entry.path

    def _note(self, progress: Progress) -> None:
        with self._lock:
            self._progress = progress
