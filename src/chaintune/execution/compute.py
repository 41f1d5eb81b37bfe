"""One node computed into its folder of the store, from folders that are there. Knows nothing of what runs when."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from chaintune.errors import DataError, ModelError, StageError
from chaintune.execution.events import Progress
from chaintune.execution.learning import STAGE_LOG, loss_curve
from chaintune.plan.nodes import CurvatureNode, Node, ScoreNode, StageNode
from chaintune.plan.plan import Plan
from chaintune.records import Task
from chaintune.store.store import Store


class NotNeededError(Exception):
    """While this process waited for the lock, another one made everything that needed the checkpoint."""


Report = Callable[[Progress], None]
Folder = Callable[[Literal["stage", "score"], str], Path]

# The same input fails the same way again.
FAILURES = (StageError, DataError, ModelError)


@dataclass(frozen=True, slots=True)
class StageInputs:
    """What a stage reads.

    Attributes:
        parents: key -> model folder.
        tasks: name -> task.
        scores: key -> folder with `scores.parquet`.
    """

    parents: Mapping[str, Path]
    tasks: Mapping[str, Task]
    scores: Mapping[str, Path]


class Engine(Protocol):
    """What computes a node. Each call writes files into `out`, an empty folder, and returns what to note."""

    def tune(self, *, node: StageNode, given: StageInputs, out: Path, report: Report) -> Mapping[str, Any]:
        """Make a checkpoint and write a model folder; the notes hold `train_tokens` and `seconds`.

        Raises:
            StageError: this stage failed, others need not.
        """
        ...

    def score(self, *, node: ScoreNode, checkpoint: Path, task: Task, out: Path, report: Report) -> Mapping[str, Any]:
        """Score a checkpoint on the node's split into `scores.parquet`; the notes hold `score_tokens` and `seconds`."""
        ...

    def curve(self, *, node: CurvatureNode, checkpoint: Path, task: Task, out: Path) -> Mapping[str, Any]:
        """Measure a checkpoint's curvature and write `curvature.json`; the notes hold `seconds`."""
        ...

    def base_folder(self, base: str) -> Path:
        """The model folder of a base, by its name in the study."""
        ...


@dataclass(frozen=True, slots=True)
class NodeRunner:
    """Computes nodes and notes what each is, how long it took, and what its checkpoint cost.

    Attributes:
        engine: computes.
        store: told what a checkpoint cost.
        tasks: name -> task.
        bases: key -> name of each base.
        transient_keys: keys of the checkpoints that no run keeps.
    """

    engine: Engine
    store: Store
    tasks: Mapping[str, Task]
    bases: Mapping[str, str]
    transient_keys: frozenset[str]

    @classmethod
    def of(
        cls, plan: Plan, *, engine: Engine, store: Store, tasks: Mapping[str, Task], transient_keys: frozenset[str]
    ) -> "NodeRunner":
        """What computes the nodes of a plan."""
        return cls(engine, store, tasks, {node.base_key: node.base for node in plan.nodes}, transient_keys)

    def compute(
        self, node: Node, out: Path, *, folder: Folder, report: Report, on_start: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """Write a node's result into `out`; what is to be noted about it. The engine's own words win.

        Args:
            node: to be computed.
            out: an empty folder.
            folder: finds what the node reads, by kind and key; not asked for bases.
            report: told of progress.
            on_start: called once everything is found and the work begins.

        Raises:
            StageError: the stage failed, others need not; DataError and ModelError likewise.
        """
        read, notes = self._read(node, folder), self._known(node)
        on_start()
        started = time.monotonic()
        notes |= read(out, report)
        about = {"title": node.title, "base": node.base, "base_key": node.base_key, "task": node.task}
        return about | {"tokens": node.tokens, "seconds": time.monotonic() - started} | notes

    def _read(self, node: Node, folder: Folder) -> Callable[[Path, Report], dict[str, Any]]:
        """Everything that a node reads, found now; the work itself, to be called."""
        engine = self.engine

        def checkpoint(key: str) -> Path:
            return engine.base_folder(self.bases[key]) if key in self.bases else folder("stage", key)

        if isinstance(node, StageNode):
            given = StageInputs(
                {key: checkpoint(key) for key in node.parents},
                {name: self.tasks[name] for name in node.tasks},
                {key: folder("score", key) for key in node.weighed_by},
            )
            return lambda out, report: dict(engine.tune(node=node, given=given, out=out, report=report))
        model, task = checkpoint(node.checkpoint_key), self.tasks[node.task]
        if isinstance(node, CurvatureNode):
            return lambda out, _: dict(engine.curve(node=node, checkpoint=model, task=task, out=out))
        return lambda out, report: dict(engine.score(node=node, checkpoint=model, task=task, out=out, report=report))

    def _known(self, node: Node) -> dict[str, Any]:
        """What is noted before the work: whether a checkpoint may go, and what a scored one cost."""
        if isinstance(node, StageNode):
            return {"transient": node.key in self.transient_keys}
        entry = self.store.peek("stage", node.checkpoint_key) if isinstance(node, ScoreNode) else None
        if entry is None:
            return {}
        # Noted with the scores, since they outlive a checkpoint that is not kept.
        known = {name: entry.info.get(name) for name in ("train_tokens", "seconds")}
        log = self.store.read("stage", node.checkpoint_key, STAGE_LOG)
        return {"stage_cost": known | {"loss_curve": loss_curve(log)}}
