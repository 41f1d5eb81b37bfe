"""A study's nodes computed on a Ray cluster: what each machine needs to have, and where it finds it."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chaintune.errors import ModelError
from chaintune.models import Precision
from chaintune.records import Task
from chaintune.study.address import open_store
from chaintune.study.bases import BaseModel, open_base
from chaintune.study.cluster.bench import Job
from chaintune.study.cluster.connection import connected
from chaintune.study.cluster.parallel import run_parallel
from chaintune.study.cluster.ray_crew import RayCrew
from chaintune.study.engine import LocalEngine
from chaintune.study.ledger import Ledger, OnEvent, RunOutcome
from chaintune.study.plan import Plan
from chaintune.study.store import Store


@dataclass(frozen=True, slots=True)
class EngineElsewhere:
    """Builds a local engine on whichever machine it is called.

    Attributes:
        bases: as the machine that planned the study has them.
        precision: of every checkpoint.
        trust_remote_code: run Python code that comes with a model.
        host: the machine that planned the study.
    """

    bases: Mapping[str, BaseModel]
    precision: Precision
    trust_remote_code: bool
    host: str

    def __call__(self, store: Store) -> LocalEngine:
        """An engine that reads the bases as this machine has them.

        Raises:
            ModelError: this machine has not the same base under a base's name.
        """
        here = socket.gethostname()
        bases = dict(self.bases) if here == self.host else {n: _here(b, store, here) for n, b in self.bases.items()}
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
        StoreError: the disk is full, or the store cannot be written.
    """
    ledger = Ledger.of(plan, store, plan.keep)
    job = Job.of(ledger, tasks, open_store=partial(open_store, store.address), make_engine=make_engine)
    with connected(address), RayCrew(job) as crew:
        return run_parallel(ledger, crew, out=out, on_event=on_event, growth_seconds=growth_seconds)


def _here(base: BaseModel, store: Store, host: str) -> BaseModel:
    found = open_base(base.name, store)
    if found.key != base.key:
        raise ModelError(
            f"'{base.name}' on {host} is not the model that the study was planned with; "
            "name a Hub id, or a folder that every machine sees"
        )
    return found
