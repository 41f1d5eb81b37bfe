"""The graph of a run as it stands, in lines: every checkpoint with its state, folded to the height there is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from chaintune.records.checkpoint import variant_label

if TYPE_CHECKING:
    from chaintune.execution.events import Event, EventKind
    from chaintune.plan.nodes import StageNode
    from chaintune.plan.plan import Plan

State = Literal["waiting", "running", "done", "from store", "failed", "skipped"]

# The state of a node by its last event, and which state outweighs which where a checkpoint has several nodes.
_STATES: Mapping["EventKind", State] = {
    "start": "running",
    "progress": "running",
    "made": "done",
    "reused": "from store",
    "failed": "failed",
    "skipped": "skipped",
}
_OUTWEIGHS: tuple[State, ...] = ("failed", "skipped", "running", "waiting", "done")
_LAST, _NOT_LAST, _BESIDE = ("└─ ", "├─ ", "│  ")


@dataclass(frozen=True, slots=True)
class GraphRow:
    """One checkpoint.

    Attributes:
        key: of the checkpoint; of the base for the base.
        tree: branches before the label.
        label: its last step, with what sets it apart from its parent.
        state: of its training and its scores together.
        measured, measures: how many of its scores, curvatures and divergences are there.
    """

    key: str
    tree: str
    label: str
    state: State
    measured: int
    measures: int


class RunGraph:
    """The state of each node of a plan so far."""

    def __init__(self, plan: "Plan") -> None:
        self._states: dict[str, State] = {node.key: "waiting" for node in plan.nodes}
        self._bases = {node.base_key: node.base for node in plan.nodes}
        self._children: dict[str, list[StageNode]] = {}
        self._measures: dict[str, list[str]] = {}
        for stage in plan.stages:
            self._children.setdefault(stage.parent_key, []).append(stage)
        for measured in (*plan.scores, *plan.curvatures, *plan.divergences):
            self._measures.setdefault(measured.checkpoint_key, []).append(measured.key)
        self._seeds = len({node.seed for node in plan.stages}) > 1

    def note(self, event: "Event") -> None:
        """Take up one event of the run."""
        if event.kind in _STATES:
            self._states[event.node.key] = _STATES[event.kind]

    def count(self, *states: State) -> int:
        """The number of nodes in any of some states."""
        return sum(state in states for state in self._states.values())

    def rows(self) -> list[GraphRow]:
        """Every checkpoint, children under their parent."""
        rows: list[GraphRow] = []
        for key, name in self._bases.items():
            rows.append(self._row(key, "", name, [*self._measures.get(key, ())]))
            waiting = self._below(key, "", None)  # without recursion: a chain may be long
            while waiting:
                node, above, tree, last = waiting.pop()
                nodes = [node.key, *self._measures.get(node.key, ())]
                rows.append(self._row(node.key, tree + (_LAST if last else _NOT_LAST), self._label(node, above), nodes))
                waiting += self._below(node.key, tree + ("   " if last else _BESIDE), node)
        return rows

    def _below(
        self, parent: str, tree: str, above: "StageNode | None"
    ) -> list[tuple["StageNode", "StageNode | None", str, bool]]:
        """The children of a checkpoint, the last one first, with what their rows need."""
        children = self._children.get(parent, [])
        return [(node, above, tree, node is children[-1]) for node in reversed(children)]

    def _label(self, node: "StageNode", above: "StageNode | None") -> str:
        """Its last step; knobs and seed only where the parent does not say them already."""
        known = above.variant if above else ()
        own = [variant_label([knob]) for knob in node.variant if knob not in known]
        if self._seeds and (above is None or above.seed != node.seed):
            own.append(f"seed {node.seed}")
        return ", ".join([node.chain[-1], *own])

    def _row(self, key: str, tree: str, label: str, nodes: Sequence[str]) -> GraphRow:
        states = [self._states[node] for node in nodes]
        state: State = next((state for state in _OUTWEIGHS if state in states), "from store")
        scores = [self._states[node] for node in self._measures.get(key, ())]
        return GraphRow(key, tree, label, state, sum(s in {"done", "from store"} for s in scores), len(scores))


def folded(rows: Sequence[GraphRow], height: int) -> list[GraphRow | str]:
    """The rows that fit; each gap says in words what it holds.

    What runs and what failed is kept first, then what lies around what runs.
    """
    if len(rows) <= height:
        return list(rows)
    shown: set[int] = set()
    for index in sorted(range(len(rows)), key=_importance(rows)):
        if len(shown) + 1 + _gaps(shown | {index}, len(rows)) > height:
            break
        shown.add(index)
    lines: list[GraphRow | str] = []
    hidden: list[GraphRow] = []
    for index, row in enumerate(rows):
        if index not in shown:
            hidden.append(row)
            continue
        lines += [_summary(hidden)] if hidden else []
        lines.append(row)
        hidden = []
    return lines + ([_summary(hidden)] if hidden else [])


def _importance(rows: Sequence[GraphRow]) -> Callable[[int], tuple[bool, bool, int]]:
    here = [i for i, row in enumerate(rows) if row.state == "running"]
    # Between two nodes nothing runs: the next one is where the run is.
    here = here or [next((i for i, row in enumerate(rows) if row.state == "waiting"), len(rows) - 1)]

    def key(index: int) -> tuple[bool, bool, int]:
        distance = min(abs(index - place) for place in here)
        return distance != 0, rows[index].state != "failed", distance

    return key


def _gaps(shown: set[int], count: int) -> int:
    return sum(after - before > 1 for before, after in pairwise(sorted(shown | {-1, count})))


def _summary(hidden: Sequence[GraphRow]) -> str:
    counts = {state: sum(row.state == state for row in hidden) for state in ("failed", "skipped", "done", "from store")}
    counts["waiting"] = len(hidden) - sum(counts.values())
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)
