"""Runs a plan over the store, one node after another, on this machine. Knows nothing of how a node is computed."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chaintune.records import Task
from chaintune.study.file import Keep
from chaintune.study.lease import Lease
from chaintune.study.making import FAILURES, Engine, Making
from chaintune.study.needs import Needs
from chaintune.study.nodes import CurvatureNode, Node, ScoreNode, StageNode
from chaintune.study.plan import Plan
from chaintune.study.progress import Event, EventKind, Progress
from chaintune.study.status import Journal
from chaintune.study.store import Store

OnEvent = Callable[[Event], None]

@dataclass(frozen=True, slots=True)
class Result:
    """What became of one node: `made`, `reused`, `failed` or `skipped`, the last two with the cause."""

    kind: EventKind
    node: Node
    cause: str = ""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What became of every node of a plan, and how long it took.

    Sorts of results: `made` by this run; `reused`, because it was in the store or because nothing that
    was missing needs it; `failed`; `skipped`, because an ancestor failed.
    """

    results: tuple[Result, ...]
    seconds: float

    def of(self, kind: EventKind) -> tuple[Result, ...]:
        """The results of one sort, in the order in which they came."""
        return tuple(result for result in self.results if result.kind == kind)

    @property
    def complete(self) -> bool:
        """Whether every score of the plan is there."""
        return not self.of("failed") and not self.of("skipped")


def run_plan(
    plan: Plan,
    *,
    store: Store,
    engine: Engine,
    out: Path | None,
    tasks: Mapping[str, Task],
    keep: Keep | None = None,
    on_event: OnEvent | None = None,
) -> RunOutcome:
    """Compute what the store lacks of a plan, and tell what became of every node.

    A checkpoint is trained only when scores that are missing depend on it. A stage that fails takes its
    descendants with it and nothing else. Interrupted anywhere, a second call goes on where this one was.

    Args:
        plan: from `compile_plan`.
        store: where finished work lies and goes.
        engine: computes the nodes.
        out: folder of the study's results; `status.json` in it tells other processes how far the run is. None
            tells nobody.
        tasks: name -> task.
        keep: which checkpoints stay; None is what the plan says.
        on_event: called at every event, many times a second.

    Raises:
        StoreError: the disk is full, or the store cannot be written.
        KeyboardInterrupt: after the journal was closed; nothing half-written is left.
    """
    run = _Run(plan, store, engine, tasks, keep or plan.keep)
    journal = Journal(out, plan, run.needs.pending()) if out else None
    run.listeners = [*([journal.note] if journal else []), *([on_event] if on_event else [])]
    started = time.monotonic()
    with store.lease({node.key for node in plan.stages}) as run.lease, journal or nullcontext():
        run.go()
    return RunOutcome(tuple(run.results.values()), time.monotonic() - started)


class _UnreachableError(Exception):
    """A checkpoint that this node needs cannot be made; holds the first cause."""


class _NotNeededError(Exception):
    """While this process waited for the lock, another one made everything that needed the checkpoint."""


