"""The executor of a Ray cluster: each job is a Ray task. Placing, retrying, scaling and freeing GPUs is Ray's work."""

import logging
import math
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from itertools import chain
from typing import Any
from uuid import uuid4

from chaintune.errors import ClusterError, ConfigError, StoreError
from chaintune.execution.compute import JobRunner, MakeEngine
from chaintune.execution.events import Event, Progress, Result
from chaintune.execution.executors import Executor, Run
from chaintune.execution.requests import ResourceRequest, requests_of
from chaintune.plan.nodes import Node
from chaintune.plan.plan import Plan
from chaintune.records import Task
from chaintune.store.address import open_store
from chaintune.store.store import Store

# What decides results or where data is looked for is the same on every machine.
_PASSED_ON = ("CHAINTUNE_", "HF_", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM")
_SENTINEL = "sentinel"  # kind of the entry by which workers tell the run's store from another
_RETRIES = 3
# Tasks that wait beyond those that run: enough to keep all machines busy and to show an autoscaler that there is more,
# and few enough that checkpoints are read, and go, before many others are made.
_SUBMITTED_A_UNIT, _SUBMITTED_AT_LEAST = 2, 16
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_ANSWER = 10.0
# Ray waits for ever for a machine that is gone, and ends this process by itself after a minute without its head.
_SECONDS_BETWEEN_CHECKS, _SECONDS_OF_SILENCE = 5.0, 20.0
# Ray says it in the text of whatever error it raises.
_UNKNOWN_CALLER, _OTHER_VERSION = "authentication token", "version mismatch"
_GO_ON = "what is finished is kept: where it was one of yours start it, then run the same command again to go on"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Context:
    """What every task of a run reads, sent to the cluster once.

    Attributes:
        plan, tasks, transient_keys, make_engine: of the run.
        store: its address.
        sentinel: key of an entry that tells the store from any other.
        version: of chaintune.
        sets_threads: whether a task takes as many threads as cores, because OMP_NUM_THREADS is not set.
        events: a queue to the driver.
    """

    plan: Plan
    tasks: Mapping[str, Task]
    transient_keys: frozenset[str]
    make_engine: MakeEngine
    store: str
    sentinel: str
    version: str
    sets_threads: bool
    events: Any


class _Tasks:
    """The tasks of one run."""

    def __init__(self, run: Run, sentinel: str) -> None:
        import ray
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._tell = ray, run.tell
        self._machine, self._head = ray.get_runtime_context().get_node_id(), ray.get_runtime_context().gcs_address
        self._heard, self._looked, self._room = time.monotonic(), -math.inf, _SUBMITTED_AT_LEAST
        self._here = NodeAffinitySchedulingStrategy(self._machine, soft=False)
        self._events = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": self._here})
        self._context = ray.put(
            _Context(
                run.plan,
                run.tasks,
                run.transient_keys,
                run.make_engine,
                run.store.address,
                sentinel,
                version("chaintune"),
                "OMP_NUM_THREADS" not in os.environ,
                self._events,
            )
        )
        self._nodes = {node.key: node for node in run.plan.nodes}
        self._any_gpu = bool(ray.cluster_resources().get("GPU"))
        self._request = requests_of(run.plan, any_gpu=self._any_gpu)
        # A process that used a GPU ends with its task, or the GPU's memory would stay taken.
        self._on_gpu, self._on_cpu = ray.remote(max_calls=1)(_run_job), ray.remote(_run_job)
        self._tasks: dict[Any, Node] = {}
        self._references: dict[str, Any] = {}
        self._machines: dict[str, str] = {}
        self._started: set[str] = set()

    def room(self) -> int:
        if self._answers():
            units = float(self._ray.cluster_resources().get("GPU" if self._any_gpu else "CPU", 0))
            self._room = max(_SUBMITTED_AT_LEAST, round(_SUBMITTED_A_UNIT * units))
        return self._room

    def submit(self, job: Node) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        request = self._request(job)
        # Where a checkpoint was made it need not be fetched; but no task waits for that machine while another is free.
        machine = next((self._machines[key] for key in job.reads if key in self._machines), None)
        near = machine and NodeAffinitySchedulingStrategy(machine, soft=True, _spill_on_unavailable=True)
        task = (self._on_gpu if request.gpus else self._on_cpu).options(
            name=job.title,
            num_cpus=request.cpus,
            num_gpus=request.gpus,
            memory=request.memory_bytes or None,
            max_retries=_RETRIES,
            scheduling_strategy=near or "DEFAULT",
        )
        inputs = [self._references[key] for key in job.reads if key in self._references]
        # In a tuple, or the context would be fetched anew for every task.
        reference = task.remote((self._context,), job.key, request, *inputs)
        self._references[job.key], self._tasks[reference] = reference, job

    def wait(self) -> Sequence[Sequence[Result]]:
        self._answers()
        ended, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=_SECONDS_BETWEEN_LOOKS)
        ended, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0) if ended else ([], [])
        self._pass_events_on()  # a task's events come before its results
        return [self._results(reference) for reference in ended]

    def end(self) -> None:
        """End what still runs."""
        for reference in self._tasks:
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference, force=True)
        with suppress(self._ray.exceptions.RayError):
            self._events.shutdown(force=True)

    def _answers(self) -> bool:
        """Whether the cluster's head can be asked now; an error where it is silent for long, or Ray here is gone."""
        now = time.monotonic()
        if not _is_reached(self._head):
            if now - self._heard > _SECONDS_OF_SILENCE:
                raise ClusterError(f"the head of the Ray cluster at {self._head} is gone; {_GO_ON}")
            return False
        self._heard = now
        if now - self._looked > _SECONDS_BETWEEN_CHECKS:
            self._looked = now
            if not any(node["Alive"] for node in self._ray.nodes() if node["NodeID"] == self._machine):
                raise ClusterError(f"Ray on this machine is gone from the cluster at {self._head}; {_GO_ON}")
        return True

    def _results(self, reference: Any) -> Sequence[Result]:
        job = self._tasks.pop(reference)
        try:
            results, self._machines[job.key] = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error  # a bug, or a store that cannot be written: as it would be here
        except self._ray.exceptions.RayError as error:
            cause = f"its worker was lost {_RETRIES + 1} times; the last time: {_last_line(error)}"
            return [Result("failed", job, cause)]
        return list(results)

    def _pass_events_on(self) -> None:
        at_work = {job.key for job in self._tasks.values()}
        with suppress(self._ray.exceptions.RayError):
            for key, job_key, progress in self._events.get_nowait_batch(self._events.qsize()):
                if job_key not in at_work:  # it came after the end
                    continue
                if progress is None and key in self._started:
                    _log.warning("%s is computed again, as its worker is gone", self._nodes[key].title)
                self._started.add(key)
                numbers = Progress(self._nodes[key], *progress) if progress else None
                self._tell(Event("progress" if numbers else "start", self._nodes[key], numbers))


