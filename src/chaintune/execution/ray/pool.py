"""Workers on the machines of a cluster: who computes what, when to start another worker, when to let one go. Pure."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from chaintune.execution.ray.frontier import place
from chaintune.plan.nodes import Node
from chaintune.plan.plan import Plan
from chaintune.records import Recipe

_GB = 10**9
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Ask:
    """What a node asks of a machine: cores, GPUs or a part of one, bytes of memory."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: float = 0.0

    @property
    def gpu_share(self) -> float:
        """What it takes up of a machine's GPUs: no part of one stretches over two, so one that takes 0.6 is full."""
        return 1 / int(1 / self.gpus + _SLACK) if 0 < self.gpus < 1 else self.gpus

    def __str__(self) -> str:
        memory = f", {self.memory_bytes / _GB:g} GB of memory" if self.memory_bytes else ""
        return f"{self.cpus:g} cores, {self.gpus:g} GPUs{memory}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine of the cluster has."""

    name: str
    cpus: float
    gpus: float = 0.0
    memory_bytes: float = 0.0

    def less(self, ask: Ask) -> "Machine":
        """What is left of it beside a worker."""
        return replace(
            self,
            cpus=self.cpus - ask.cpus,
            gpus=self.gpus - ask.gpu_share,
            memory_bytes=self.memory_bytes - ask.memory_bytes,
        )

    def fits(self, ask: Ask) -> bool:
        """Whether it has what is asked for."""
        return (
            self.cpus + _SLACK >= ask.cpus
            and self.gpus + _SLACK >= ask.gpu_share
            and self.memory_bytes + _SLACK >= ask.memory_bytes
        )


@dataclass(frozen=True, slots=True)
class Moves:
    """What to do next.

    Attributes:
        start: nodes and the idle workers that compute them.
        hire: machine and ask of each new worker.
        dismiss: idle workers that make room for others.
        lacking: what is asked for by nodes that wait because no machine has room.
    """

    start: tuple[tuple[Node, str], ...] = ()
    hire: tuple[tuple[str, Ask], ...] = ()
    dismiss: tuple[str, ...] = ()
    lacking: tuple[Ask, ...] = ()


class Pool:
    """The workers of a run. A worker keeps what its ask says until it is let go, for it keeps a model in memory.

    Args:
        machines: of the cluster.
    """

    def __init__(self, machines: Iterable[Machine]) -> None:
        self._machines = {machine.name: machine for machine in machines}
        self._workers: dict[str, tuple[str, Ask]] = {}

    @property
    def workers(self) -> Sequence[str]:
        """Names of all workers, the oldest first."""
        return list(self._workers)

    def update(self, machines: Iterable[Machine]) -> None:
        """The cluster grew or shrank."""
        self._machines = {machine.name: machine for machine in machines}

    def add(self, worker: str, machine: str, ask: Ask) -> None:
        """A worker was started."""
        self._workers[worker] = (machine, ask)

    def remove(self, worker: str) -> None:
        """A worker is gone."""
        self._workers.pop(worker, None)

    def ask_of(self, worker: str) -> Ask:
        """What a worker holds."""
        return self._workers[worker][1]

    def can_ever(self, ask: Ask) -> bool:
        """Whether some machine, empty, has what is asked for."""
        return any(machine.fits(ask) for machine in self._machines.values())

    def width(self, ask: Ask) -> int:
        """How many workers of one ask the empty cluster has room for."""
        free, count = dict(self._machines), 0
        while machine := _roomiest(free.values(), ask):
            free[machine.name] = machine.less(ask)
            count += 1
        return count

    def moves(
        self,
        ready: Sequence[Node],
        idle: Mapping[str, tuple[str, str]],
        *,
        ask: Callable[[Node], Ask],
        arriving: Iterable[str] = (),
        urgent: Collection[str] = (),
    ) -> Moves:
        """What to do next.

        Args:
            ready: nodes that can start, the most urgent first.
            idle: name of each idle worker -> keys of the checkpoint and the base that it has in memory.
            ask: what a node asks for.
            arriving: workers that were started and cannot work yet.
            urgent: keys of the nodes that cannot wait.
        """
        start = place(ready, idle, fits=lambda node, worker: self.ask_of(worker) == ask(node), urgent=urgent)
        placed, busy = {node.key for node, _ in start}, {worker for _, worker in start}
        waiting = Counter(ask(node) for node in ready if node.key not in placed)
        waiting -= Counter(self.ask_of(worker) for worker in arriving)
        spare = [worker for worker in idle if worker not in busy]
        hire, dismiss = self._staff(waiting, spare)
        lacking = waiting - Counter(ask for _, ask in hire)
        return Moves(tuple(start), hire, dismiss, tuple(lacking.elements()))

    def _staff(
        self, waiting: Counter[Ask], spare: Sequence[str]
    ) -> tuple[tuple[tuple[str, Ask], ...], tuple[str, ...]]:
        """Workers to start for what waits, and idle ones to let go where there is no room."""
        free = self._free(())
        hire: list[tuple[str, Ask]] = []
        for ask in waiting.elements():
            machine = _roomiest(free.values(), ask)
            if machine is not None:
                free[machine.name] = machine.less(ask)
                hire.append((machine.name, ask))
                continue
            gone = self._dismissed_for(ask, [worker for worker in spare if self.ask_of(worker) != ask])
            if gone:
                return tuple(hire), gone
        return tuple(hire), ()

    def _dismissed_for(self, ask: Ask, spare: Sequence[str]) -> tuple[str, ...]:
        """The fewest of the idle workers, the oldest first, whose leaving makes room."""
        for count in range(1, len(spare) + 1):
            if _roomiest(self._free(spare[:count]).values(), ask):
                return tuple(spare[:count])
        return ()

    def _free(self, without: Iterable[str]) -> dict[str, Machine]:
        """What is left of each machine, were some workers gone."""
        free, gone = dict(self._machines), set(without)
        for worker, (machine, ask) in self._workers.items():
            if worker not in gone and machine in free:
                free[machine] = free[machine].less(ask)
        return free


def asks_of(plan: Plan, *, any_gpu: bool) -> Callable[[Node], Ask]:
    """What each node of a plan asks for: a stage what its recipe says, a score what its checkpoint's recipe says.

    Args:
        plan: of a study.
        any_gpu: whether the cluster has GPUs, so that a recipe that does not say asks for one a device.
    """
    asks: dict[str, Ask] = {}
    for stage in plan.stages:
        recipe = stage.recipe
        asks[stage.key] = Ask(
            cpus=recipe.cpus or float(recipe.devices),
            gpus=_gpus(recipe, any_gpu=any_gpu),
            memory_bytes=recipe.memory_gb * _GB,
        )
        asks.setdefault(stage.base_key, asks[stage.key])  # a base is scored as its first child is trained
    usual = Ask(gpus=float(any_gpu))

    def ask(node: Node) -> Ask:
        return asks.get(node.held_key, usual)

    return ask


def _gpus(recipe: Recipe, *, any_gpu: bool) -> float:
    """GPUs of a stage: what its recipe says, and never fewer than it has processes, if it has several."""
    several = recipe.devices if recipe.devices > 1 else 0
    return float(max(recipe.gpus, several)) if recipe.gpus else float(recipe.devices * any_gpu)


def _roomiest(free: Iterable[Machine], ask: Ask) -> Machine | None:
    """The machine on which the most stays free."""
    fitting = [machine for machine in free if machine.fits(ask)]
    return max(fitting, key=lambda machine: (machine.gpus - ask.gpus, machine.cpus - ask.cpus), default=None)