class _Run:
    """State of one run: what became of each node so far, and who listens."""

    def __init__(self, plan: Plan, store: Store, engine: Engine, tasks: Mapping[str, Task], keep: Keep) -> None:
        self.plan, self.store = plan, store
        self.making = Making.of(plan, keep, engine=engine, store=store, tasks=tasks)
        self.needs = Needs(plan, store)
        self.results: dict[str, Result] = {}
        self.listeners: Sequence[OnEvent] = ()
        self.lease: Lease | None = None
        self.stages = {node.key: node for node in plan.stages}
        self.scores = {node.key: node for node in plan.scores}
        self.releases = plan.releases(keep)
        self.passing = self.making.passing

    def go(self) -> None:
        """Visit every node in order, and let each checkpoint go after its last reader."""
        for index, node in enumerate(self.plan.nodes):
            if isinstance(node, StageNode):
                self._visit_stage(node)
            else:
                self._visit_score(node)
            for key in self.releases.get(index, ()):
                self._release(self.stages[key])
        for key in self.passing:  # what had to be trained again after its turn
            self._release(self.stages[key])

    def _visit_stage(self, node: StageNode) -> None:
        damaged = node.key not in self.passing and self.store.is_damaged(node.kind, node.key)
        if damaged or self.needs.stage(node):
            with suppress(_UnreachableError, _NotNeededError):
                self._train(node, if_needed=not damaged)
        if node.key not in self.results:
            self._claim(node)
            self._record("reused", node)

    def _visit_score(self, node: ScoreNode | CurvatureNode) -> None:
        try:
            entry = self.store.get_or_make(node.kind, node.key, lambda out: self._compute(node, out))
        except _UnreachableError as error:
            self._record("skipped", node, str(error))
        except FAILURES as error:
            self._record("failed", node, str(error))
        else:
            self._record("made" if entry.made else "reused", node)

    def _train(self, node: StageNode, *, if_needed: bool = False) -> Path:
        """The folder of a stage's checkpoint, trained now if it is not there."""
        known = self.results.get(node.key)
        if known and known.kind in {"failed", "skipped"}:
            raise _UnreachableError(_first_cause(known))
        try:
            entry = self.store.get_or_make(node.kind, node.key, lambda out: self._tune(node, out, if_needed=if_needed))
        except _UnreachableError as error:
            self._record("skipped", node, str(error))
            raise
        except FAILURES as error:
            self._record("failed", node, str(error))
            raise _UnreachableError(_first_cause(self.results[node.key])) from error
        if entry.made or node.key not in self.results:
            self._record("made" if entry.made else "reused", node)
        return entry.path

    def _tune(self, node: StageNode, out: Path, *, if_needed: bool) -> dict[str, Any]:
        if if_needed and not self.needs.stage(node):
            raise _NotNeededError
        return self._compute(node, out)

    def _compute(self, node: Node, out: Path) -> dict[str, Any]:
        return self.making.compute(
            node, out, folder=self._found, report=self._report, on_start=lambda: self._tell(Event("start", node))
        )

    def _found(self, kind: Literal["stage", "score"], key: str) -> Path:
        """The folder of what a node reads, computed now if it is not there."""
        return self._train(self.stages[key]) if kind == "stage" else self._scored(key)

    def _scored(self, key: str) -> Path:
        """The folder of scores that a stage reads, computed now if they are not there."""
        if self.store.get("score", key) is None:
            self._visit_score(self.scores[key])
        entry = self.store.get("score", key)
        if entry is None:
            raise _UnreachableError(_first_cause(self.results[key]))
        return entry.path

    def _claim(self, node: StageNode) -> None:
        """A checkpoint that another study would drop stays from now on, if this study keeps it."""
        entry = self.store.peek(node.kind, node.key)
        if entry and entry.info.get("transient") and node.key not in self.passing:
            self.store.annotate(node.kind, node.key, transient=False)

    def _release(self, node: StageNode) -> None:
        """Drop a checkpoint that only runs like this one made, and that no other run needs."""
        if self.lease:
            self.lease.give_back(node.key)
        if not self.store.has(node.kind, node.key):
            return
        entry = self.store.peek(node.kind, node.key)
        passing = entry is None or entry.info.get("transient")
        if passing and self.store.drop(node.kind, node.key, unless_leased=True):
            self._tell(Event("dropped", node))

    def _record(self, kind: EventKind, node: Node, cause: str = "") -> None:
        self.results[node.key] = Result(kind, node, cause)
        if kind in {"failed", "skipped"}:
            self.needs.give_up(node.key)
        self._tell(Event(kind, node, cause=cause))

    def _report(self, progress: Progress) -> None:
        self._tell(Event("progress", progress.node, progress))

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)


def _first_cause(result: Result) -> str:
    """What the descendants of a node without a result are told."""
    return f"'{result.node.title}' failed: {result.cause}" if result.kind == "failed" else result.cause
