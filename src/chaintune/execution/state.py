"""The results of a run, its events for those who listen, and its checkpoints that go. The same for every executor."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from chaintune.execution.events import Event, Result, ResultKind
from chaintune.execution.status import Journal
from chaintune.plan.nodes import Node, StageNode
from chaintune.plan.plan import Plan, Readers
from chaintune.store.lease import Lease
from chaintune.store.store import Store

OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What became of every node of a plan, and how long it took.

    Attributes:
        results: one of each node.
        seconds: of the run.
    """

    results: tuple[Result, ...]
    seconds: float

    def of(self, kind: ResultKind) -> tuple[Result, ...]:
        """The results of one kind, in the order in which they came."""
        return tuple(result for result in self.results if result.kind == kind)

    @property
    def complete(self) -> bool:
        """Whether every score of the plan is there."""
        return not self.of("failed") and not self.of("skipped")


@dataclass(slots=True)
class RunState:
    """The results of one run so far.

    Attributes:
        plan: that is run.
        store: where checkpoints are dropped.
        transient_keys: keys of the checkpoints that this run does not keep.
        results: by the node's key.
    """

    plan: Plan
    store: Store
    transient_keys: frozenset[str]
    results: dict[str, Result] = field(default_factory=dict)
    _readers: Readers = field(default_factory=lambda: Readers((), frozenset()))
    _stages: Mapping[str, StageNode] = field(default_factory=dict)
    _listeners: Sequence[OnEvent] = ()
    _lease: Lease | None = None
    _started: float = field(default_factory=time.monotonic)

    @contextmanager
    def leased(self) -> Iterator[None]:
        """While this lasts, no one else drops what the plan may read."""
        with self.store.lease({node.key for node in self.plan.stages}) as self._lease:
            yield

    @contextmanager
    def opened(self, pending: Sequence[Node], *, out: Path | None, on_event: OnEvent | None) -> Iterator[None]:
        """While this lasts, events reach listeners and journal; first those of everything that is not pending."""
        journal = Journal(out, self.plan) if out else None
        self._listeners = [*([journal.note] if journal else []), *([on_event] if on_event else [])]
        self._readers = Readers(pending, self.transient_keys)
        self._stages = {node.key: node for node in self.plan.stages}
        with journal or nullcontext():
            keys = {node.key for node in pending}
            for node in self.plan.nodes:
                if node.key not in keys:
                    self._record(Result("reused", node))
            for stage in self.plan.stages:
                if self._readers.may_go(stage.key):
                    self._drop(stage.key)
            yield

    def outcome(self) -> RunOutcome:
        """Everything that was recorded."""
        return RunOutcome(tuple(self.results.values()), time.monotonic() - self._started)

    def cause_to_skip(self, node: Node) -> str:
        """Why a node cannot be computed; empty if it can."""
        inputs = (self.results.get(key) for key in node.reads)
        return next((result.first_cause for result in inputs if result and result.kind in {"failed", "skipped"}), "")

    def end(self, result: Result) -> None:
        """A node has come to its end: record it, and drop the checkpoints that nothing reads any more."""
        self._record(result)
        for key in self._readers.end(result.node):
            self._drop(key)

    def tell(self, event: Event) -> None:
        """Pass an event on to all who listen."""
        for listener in self._listeners:
            listener(event)

    def _record(self, result: Result) -> None:
        if result.kind == "reused" and isinstance(result.node, StageNode):
            self._clear_transient(result.node)
        self.results[result.node.key] = result
        self.tell(Event(result.kind, result.node, cause=result.cause))

    def _clear_transient(self, node: StageNode) -> None:
        """Clear the transient flag of a checkpoint that this run keeps."""
        if node.key in self.transient_keys:
            return
        entry = self.store.peek(node.kind, node.key)
        if entry and entry.info.get("transient"):
            self.store.annotate(node.kind, node.key, transient=False)

    def _drop(self, key: str) -> None:
        """Drop a checkpoint that only runs like this one made, and that no other run reads."""
        node = self._stages[key]
        if self._lease:
            self._lease.give_back(key)
        result = self.results.get(key)
        if not self.store.shares_leases and (result is None or result.kind != "made"):
            return  # on another machine somebody may still read it, and it would not be known here
        if self.store.has(node.kind, key) and self.store.drop(
            node.kind, key, unless_leased=True, spared=lambda entry: not entry.info.get("transient")
        ):
            self.tell(Event("dropped", node))
