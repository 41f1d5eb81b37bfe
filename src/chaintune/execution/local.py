"""Runs a plan over the store, one node after another, on this machine. Knows nothing of how a node is computed."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from chaintune.execution.compute import FAILURES, Engine, NodeRunner, NotNeededError
from chaintune.execution.events import EventKind
from chaintune.execution.pending import PendingWork
from chaintune.execution.state import OnEvent, RunOutcome, RunState
from chaintune.plan.nodes import CurvatureNode, Node, ScoreNode, StageNode
from chaintune.plan.plan import Plan
from chaintune.records import Task
from chaintune.store.store import Store
from chaintune.study.study import Keep


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
    ledger = RunState.of(plan, store, keep or plan.keep)
    run = _Run(
        ledger, NodeRunner.of(plan, store=store, engine=engine, tasks=tasks, transient_keys=ledger.transient_keys)
    )
    with ledger.opened(out, run.needs.pending(), on_event):
        run.go(plan.releases(keep))
    return ledger.outcome()


class _UnreachableError(Exception):
    """A checkpoint that this node needs cannot be made; holds the first cause."""


class _Run:
    """The nodes of one run, visited in the plan's order."""

    def __init__(self, ledger: RunState, runner: NodeRunner) -> None:
        self.ledger, self.runner = ledger, runner
        self.plan, self.store = ledger.plan, ledger.store
        self.needs = PendingWork(self.plan, self.store)
        self.stages = {node.key: node for node in self.plan.stages}
        self.scores = {node.key: node for node in self.plan.scores}

    def go(self, releases: Mapping[int, Sequence[str]]) -> None:
        """Visit every node, and let each checkpoint go after its last reader."""
        for index, node in enumerate(self.plan.nodes):
            if isinstance(node, StageNode):
                self._visit_stage(node)
            else:
                self._visit_score(node)
            for key in releases.get(index, ()):
                self.ledger.release(self.stages[key])
        self.ledger.release_all()

    def _visit_stage(self, node: StageNode) -> None:
        damaged = self.ledger.is_damaged(node)
        if damaged or self.needs.stage(node):
            with suppress(_UnreachableError, NotNeededError):
                self._train(node, if_needed=not damaged)
        if node.key not in self.ledger.results:
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
        if known := self.ledger.lost(node.key):
            raise _UnreachableError(known.first_cause)
        try:
            entry = self.store.get_or_make(node.kind, node.key, lambda out: self._tune(node, out, if_needed=if_needed))
        except _UnreachableError as error:
            self._record("skipped", node, str(error))
            raise
        except FAILURES as error:
            self._record("failed", node, str(error))
            raise _UnreachableError(self.ledger.results[node.key].first_cause) from error
        if entry.made or node.key not in self.ledger.results:
            self._record("made" if entry.made else "reused", node)
        return entry.path

    def _tune(self, node: StageNode, out: Path, *, if_needed: bool) -> dict[str, Any]:
        if if_needed and not self.needs.stage(node):
            raise NotNeededError
        return self._compute(node, out)

    def _compute(self, node: Node, out: Path) -> dict[str, Any]:
        return self.runner.compute(
            node, out, folder=self._found, report=self.ledger.progressed, on_start=lambda: self.ledger.started(node)
        )

    def _found(self, kind: Literal["stage", "score"], key: str) -> Path:
        """The folder of what a node reads, computed now if it is not there."""
        return self._train(self.stages[key]) if kind == "stage" else self._scored(key)

    def _scored(self, key: str) -> Path:
        """The folder of scores that a stage reads, computed now if they are not there."""
        if not self.ledger.lost(key) and self.store.get("score", key) is None:
            self._visit_score(self.scores[key])
        entry = self.store.get("score", key)
        if entry is None:
            raise _UnreachableError(self.ledger.results[key].first_cause)
        return entry.path

    def _record(self, kind: EventKind, node: Node, cause: str = "") -> None:
        if kind in {"failed", "skipped"}:
            self.needs.mark_failed(node.key)
        self.ledger.record(kind, node, cause)
