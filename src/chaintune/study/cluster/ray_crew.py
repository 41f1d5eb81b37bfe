"""Workers on a Ray cluster: each is an actor that holds its cores and GPUs while it has a model in memory."""

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import count
from types import TracebackType
from typing import Any, Self

from chaintune.errors import ConfigError
from chaintune.study.cluster.bench import Bench, Job
from chaintune.study.cluster.parallel import News
from chaintune.study.cluster.pool import Ask, Machine
from chaintune.study.nodes import Node

# What decides results or where data is looked for is the same on every machine.
_PASSED_ON = ("CHAINTUNE_", "HF_", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM")
_ASIDE = "progress"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SECONDS_TO_ANSWER = 10.0


class RayCrew:
    """The workers of one run; use as a context manager, which stops them at its end.

    Args:
        job: what every worker has to know; sent to the cluster once.
    """

    def __init__(self, job: Job) -> None:
        import ray

        self._ray = ray
        self._job = ray.put(job)
        self._bench = ray.remote(concurrency_groups={_ASIDE: 1})(Bench)
        self._names = (f"worker-{number}" for number in count(1))
        self._actors: dict[str, Any] = {}
        self._calls: dict[Any, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in list(self._actors):
            self.dismiss(worker)

    def machines(self) -> Sequence[Machine]:
        """The living nodes of the cluster."""
        alive = [node for node in self._ray.nodes() if node["Alive"]]
        return [
            Machine(node["NodeID"], has.get("CPU", 0.0), has.get("GPU", 0.0), has.get("memory", 0.0))
            for node in alive
            if (has := node["Resources"])
        ]

    def hire(self, machine: str, ask: Ask) -> str:
        """Start an actor on a node, or, should it be gone, on another."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        name = next(self._names)
        actor = self._bench.options(
            num_cpus=ask.cpus,
            num_gpus=ask.gpus,
            memory=ask.memory_bytes or None,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(machine, soft=True),
        ).remote(self._job)
        self._actors[name] = actor
        self._calls[actor.prepare.remote()] = (name, "hello")
        return name

    def dismiss(self, worker: str) -> None:
        """Stop an actor; what it held is free."""
        actor = self._actors.pop(worker)
        self._calls = {call: about for call, about in self._calls.items() if about[0] != worker}
        self._ray.kill(actor)

    def start(self, worker: str, node: Node, *, forced: bool) -> None:
        """Give an actor a node, and ask after its progress."""
        self._calls[self._actors[worker].compute.remote(node, forced=forced)] = (worker, "work")
        self._ask_after(worker)

    def news(self, seconds: float) -> Sequence[News]:
        """What was answered since the last call.

        Raises:
            ConfigError: a machine has another version of chaintune.
            StoreError: or whatever else a worker raised that is no failure of a node.
        """
        about = dict(self._calls)
        answered = [call for call, (_, sort) in about.items() if sort != _ASIDE]
        # Word of progress is no reason to wake: it is looked at when there is something else, or time is up.
        self._ray.wait(answered, num_returns=1, timeout=seconds)
        ready, _ = self._ray.wait(list(about), num_returns=len(about), timeout=0)
        found: list[News] = []
        for call in ready:
            worker, sort = self._calls.pop(call, ("", ""))
            if worker in self._actors:
                found += self._heard(worker, sort, call)
        for worker, sort in about.values():
            if sort == "work" and (worker, "work") in self._calls.values():
                self._ask_after(worker)
        return found

    def _heard(self, worker: str, sort: str, call: Any) -> Iterator[News]:
        try:
            value = self._ray.get(call)
        except self._ray.exceptions.RayActorError as error:
            self._actors.pop(worker, None)
            yield News(worker, lost=_said(error))
            return
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error  # a bug, or a store that cannot be written: as it would be here
        if sort == "hello":
            if value != (here := version("chaintune")):
                raise ConfigError(
                    f"a machine of the cluster has chaintune {value}, this one {here}; "
                    "install the same version everywhere"
                )
            yield News(worker)
        elif sort == "work":
            yield News(worker, answer=value)
        elif value is not None:
            yield News(worker, progress=value)

    def _ask_after(self, worker: str) -> None:
        if (worker, _ASIDE) not in self._calls.values():
            ask = self._actors[worker].progress.options(concurrency_group=_ASIDE)
            self._calls[ask.remote()] = (worker, _ASIDE)


@contextmanager
def connected(address: str | None = None) -> Iterator[None]:
    """While this lasts, there is a Ray cluster; one that this call started or joined is left at its end.

    Args:
        address: of a running cluster, as Ray writes it: `host:port`, or `auto` for the one that this machine belongs
            to; None is the one that `RAY_ADDRESS` names, else a new one on this machine.

    Raises:
        ConfigError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--executor ray: Ray is not installed; pip install 'chaintune[ray]'") from error
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_reachable(address)
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of ours tells nobody about itself
    try:
        ray.init(
            address,
            runtime_env={"env_vars": passed},
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level="error",
        )
    except (ConnectionError, ValueError) as error:
        raise ConfigError(f"--address {address}: no Ray cluster can be reached there ({_first_line(error)})") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Knock first: Ray itself waits a minute and more for an address where nothing is."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        return
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise ConfigError(f"--address {address}: no Ray cluster can be reached there ({error})") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _said(error: BaseException) -> str:
    """Why a worker is gone, in one line: the end of its traceback if there is one, else how Ray begins."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if any(line.startswith("Traceback") for line in lines) else lines[0]