class _Worker:
    """A process of a cluster, ready to run the jobs of one run."""

    def __init__(self, context: _Context) -> None:
        if (here := version("chaintune")) != context.version:
            raise ConfigError(
                f"a machine of the cluster has chaintune {here}, this one {context.version}; "
                "install the same version everywhere"
            )
        store = open_store(context.store)
        if not store.has(_SENTINEL, context.sentinel):
            raise StoreError(
                f"{store.address} on {socket.gethostname()} is not the store of this run; "
                "name one that every machine sees with --store, a shared folder or a URL"
            )
        self._context = context
        self._runner = JobRunner.of(
            context.plan,
            engine=context.make_engine(store),
            store=store,
            tasks=context.tasks,
            transient_keys=context.transient_keys,
        )

    def run(self, key: str, request: ResourceRequest) -> list[Result]:
        """What became of a job, as `JobRunner.run` returns it."""
        if self._context.sets_threads:
            import torch

            torch.set_num_threads(max(1, int(request.cpus)))
        runner, sent = replace(self._runner, request=request), -math.inf

        def report(progress: Progress) -> None:
            nonlocal sent
            if time.monotonic() - sent >= _SECONDS_BETWEEN_LOOKS:
                sent = time.monotonic()
                self._send(progress.node.key, key, _numbers(progress))

        return runner.run(runner.nodes[key], on_start=lambda node: self._send(node.key, key, None), report=report)

    def _send(self, key: str, job_key: str, progress: tuple[Any, ...] | None) -> None:
        import ray

        with suppress(ray.exceptions.RayError):  # the driver's display is no reason to fail
            self._context.events.put((key, job_key, progress))


def _run_job(context: tuple[Any], key: str, request: ResourceRequest, *_inputs: object) -> tuple[list[Result], str]:
    """The results of a job, and the machine that it ran on; a Ray task, which waits for the jobs that it reads."""
    import ray

    return _opened(context).run(key, request), ray.get_runtime_context().get_node_id()


@lru_cache(maxsize=1)
def _opened(context: tuple[Any]) -> _Worker:
    """This process made ready for a run; the next task of the run finds the model of the last one in memory."""
    import ray

    return _Worker(ray.get(context[0]))


