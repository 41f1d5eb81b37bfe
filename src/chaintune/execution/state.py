"""What became of each node of a run, who is told, and which checkpoints may go. The same whoever computes."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from chaintune.execution.events import Event, EventKind, Progress
from chaintune.execution.status import Journal
from chaintune.plan.nodes import Node, StageNode
from chaintune.plan.plan import Plan
from chaintune.store.lease import Lease
from chaintune.store.store import Store
from chaintune.study.study import Keep

OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one node: `made`, `reused`, `failed` or `skipped`, the last two with the cause."""

    kind: EventKind
    node: Node
    cause: str = ""

    @property
    def first_cause(self) -> str:
        """What the descendants of a node without a result are told."""
        return f"'{self.node.title}' failed: {self.cause}" if self.kind == "failed" else self.cause


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
    _listeners: Sequence[OnEvent] = ()
    _lease: Lease | None = None
    _began: float = 0.0

    @classmethod
    def of(cls, plan: Plan, store: Store, keep: Keep) -> "RunState":
        """An empty one."""
        return cls(plan, store, frozenset(key for keys in plan.releases(keep).values() for key in keys))

    @contextmanager
    def opened(self, out: Path | None, pending: Sequence[Node], on_event: OnEvent | None) -> Iterator[None]:
        """While this lasts, listeners are told, the journal is kept, and no one else drops what the plan needs."""
        journal = Journal(out, self.plan, pending) if out else None
        self._listeners = [*([journal.note] if journal else []), *([on_event] if on_event else [])]
        self._began = time.monotonic()
        with self.store.lease({node.key for node in self.plan.stages}) as self._lease, journal or nullcontext():
            yield

    def outcome(self) -> RunOutcome:
        """Everything that was recorded."""
        return RunOutcome(tuple(self.results.values()), time.monotonic() - self._began)

    def record(self, kind: EventKind, node: Node, cause: str = "") -> None:
        """A node has come to its end."""
        if kind == "reused" and isinstance(node, StageNode):
            self._claim(node)
        self.results[node.key] = Result(kind, node, cause)
        self.tell(Event(kind, node, cause=cause))

    def lost(self, key: str) -> Result | None:
        """The result of a node that cannot be had; None of one that can, or may yet."""
        known = self.results.get(key)
        return known if known and known.kind in {"failed", "skipped"} else None

    def started(self, node: Node) -> None:
        """Work on a node begins."""
        self.tell(Event("start", node))

    def progressed(self, progress: Progress) -> None:
        """A node is so far."""
        self.tell(Event("progress", progress.node, progress))

    def tell(self, event: Event) -> None:
        """Pass an event on to all who listen."""
        for listener in self._listeners:
            listener(event)

    def _claim(self, node: StageNode) -> None:
        """A checkpoint that another study would drop stays from now on, if this study keeps it."""
        entry = self.store.peek(node.kind, node.key)
        if entry and entry.info.get("transient") and node.key not in self.transient_keys:
            self.store.annotate(node.kind, node.key, transient=False)

    def is_damaged(self, node: StageNode) -> bool:
        """Whether a checkpoint that this run keeps was changed since it was made."""
        return node.key not in self.transient_keys and self.store.is_damaged(node.kind, node.key)

    def release_all(self) -> None:
        """Drop what had to be trained again after its turn."""
        for node in self.plan.stages:
            if node.key in self.transient_keys:
                self.release(node)

    def release(self, node: StageNode) -> None:
        """Drop a checkpoint that only runs like this one made, and that no other run needs."""
        if self._lease:
            self._lease.give_back(node.key)
        result = self.results.get(node.key)
        if not self.store.shares_leases and (result is None or result.kind != "made"):
            return  # on another machine somebody may still read it, and it would not be known here
        if self.store.has(node.kind, node.key) and self.store.drop(
            node.kind, node.key, unless_leased=True, spared=lambda entry: not entry.info.get("transient")
        ):
            self.tell(Event("dropped", node))
