"""Workers on a Ray cluster: each is an actor that holds its cores and GPUs while it has a model in memory."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import count, islice
from types import TracebackType
from typing import Any, Self

from chaintune.errors import ConfigError
from chaintune.execution.ray.bench import Bench, Job
from chaintune.execution.ray.parallel import News
from chaintune.execution.ray.pool import Ask, Machine
from chaintune.plan.nodes import Node

_ASIDE = "progress"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# No autoscaler brings more machines than that at a time, and each wish costs the cluster a little.
_MOST_WISHES = 256


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
        self._wishes: list[tuple[Ask, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in list(self._actors):
            self.dismiss(worker)
        self.wish(())

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

    def wish(self, asks: Sequence[Ask]) -> bool:
        """Ask for room, by placement groups that wait for it: an autoscaler sees them, and they end with the driver.

        One for which there is room is given up at once, so that a worker can be hired there.
        """
        from ray.util import placement_group, placement_group_table, remove_placement_group

        known = placement_group_table() if self._wishes else {}
        wanted, kept, came = Counter(asks), [], False
        for ask, group in self._wishes:
            there = known.get(group.id.hex(), {}).get("state") == "CREATED"
            if there or not wanted[ask]:
                remove_placement_group(group)
            else:
                wanted[ask] -= 1
                kept.append((ask, group))
            came |= there
        more = islice(wanted.elements(), max(0, _MOST_WISHES - len(kept)))
        self._wishes = [*kept, *((ask, placement_group([_bundle(ask)])) for ask in more)]
        return came

    def news(self, seconds: float) -> Sequence[News]:
        """What was answered since the last call.

        Raises:
            ConfigError: a machine has another version of chaintune.
            StoreError: or whatever else a worker raised that is no failure of a node.
        """
        about = dict(self._calls)
        answered = [call for call, (_, sort) in about.items() if sort != _ASIDE]
        if not answered:  # Ray does not wait for nothing
            time.sleep(seconds)
            return []
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
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error  # a bug, or a store that cannot be written: as it would be here
        except self._ray.exceptions.RayError as error:
            # The actor is dead, was ended for want of memory, or cannot be reached; then it may still hold its GPU.
            self._ray.kill(self._actors.pop(worker))
            yield News(worker, lost=_said(error))
            return
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


def _said(error: BaseException) -> str:
    """Why a worker is gone, in one line: the end of its traceback if there is one, else how Ray begins."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if any(line.startswith("Traceback") for line in lines) else lines[0]


def _bundle(ask: Ask) -> dict[str, float]:
    """An ask as Ray writes it."""
    asked = {"CPU": ask.cpus, "GPU": ask.gpus, "memory": ask.memory_bytes}
    return {name: amount for name, amount in asked.items() if amount}