def _numbers(progress: Progress) -> tuple[Any, ...]:
    return progress.done, progress.total, progress.unit, progress.rate, progress.seconds_left


@contextmanager
def _open(run: Run, address: str | None) -> Iterator[_Tasks]:
    """Ray tasks on a cluster."""
    with connected(address) as grows, _with_sentinel(run.store) as sentinel:
        _check_requests(run, grows=grows)
        tasks = _Tasks(run, sentinel)
        try:
            yield tasks
        finally:
            if not isinstance(sys.exception(), ClusterError):  # else nobody answers who could be asked to end
                tasks.end()


RAY = Executor(_open, takes_address=True)


@contextmanager
def _with_sentinel(store: Store) -> Iterator[str]:
    """While this lasts the store holds a sentinel, by which a worker tells that it sees the same one; its key."""
    sentinel = uuid4().hex
    store.get_or_make(_SENTINEL, sentinel, lambda _: {})
    try:
        yield sentinel
    finally:
        store.drop(_SENTINEL, sentinel)


def _check_requests(run: Run, *, grows: bool) -> None:
    """Refuse a job that no machine could ever run; where machines may join, say that it waits for one."""
    import ray

    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    request = requests_of(run.plan, any_gpu=any(machine.get("GPU") for machine in machines))
    titles = {request(job): job.title for job in reversed(run.pending)}
    for needs, title in titles.items():
        if any(_fits(needs, machine) for machine in machines):
            continue
        text = f"{title} asks for {needs}, and no machine of the cluster has that"
        if not grows:
            raise ConfigError(
                f"{text}; ask for less with recipe.cpus, recipe.gpus, recipe.devices and recipe.memory_gb"
            )
        _log.warning("%s; it waits until one joins", text)


def _fits(request: ResourceRequest, machine: Mapping[str, float]) -> bool:
    needs = {"CPU": request.cpus, "GPU": request.gpus, "memory": request.memory_bytes}
    return all(machine.get(name, 0) >= amount for name, amount in needs.items())


@contextmanager
def connected(address: str | None = None) -> Iterator[bool]:
    """While this lasts, there is a Ray cluster; whether machines may join it. What this call started ends with it.

    Args:
        address: of a running cluster, as Ray writes it: `host:port`, or `auto` for the one that this machine belongs
            to; None is the one that `RAY_ADDRESS` names, else a new one on this machine.

    Raises:
        ConfigError: Ray is not installed, or the cluster cannot be reached, or has other versions of Ray or Python.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--executor ray: Ray is not installed; pip install 'chaintune[ray]'") from error
    if ray.is_initialized():
        yield True
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_reachable(address)
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    ending = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of ours sends no statistics
    # Ray has its workers import from the current folder before any other; from an empty one nothing comes.
    with tempfile.TemporaryDirectory(prefix="chaintune-") as empty:
        try:
            with chdir(empty):
                ray.init(
                    address,
                    runtime_env={"env_vars": passed},
                    include_dashboard=False if address == "local" else None,
                    log_to_driver=False,
                    logging_level="error",
                )
        except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
            raise ConfigError(f"--address {address}: {_why(error)}") from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ending)  # Ray's own way to end leaves no word and no journal
        try:
            yield address != "local"
        finally:
            if not isinstance(sys.exception(), ClusterError):
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


def _is_reached(address: str) -> bool:
    """Whether something listens at `host:port`."""
    host, _, port = address.rpartition(":")
    with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER):
        return True
    return False


def _why(error: BaseException) -> str:
    """Why a cluster could not be joined."""
    text = " ".join(str(one) for one in chain([error], _causes(error)))
    if _UNKNOWN_CALLER in text.lower():
        return (
            "the Ray cluster there asks for a token; set RAY_AUTH_MODE=token, and on every machine the same token in "
            "~/.ray/auth_token or RAY_AUTH_TOKEN (ray get-auth-token shows it)"
        )
    if _OTHER_VERSION in text.lower():
        return f"the Ray cluster there has other versions; install the same on both sides ({' '.join(text.split())})"
    first_line = next(iter(str(error).splitlines()), type(error).__name__)
    return f"no Ray cluster can be reached there ({first_line})"


def _causes(error: BaseException) -> Iterable[BaseException]:
    while error.__cause__ is not None:
        error = error.__cause__
        yield error


def _last_line(error: BaseException) -> str:
    """Why a worker is gone: the end of its traceback if there is one, else how Ray begins."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if any(line.startswith("Traceback") for line in lines) else lines[0]
