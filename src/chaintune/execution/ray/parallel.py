"""Runs a plan over the store, as wide as there are workers. Knows nothing of where they are."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chaintune.errors import ConfigError, StageError
from chaintune.execution.events import Event, Progress
from chaintune.execution.pending import PendingWork
from chaintune.execution.ray.bench import Answer
from chaintune.execution.ray.frontier import Frontier, readers_of
from chaintune.execution.ray.pool import Ask, Machine, Pool, asks_of
from chaintune.execution.state import OnEvent, RunOutcome, RunState
from chaintune.plan.nodes import Node

_log = logging.getLogger(__name__)
_ATTEMPTS = 5
_LONGEST_PAUSE = 30.0
_SECONDS_BETWEEN_LOOKS = 5.0
_SECONDS_OF_WAITING = 0.5
# Longer than most pauses between two nodes; a machine that is idle costs money.
_SECONDS_IDLE = 60.0


@dataclass(frozen=True, slots=True)
class News:
    """Something that a worker tells.

    Attributes:
        worker: its name.
        answer: what became of its node; else None.
        progress: of its node; else None.
        lost: why the worker is gone; empty while it lives. News without any of the three says that it is ready.
    """

    worker: str
    answer: Answer | None = None
    progress: Progress | None = None
    lost: str = ""


class Crew(Protocol):
    """Workers on the machines of a cluster. A name of a worker is never given twice."""

    def machines(self) -> Sequence[Machine]:
        """What there is now, in use or not."""
        ...

    def hire(self, machine: str, ask: Ask) -> str:
        """Start a worker on a machine; its name. News tells when it is ready."""
        ...

    def dismiss(self, worker: str) -> None:
        """Let an idle worker go."""
        ...

    def start(self, worker: str, node: Node, *, forced: bool) -> None:
        """Give an idle worker a node."""
        ...

    def wish(self, asks: Sequence[Ask]) -> bool:
        """Ask a cluster that grows by demand for room, in place of the last wish; whether some came since then."""
        ...

    def news(self, seconds: float) -> Sequence[News]:
        """What happened since the last call; waits so long if nothing did."""
        ...


def run_parallel(
    ledger: RunState,
    crew: Crew,
    *,
    out: Path | None,
    on_event: OnEvent | None = None,
    first_pause: float = 1.0,
    growth_seconds: float | None = None,
) -> RunOutcome:
    """Compute what the store lacks of a plan on the workers of a crew, and tell what became of every node.

    The results are those of `run_plan`. What fails by itself is not tried again, and its descendants are skipped
    with the cause; a node whose worker was lost is tried again, after a pause that doubles each time.

    Args:
        ledger: empty, of the plan and the store that the workers use too.
        crew: the workers.
        out: folder of the study's results, for `status.json`; None tells nobody.
        on_event: called at every event.
        first_pause: seconds before a node whose worker was lost is tried again.
        growth_seconds: ask the cluster for machines wherever nodes wait for room, wait so long where there is none for
            any of them, and let workers go that have nothing to do; None takes the cluster as it is.

    Raises:
        ConfigError: a node asks for more than any machine has.
        StageError: workers cannot be started.
        StoreError: the disk is full, or the store cannot be written.
    """
    run = _Run(ledger, crew, first_pause, growth_seconds)
    with ledger.opened(out, list(run.todo.values()), on_event):
        run.go()
    return ledger.outcome()


class _Run:
    """State of one run: what is left, who does what, and what has to wait."""

    def __init__(self, ledger: RunState, crew: Crew, first_pause: float, growth_seconds: float | None) -> None:
        self.ledger, self.crew = ledger, crew
        self.first_pause, self.growth_seconds = first_pause, growth_seconds
        self.plan, self.store = ledger.plan, ledger.store
        self.nodes = {node.key: node for node in self.plan.nodes}
        self.stages = {node.key: node for node in self.plan.stages}
        self.forced = {node.key for node in self.plan.stages if ledger.is_damaged(node)}
        needed = {node.key for node in PendingWork(self.plan, self.store).pending()} | self.forced
        self.todo = {key: node for key, node in self.nodes.items() if key in needed}
        self.frontier = Frontier(list(self.todo.values()))
        machines = crew.machines()
        self.pool = Pool(machines)
        self.ask = asks_of(self.plan, any_gpu=any(machine.gpus for machine in machines))
        self.memory: dict[str, tuple[str, str]] = {}
        self.at_work: dict[str, Node] = {}
        self.arriving: set[str] = set()
        self.idle_since: dict[str, float] = {}
        self.losses, self.not_before = Counter[str](), dict[str, float]()
        self.readers = {key: set(found) & self.todo.keys() for key, found in readers_of(self.plan.nodes).items()}
        self.width = self._width()
        self.looked = self.staffed = time.monotonic()

    def go(self) -> None:
        """Until nothing is left to do."""
        for node in self.plan.nodes:
            if node.key not in self.todo:
                self.ledger.record("reused", node)
        self._release(self.ledger.transient_keys)
        while len(self.frontier):
            self._move()
            for news in self.crew.news(_SECONDS_OF_WAITING):
                self._hear(news)
        self.ledger.release_all()

    def _move(self) -> None:
        """Give out work, start workers, let some go."""
        now = time.monotonic()
        if now - self.looked > _SECONDS_BETWEEN_LOOKS:
            self._look(now)
        urgent = self.frontier.urgent(self.width)
        ready = [node for node in self.frontier.ready(urgent) if self.not_before.get(node.key, 0.0) <= now]
        idle = {worker: held for worker, held in self.memory.items() if worker not in self.at_work}
        moves = self.pool.moves(ready, idle, ask=self.ask, arriving=self.arriving, urgent=urgent)
        for node, worker in moves.start:
            self._start(node, worker)
        for worker in moves.dismiss:
            self.crew.dismiss(worker)
            self._forget(worker)
        for machine, ask in moves.hire:
            worker = self.crew.hire(machine, ask)
            self.pool.add(worker, machine, ask)
            self.arriving.add(worker)
        if self.growth_seconds is not None:
            self._grow(moves.lacking, now)
        if self.at_work or self.arriving or not ready:
            self.staffed = now
        elif now - self.staffed >= (self.growth_seconds or 0.0):
            self._check_room(ready)

    def _look(self, now: float) -> None:
        """See what machines there are."""
        self.looked = now
        self.pool.update(self.crew.machines())
        self.width = self._width()

    def _grow(self, lacking: Sequence[Ask], now: float) -> None:
        """Ask for the room that is lacking, and let workers go that have long had nothing to do."""
        if self.crew.wish(lacking):
            self._look(now)
        idle = self.memory.keys() - self.at_work.keys()
        self.idle_since = {worker: self.idle_since.get(worker, now) for worker in idle}
        for worker, since in self.idle_since.items():
            if now - since >= _SECONDS_IDLE:
                self.crew.dismiss(worker)
                self._forget(worker)

    def _width(self) -> int:
        """How many workers there can be at once, of the largest kind."""
        return min((self.pool.width(ask) for ask in {self.ask(node) for node in self.todo.values()}), default=1)

    def _check_room(self, ready: Sequence[Node]) -> None:
        for node in ready:
            if not self.pool.can_ever(ask := self.ask(node)):
                raise ConfigError(
                    f"{node.title} asks for {ask}, and no machine of the cluster has that; "
                    "ask for less with recipe.cpus, recipe.gpus, recipe.devices and recipe.memory_gb"
                )

    def _start(self, node: Node, worker: str) -> None:
        self.frontier.take(node.key)
        self.at_work[worker] = node
        self.ledger.started(node)
        self.crew.start(worker, node, forced=node.key in self.forced)

    def _hear(self, news: News) -> None:
        if news.lost:
            self._lose(news.worker, news.lost)
        elif news.progress:
            if self.at_work.get(news.worker) == news.progress.node:  # else it came after the node's end
                self.ledger.progressed(news.progress)
        elif news.answer:
            self._take(news.worker, self.at_work.pop(news.worker), news.answer)
        else:
            self.arriving.discard(news.worker)
            self.losses.pop("", None)  # only workers that are lost one after another say that none can be had
            self.memory[news.worker] = ("", "")

    def _take(self, worker: str, node: Node, answer: Answer) -> None:
        """A node has come to its end, or has to begin again after something that it reads."""
        made = answer.kind == "made"
        self.memory[worker] = (node.held_key, node.base_key) if made else ("", "")
        if answer.kind == "missing":
            self._make_again(node, answer.missing)
            return
        if answer.kind == "failed":
            self._fail(node, answer.cause)
            return
        self.ledger.record(answer.kind, node)
        self.frontier.finish(node.key)
        self._has_read(node)

    def _make_again(self, node: Node, key: str) -> None:
        """What a node reads was dropped by another process, or is damaged: it comes first."""
        self.losses[node.key] += 1
        if self.losses[node.key] >= _ATTEMPTS:
            self._fail(node, f"'{self.nodes[key].title}', which it reads, was removed from the store again and again")
            return
        self.forced.add(key)
        self.frontier.put_back(node.key)
        self.frontier.add(self.nodes[key])
        for read in self.nodes[key].reads:
            self.readers[read].add(key)

    def _fail(self, node: Node, cause: str) -> None:
        self.ledger.record("failed", node, cause)
        for other in (node, *self.frontier.mark_failed(node.key)):
            if other is not node:
                self.ledger.record("skipped", other, self.ledger.results[node.key].first_cause)
            self._has_read(other)

    def _lose(self, worker: str, why: str) -> None:
        """A worker is gone; what it was doing is tried again later."""
        node, arriving = self.at_work.pop(worker, None), worker in self.arriving
        self._forget(worker)
        if node is None:
            self.losses[""] += arriving
            if self.losses[""] >= _ATTEMPTS:
                raise StageError(f"no worker could be started in {_ATTEMPTS} attempts; the last one said: {why}")
            return
        self.losses[node.key] += 1
        if self.losses[node.key] >= _ATTEMPTS:
            self._fail(node, f"its worker was lost {_ATTEMPTS} times; the last time: {why}")
            return
        _log.warning("%s is computed again, as its worker is gone: %s", node.title, why)
        self.ledger.tell(Event("lost", node, cause=why))
        pause = min(self.first_pause * 2 ** (self.losses[node.key] - 1), _LONGEST_PAUSE)
        self.not_before[node.key] = time.monotonic() + pause
        self.frontier.put_back(node.key)

    def _forget(self, worker: str) -> None:
        self.pool.remove(worker)
        self.memory.pop(worker, None)
        self.arriving.discard(worker)

    def _has_read(self, node: Node) -> None:
        """A node reads nothing any more; checkpoints that nobody else reads may go."""
        read = [key for key in node.reads if key in self.readers]
        for key in read:
            self.readers[key].discard(node.key)
        self._release([*read, node.key])

    def _release(self, keys: Sequence[str] | frozenset[str]) -> None:
        for key in keys:
            done = key in self.ledger.transient_keys and key in self.ledger.results
            if done and not self.readers.get(key):
                self.ledger.release(self.stages[key])
