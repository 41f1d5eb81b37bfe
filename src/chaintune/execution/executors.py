"""What runs jobs: an executor takes those that can start, and reports what became of each."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from chaintune.execution.compute import MakeEngine
from chaintune.execution.events import Event, Result
from chaintune.plan.nodes import Node
from chaintune.plan.plan import Plan
from chaintune.records import Task
from chaintune.registry import Registry
from chaintune.store.store import Store


@dataclass(frozen=True, slots=True)
class Run:
    """What an executor has to know of a run.

    Attributes:
        plan: that is run.
        pending: its nodes that will be computed.
        tasks: name -> task.
        transient_keys: keys of the checkpoints that the run does not keep.
        store: where results lie and go.
        make_engine: builds what computes.
        tell: to be called at every start and at every progress of a node.
    """

    plan: Plan
    pending: Sequence[Node]
    tasks: Mapping[str, Task]
    transient_keys: frozenset[str]
    store: Store
    make_engine: MakeEngine
    tell: Callable[[Event], None]


class Workers(Protocol):
    """Where the jobs of one run are computed, each by `JobRunner.run`."""

    def room(self) -> int:
        """How many jobs may be submitted and not ended at a time."""
        ...

    def submit(self, job: Node) -> None:
        """Have a job run, everything that it reads being there."""
        ...

    def wait(self) -> Sequence[Sequence[Result]]:
        """For each job that has ended since the last call its results, its own last; none if none did for a while.

        Raises:
            ChaintuneError: the run cannot go on.
        """
        ...


Open = Callable[[Run, str | None], AbstractContextManager[Workers]]


@dataclass(frozen=True, slots=True)
class Executor:
    """An entry of the registry.

    Attributes:
        open: a run and an address -> its workers, which end with the context.
        takes_address: whether an address says where they are.
    """

    open: Open
    takes_address: bool = False


EXECUTORS = Registry(
    "executor",
    "chaintune.executors",
    Executor,
    {"local": "chaintune.execution.local:LOCAL", "ray": "chaintune.execution.ray:RAY"},
)
