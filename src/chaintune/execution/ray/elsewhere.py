"""A study's nodes computed on a Ray cluster: what each machine needs to have, and where it finds it."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from chaintune.errors import ModelError
from chaintune.execution.bases import BaseModel, open_base
from chaintune.execution.engine import LocalEngine
from chaintune.execution.ray.bench import MARK, Job
from chaintune.execution.ray.connection import connected
from chaintune.execution.ray.parallel import run_parallel
from chaintune.execution.ray.ray_crew import RayCrew
from chaintune.execution.state import OnEvent, RunOutcome, RunState
from chaintune.models import Precision, whole_name
from chaintune.plan.plan import Plan
from chaintune.records import Task
from chaintune.store.address import open_store
from chaintune.store.store import Store


@dataclass(frozen=True, slots=True)
class EngineElsewhere:
    """Builds a local engine on whichever machine it is called.

    Attributes:
        bases: name in the study -> a name that means the same in every folder, and the key of the content.
        precision: of every checkpoint.
        trust_remote_code: run Python code that comes with a model.
    """

    bases: Mapping[str, tuple[str, str]]
    precision: Precision
    trust_remote_code: bool

    @classmethod
    def of(cls, bases: Mapping[str, BaseModel], precision: Precision, *, trust_remote_code: bool) -> "EngineElsewhere":
        """For the bases as the machine that planned the study has them."""
        named = {name: (whole_name(base.name), base.key) for name, base in bases.items()}
        return cls(named, precision, trust_remote_code)

    def __call__(self, store: Store) -> LocalEngine:
        """An engine that reads the bases as this machine has them.

        Raises:
            ModelError: this machine has not the same base under a base's name.
        """
        bases = {name: _here(*about, store) for name, about in self.bases.items()}
        return LocalEngine(bases, precision=self.precision, trust_remote_code=self.trust_remote_code)


def run_on_ray(
    plan: Plan,
    *,
    store: Store,
    make_engine: EngineElsewhere,
    tasks: Mapping[str, Task],
    out: Path,
    address: str | None = None,
    on_event: OnEvent | None = None,
    growth_seconds: float | None = None,
) -> RunOutcome:
    """Compute what the store lacks of a plan on a Ray cluster.

    Args:
        plan: of a study.
        store: that every machine can open at the same address.
        make_engine: what computes, on each machine.
        tasks: name -> task; sent to the workers.
        out: folder of the study's results, on this machine.
        address: of a running cluster; None is the one that `RAY_ADDRESS` names, or a new one on this machine.
        on_event: called at every event.
        growth_seconds: as `run_parallel` takes it.

    Raises:
        ConfigError: Ray is missing, the cluster cannot be reached, or no machine has what a node asks for.
        ModelError: a machine has not the same base.
        StoreError: the disk is full, the store cannot be written, or a worker sees another one at its address.
    """
    ledger = RunState.of(plan, store, plan.keep)
    opened = partial(open_store, store.address)
    with _marked(store) as mark, connected(address):
        job = Job.of(ledger, tasks, open_store=opened, make_engine=make_engine, mark=mark)
        with RayCrew(job) as crew:
            return run_parallel(ledger, crew, out=out, on_event=on_event, growth_seconds=growth_seconds)


@contextmanager
def _marked(store: Store) -> Iterator[str]:
    """While this lasts the store holds a mark, by which a worker tells that it sees the same one; its key."""
    mark = uuid4().hex
    store.get_or_make(MARK, mark, lambda _: {})
    try:
        yield mark
    finally:
        store.drop(MARK, mark)


def _here(name: str, key: str, store: Store) -> BaseModel:
    """A base as this machine has it; its content is looked at, for a name says nothing about it."""
    host = socket.gethostname()
    try:
        found = open_base(name, store)
    except ModelError as error:
        raise ModelError(f"on {host}: {error}") from error
    if found.key != key:
        raise ModelError(
            f"'{name}' on {host} is not the model that the study was planned with; "
            "name a Hub id, or a folder that every machine sees"
        )
    return found
