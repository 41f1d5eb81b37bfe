"""How long a plan takes on a cluster, by going through it event by event. Pure: nothing runs here."""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chaintune.execution.ray.described import Cluster
from chaintune.execution.ray.frontier import Frontier, readers_of
from chaintune.execution.ray.pool import Ask, Moves, Pool
from chaintune.plan.nodes import Node, StageNode
from chaintune.plan.plan import Plan
from chaintune.study.study import Keep

Seconds = Callable[[Node], float]
Asks = Callable[[Node], Ask]

# Devices beyond those that come this near to the shortest time are not worth having.
NEAR_ENOUGH = 1.05


@dataclass(frozen=True, slots=True)
class Placed:
    """One node, the worker that computes it, and from when to when."""

    node: Node
    worker: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Width:
    """What a cluster of some width makes of the plan.

    Attributes:
        units: GPUs, or cores where there is no GPU.
        workers: the most at any one time.
        makespan_seconds: from the first start to the last end.
        idle_fraction: share of all units' time in which nothing is computed on them; 0 when there is nothing to do.
    """

    units: int
    workers: int
    makespan_seconds: float
    idle_fraction: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """A plan on a cluster, simulated.

    Attributes:
        cluster: in words.
        whole: on all of it.
        widths: the same for the first units of it, from the fewest that can do the work up to all.
        worthwhile_units: the fewest whose makespan is within 5 % of the shortest.
        critical: nodes of the longest path, first to last: no cluster is done sooner than they are.
        critical_seconds: of them.
        disk_bytes: the most that checkpoints take at any one time.
        placed: every node, in the order in which they start.
    """

    cluster: str
    whole: Width
    widths: tuple[Width, ...]
    worthwhile_units: int
    critical: tuple[Node, ...]
    critical_seconds: float
    disk_bytes: int
    placed: tuple[Placed, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `plan --cluster --json` prints it."""
        return {
            "cluster": self.cluster,
            **_plain(self.whole),
            "worthwhile_units": self.worthwhile_units,
            "critical_seconds": self.critical_seconds,
            "critical_path": [{"key": node.key, "kind": node.kind, "title": node.title} for node in self.critical],
            "disk_bytes": self.disk_bytes,
            "widths": [_plain(width) for width in self.widths],
            "placed": [
                {"key": p.node.key, "worker": p.worker, "start_seconds": p.start_seconds, "end_seconds": p.end_seconds}
                for p in self.placed
            ],
        }


def schedule(
    plan: Plan,
    cluster: Cluster,
    *,
    todo: Sequence[Node],
    seconds: Seconds,
    ask: Asks,
    keep: Keep | None = None,
    present: Collection[str] = (),
) -> Schedule:
    """A plan on a cluster, simulated with the policy of the executor that would run it there.

    Args:
        plan: of a study.
        cluster: on which every node fits.
        todo: nodes to compute, in the plan's order.
        seconds: that a node takes on what it asks for.
        ask: what it asks for.
        keep: which checkpoints stay; None is what the plan says.
        present: keys of checkpoints that are in the store already.
    """
    placed = simulate(todo, cluster, seconds=seconds, ask=ask)
    whole = _width(cluster, placed, ask)
    narrower = (cluster.first(units) for units in _some_up_to(cluster.units))
    fitting = [part for part in narrower if all(part.can_ever(wanted) for wanted in {ask(node) for node in todo})]
    widths = [_width(part, simulate(todo, part, seconds=seconds, ask=ask), ask) for part in fitting]
    widths.append(whole)
    shortest = min(width.makespan_seconds for width in widths)
    critical = critical_path(todo, seconds)
    return Schedule(
        cluster=str(cluster),
        whole=whole,
        widths=tuple(widths),
        worthwhile_units=next(w.units for w in widths if w.makespan_seconds <= NEAR_ENOUGH * shortest),
        critical=critical,
        critical_seconds=sum(map(seconds, critical)),
        disk_bytes=disk_high_water(plan, placed, keep=keep or plan.keep, present=present),
        placed=placed,
    )


def simulate(
    todo: Sequence[Node], cluster: Cluster, *, seconds: Seconds, ask: Asks, starting_seconds: float = 0.0
) -> tuple[Placed, ...]:
    """Every node, placed and timed, in the order in which they start.

    Args:
        todo: nodes to compute, in the plan's order.
        cluster: on which every one fits.
        seconds: that a node takes on what it asks for.
        ask: what it asks for.
        starting_seconds: until a worker that was started can work.
    """
    return _Simulation(todo, cluster, seconds, ask, starting_seconds).go()


class _Simulation:
    """A clock, the workers, and what will happen next."""

    def __init__(
        self, todo: Sequence[Node], cluster: Cluster, seconds: Seconds, ask: Asks, starting_seconds: float
    ) -> None:
        self._frontier, self._pool = Frontier(todo), Pool(cluster.machines)
        self._seconds, self._ask, self._starting = seconds, ask, starting_seconds
        self._width = min((self._pool.width(wanted) for wanted in {ask(node) for node in todo}), default=1)
        self._now, self._hired = 0.0, 0
        self._ahead: list[tuple[float, int, str, Node | None]] = []
        self._idle: dict[str, tuple[str, str]] = {}
        self._arriving: set[str] = set()
        self._placed: list[Placed] = []

    def go(self) -> tuple[Placed, ...]:
        """Let everything happen."""
        while len(self._frontier):
            urgent = self._frontier.urgent(self._width)
            ready = self._frontier.ready(urgent)
            moves = self._pool.moves(ready, self._idle, ask=self._ask, arriving=self._arriving, urgent=urgent)
            self._take(moves)
            if not moves.dismiss:  # who was let go made room, so ask again
                self._wait()
        return tuple(self._placed)

    def _take(self, moves: Moves) -> None:
        for worker in moves.dismiss:
            self._pool.remove(worker)
            del self._idle[worker]
        for node, worker in moves.start:
            del self._idle[worker]
            self._frontier.take(node.key)
            end = self._now + self._seconds(node)
            self._placed.append(Placed(node, worker, self._now, end))
            self._expect(end, worker, node)
        for machine, ask in moves.hire:
            self._hired += 1
            worker = f"worker {self._hired}"
            self._pool.add(worker, machine, ask)
            self._arriving.add(worker)
            self._expect(self._now + self._starting, worker, None)

    def _expect(self, when: float, worker: str, node: Node | None) -> None:
        heapq.heappush(self._ahead, (when, len(self._placed) + self._hired, worker, node))

    def _wait(self) -> None:
        """Go on to the next moment at which anything happens, and let all of it happen."""
        self._now = self._ahead[0][0]
        while self._ahead and self._ahead[0][0] == self._now:
            _, _, worker, node = heapq.heappop(self._ahead)
            self._arriving.discard(worker)
            self._idle[worker] = (node.held_key, node.base_key) if node else ("", "")
            if node:
                self._frontier.finish(node.key)


def critical_path(todo: Iterable[Node], seconds: Seconds) -> tuple[Node, ...]:
    """The nodes of the path that takes longest, first to last."""
    nodes = {node.key: node for node in todo}
    frontier, readers = Frontier(list(nodes.values()), cost=seconds), readers_of(nodes.values())
    path: list[Node] = []
    following = list(nodes)
    while following:
        path.append(nodes[max(following, key=frontier.work_behind)])
        following = [key for key in readers.get(path[-1].key, ()) if key in nodes]
    return tuple(path)


def disk_high_water(plan: Plan, placed: Iterable[Placed], *, keep: Keep, present: Collection[str] = ()) -> int:
    """The most bytes that checkpoints take at any one time.

    Args:
        plan: of which they are.
        placed: its nodes, timed.
        keep: which checkpoints stay; the others go after the last node that reads them.
        present: keys of checkpoints that are there from the start.
    """
    going = {key for keys in plan.releases(keep).values() for key in keys}
    done = sorted(placed, key=lambda one: one.end_seconds)
    unread = Counter(key for one in done for key in set(one.node.parents))
    here = {key: plan.stage_bytes.get(key, 0) for key in present}
    most = sum(here.values())
    for one in done:
        if isinstance(one.node, StageNode):
            here[one.node.key] = plan.stage_bytes.get(one.node.key, 0)
        most = max(most, sum(here.values()))
        unread.subtract(set(one.node.parents))
        for key in {*one.node.parents, one.node.key} & going:
            if not unread[key]:
                here.pop(key, None)
    return most


def _width(cluster: Cluster, placed: Sequence[Placed], ask: Asks) -> Width:
    makespan = max((one.end_seconds for one in placed), default=0.0)
    used = sum((one.end_seconds - one.start_seconds) * cluster.units_of(ask(one.node)) for one in placed)
    there = makespan * cluster.units
    return Width(cluster.units, _most_at_once(placed), makespan, 1 - used / there if there else 0.0)


def _most_at_once(placed: Iterable[Placed]) -> int:
    """The most nodes that are computed at any one time; one that ends as another starts is not beside it."""
    steps = sorted(step for one in placed for step in ((one.start_seconds, 1), (one.end_seconds, -1)))
    now = most = 0
    for _, change in steps:
        now += change
        most = max(most, now)
    return most


def _some_up_to(units: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 and so on, below a number of units."""
    found = sorted({count for power in range(units.bit_length()) for count in (2**power, 3 * 2**power // 2)})
    return [count for count in found if count < units]


def _plain(width: Width) -> dict[str, Any]:
    return {name: getattr(width, name) for name in Width.__slots__}
