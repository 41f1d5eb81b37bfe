"""Runs one job into the store: what it reads is looked up, or made again where it is gone. The same on any executor."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from chaintune.errors import DataError, ModelError, StageError
from chaintune.execution.events import Progress, Result
from chaintune.execution.hardware import worker_note
from chaintune.execution.learning import STAGE_LOG, loss_curve
from chaintune.execution.requests import ResourceRequest
from chaintune.plan.nodes import (
    MEASUREMENT_FILE,
    CurvatureNode,
    JudgementNode,
    KlNode,
    Node,
    OverlapNode,
    ScoreNode,
    StageNode,
)
from chaintune.plan.plan import Plan
from chaintune.records import Measurement, Task, canonical_digest
from chaintune.records.generation import Keep
from chaintune.scoring.scorers.judgements import verdicts_of
from chaintune.scoring.scorers.scorer import Verdict
from chaintune.store.store import Store

Report = Callable[[Progress], None]

# Of parts that were there before the last one of their measurement: kind of the entry, its file, and what it notes.
PART, PART_FILE, PART_OF = "part", "part.json", "part_of"
OUTPUT = "output"  # of a command: a note with its checkpoint, and kind of the entry that outlives it

# The same input fails the same way again.
FAILURES = (StageError, DataError, ModelError)


@dataclass(frozen=True, slots=True)
class StageInputs:
    """What a stage reads.

    Attributes:
        parents: key -> model folder.
        tasks: name -> task.
        scores: key -> folder with `measurement.parquet`.
    """

    parents: Mapping[str, Path]
    tasks: Mapping[str, Task]
    scores: Mapping[str, Path]


class Engine(Protocol):
    """What computes a node. Each call writes files into `out`, an empty folder, and returns what to note."""

    def tune(self, *, node: StageNode, inputs: StageInputs, out: Path, report: Report) -> Mapping[str, Any]:
        """Make a checkpoint and write a model folder; the notes hold `train_tokens` and `seconds`.

        Raises:
            StageError: this stage failed, others need not.
        """
        ...

    def score(
        self, *, node: ScoreNode, checkpoint: Path | None, task: Task, out: Path, report: Report, keep: Keep
    ) -> Mapping[str, Any]:
        """Measure a checkpoint into `measurement.parquet`; the notes hold `score_tokens` and `seconds`."""
        ...

    def judge(
        self,
        *,
        node: JudgementNode,
        model: Path | None,
        texts: Path,
        task: Task,
        known: Mapping[str, Verdict],
        out: Path,
        report: Report,
        keep: Keep,
    ) -> Mapping[str, Any]:
        """Have a scorer's model judge texts into `measurement.parquet`; the notes hold `judge` and `seconds`."""
        ...

    def measure_curvature(self, *, node: CurvatureNode, checkpoint: Path, task: Task, out: Path) -> Mapping[str, Any]:
        """Measure a checkpoint's curvature and write `curvature.json`; the notes hold `seconds`."""
        ...

    def measure_kl(
        self, *, node: KlNode, checkpoint: Path, parent: Path, task: Task, out: Path, report: Report
    ) -> Mapping[str, Any]:
        """Measure a checkpoint's divergence from its parent into `measurement.parquet`; the notes hold `seconds`."""
        ...

    def measure_overlap(
        self, *, node: OverlapNode, checkpoint: Path, tasks: Mapping[str, Task], out: Path
    ) -> Mapping[str, Any]:
        """Compare the gradients of tasks at a checkpoint and write `overlap.json`; the notes hold `seconds`."""
        ...

    def base_folder(self, base: str) -> Path | None:
        """The model folder of a base, by its name in the study; None of one that is served."""
        ...

    def stop_servers(self) -> None:
        """End what was started beside this process and still runs."""
        ...


MakeEngine = Callable[[Store], Engine]


@dataclass(slots=True)
class _Kept:
    """What a runner need not read of its store again.

    Attributes:
        verdicts: judge -> digest of a question -> its verdict.
        judgements: keys of the entries that these are of.
        parts: key of a measurement -> those of the texts that were kept while it was made; None before they are listed.
    """

    verdicts: dict[str, dict[str, Verdict]] = field(default_factory=dict)
    judgements: set[str] = field(default_factory=set)
    parts: defaultdict[str, set[str]] | None = None


@dataclass(frozen=True, slots=True)
class JobRunner:
    """Runs the jobs of a plan; every executor calls its `run`.

    Attributes:
        engine: computes.
        store: where results lie and go.
        nodes: key -> node of the plan.
        tasks: name -> task.
        bases: key -> name of each base.
        transient_keys: keys of the checkpoints that the run does not keep.
        request: the part of a machine that computes; None where it is the whole process.
        keeps_servers: whether whoever runs the jobs ends the engine's servers, as the next job may ask the same one.
        kept: what was read of the store once.
    """

    engine: Engine
    store: Store
    nodes: Mapping[str, Node]
    tasks: Mapping[str, Task]
    bases: Mapping[str, str]
    transient_keys: frozenset[str]
    request: ResourceRequest | None = None
    keeps_servers: bool = False
    kept: _Kept = field(default_factory=_Kept)

    @classmethod
    def of(
        cls, plan: Plan, *, engine: Engine, store: Store, tasks: Mapping[str, Task], transient_keys: frozenset[str]
    ) -> "JobRunner":
        """A runner of a plan's jobs."""
        nodes = {node.key: node for node in plan.nodes}
        return cls(engine, store, nodes, tasks, {node.base_key: node.base for node in plan.nodes}, transient_keys)

    def run(self, job: Node, *, on_start: Callable[[Node], None], report: Report) -> list[Result]:
        """What became of a job; before it, what became of the nodes that it reads and that had to be made again.

        What it reads was in the store when the job was chosen. An entry that was damaged or removed since is made
        again here, with everything that this takes.

        Raises:
            StoreError: the disk is full, or the store cannot be written.
        """
        try:
            return self._run(job, on_start=on_start, report=report)
        finally:
            if not self.keeps_servers:
                self.engine.stop_servers()

    def _run(self, job: Node, *, on_start: Callable[[Node], None], report: Report) -> list[Result]:
        results: dict[str, Result] = {}
        waiting = [job]
        while waiting:
            node = waiting[-1]
            folders, missing = self._inputs(node)
            untried = [other for other in missing if other.key not in results]
            if missing and untried:
                waiting += untried
                continue
            waiting.pop()
            results[node.key] = (
                self._without(node, results[missing[0].key])
                if missing
                else self._entry(node, folders, on_start=on_start, report=report)
            )
        return list(results.values())

    def _inputs(self, node: Node) -> tuple[dict[str, Path], list[Node]]:
        """The folders of what a node reads, and the nodes of what is not there; nothing of a node that is there."""
        folders: dict[str, Path] = {}
        missing: list[Node] = []
        if self.store.get(node.kind, node.key):
            return folders, missing
        for key in node.reads:
            if key in self.bases:
                folder = self.engine.base_folder(self.bases[key])
                folders |= {key: folder} if folder else {}
            elif entry := self.store.get(self.nodes[key].kind, key):
                folders[key] = entry.path
            else:
                missing.append(self.nodes[key])
        return folders, missing

    def _without(self, node: Node, result: Result) -> Result:
        """The result of a node that lacks one of its inputs."""
        if result.kind in {"failed", "skipped"}:
            return Result("skipped", node, result.first_cause)
        return Result("failed", node, f"'{result.node.title}', which it reads, was removed from the store again")

    def _entry(
        self, node: Node, folders: Mapping[str, Path], *, on_start: Callable[[Node], None], report: Report
    ) -> Result:
        def make(out: Path) -> dict[str, Any]:
            on_start(node)
            return self._computed(node, folders, out, report)

        try:
            entry = self.store.get_or_make(node.kind, node.key, make)
        except FAILURES as error:
            return Result("failed", node, str(error))
        self._forget_parts(node)
        return Result("made" if entry.made else "reused", node)

    def _computed(self, node: Node, folders: Mapping[str, Path], out: Path, report: Report) -> dict[str, Any]:
        """What is noted of a node, its files written into `out`. The engine's own words win."""
        notes, started = self._notes_before(node), time.monotonic()
        notes |= dict(self._call(node, folders, out, report))
        self._check_output(node, notes)
        about: dict[str, Any] = {"title": node.title, "base": node.base, "base_key": node.base_key, "task": node.task}
        about |= {"work": list(node.work)}
        notes = about | {"tokens": node.tokens, "seconds": time.monotonic() - started} | notes
        return notes | (worker_note(notes, cpus=self.request.cpus, gpus=self.request.gpus) if self.request else {})

    def _call(self, node: Node, folders: Mapping[str, Path], out: Path, report: Report) -> Mapping[str, Any]:
        if isinstance(node, StageNode):
            inputs = StageInputs(
                {key: folders[key] for key in node.parents},
                {name: self.tasks[name] for name in node.tasks},
                {key: folders[key] for key in node.measurements},
            )
            return self.engine.tune(node=node, inputs=inputs, out=out, report=report)
        if isinstance(node, OverlapNode):
            tasks = {name: self.tasks[name] for name in node.tasks}
            return self.engine.measure_overlap(node=node, checkpoint=folders[node.checkpoint_key], tasks=tasks, out=out)
        key, task = node.checkpoint_key, self.tasks[node.task]
        if isinstance(node, CurvatureNode):
            return self.engine.measure_curvature(node=node, checkpoint=folders[key], task=task, out=out)
        if isinstance(node, KlNode):
            both = {"checkpoint": folders[key], "parent": folders[node.parent_key]}
            return self.engine.measure_kl(node=node, **both, task=task, out=out, report=report)
        if isinstance(node, JudgementNode):
            return self.engine.judge(
                node=node,
                model=folders.get(key),
                texts=folders[node.measurement_key],
                task=task,
                known=self._known_verdicts(node),
                out=out,
                report=report,
                keep=partial(self._keep, node),
            )
        how: dict[str, Any] = {"report": report, "keep": partial(self._keep, node)}
        return self.engine.score(node=node, checkpoint=folders.get(key), task=task, out=out, **how)

    def _keep(self, node: Node, name: str, compute: Callable[[], Any]) -> Any:
        """A part of a measurement, as data that JSON can hold, kept in the store until the measurement is there."""

        def make(out: Path) -> Mapping[str, Any]:
            (out / PART_FILE).write_text(json.dumps(compute()), encoding="utf-8")
            return {PART_OF: node.key, "title": node.title}

        key = canonical_digest([node.key, name])
        entry = self.store.get_or_make(PART, key, make)
        if self.kept.parts is not None:
            self.kept.parts[node.key].add(key)
        return json.loads((entry.path / PART_FILE).read_bytes())

    def _known_verdicts(self, node: JudgementNode) -> dict[str, Verdict]:
        """What the same judge said of any texts before, by the digest of the question."""
        known, read = self.kept.verdicts.setdefault(node.judge, {}), self.kept.judgements
        for entry in self.store.entries(node.kind):
            if entry.info.get("judge") != node.judge or entry.key in read:
                continue
            if there := self.store.get(node.kind, entry.key):
                known |= verdicts_of(Measurement.read(there.path / MEASUREMENT_FILE))
                read.add(entry.key)
        return known

    def _forget_parts(self, node: Node) -> None:
        """Drop the parts that were kept while a measurement was made, in this run or in one that was killed before."""
        if not isinstance(node, ScoreNode):
            return
        if self.kept.parts is None:
            self.kept.parts = defaultdict(set)
            for entry in self.store.entries(PART):
                self.kept.parts[str(entry.info.get(PART_OF))].add(entry.key)
        for key in self.kept.parts.pop(node.key, ()):
            self.store.drop(PART, key)

    def _check_output(self, node: Node, notes: Mapping[str, Any]) -> None:
        """Refuse what a command made where it is not what was read of an earlier run of it, under the same key."""
        read = self.store.peek(OUTPUT, node.key) if OUTPUT in notes else None
        if read and read.info[OUTPUT] != notes[OUTPUT]:
            raise StageError(
                f"stage '{node.chain[-1]}': its command made another model than the time before, which was measured "
                "or trained further and then dropped; have it make the same of the same CHAINTUNE_SEED, or change its "
                "text, a comment is enough, to have everything done anew"
            )

    def _note_outputs(self, node: Node) -> None:
        """Note what a command made as soon as something reads it: from then on the checkpoint's key stands for it."""
        for key in node.parents:
            entry = self.store.peek("stage", key)
            if entry and OUTPUT in entry.info:
                note = {OUTPUT: entry.info[OUTPUT]}
                self.store.get_or_make(OUTPUT, key, partial(_noted, note))

    def _notes_before(self, node: Node) -> dict[str, Any]:
        """What is noted before the work: whether a checkpoint may go, and what a scored one cost."""
        self._note_outputs(node)
        if isinstance(node, StageNode):
            return {"transient": node.key in self.transient_keys}
        entry = self.store.peek("stage", node.checkpoint_key) if isinstance(node, ScoreNode) else None
        if entry is None:
            return {}
        # Noted with the scores, since they outlive a checkpoint that is not kept.
        cost = {name: entry.info.get(name) for name in ("train_tokens", "seconds")}
        log = self.store.read("stage", node.checkpoint_key, STAGE_LOG)
        return {"stage_cost": cost | {"loss_curve": loss_curve(log)}}


def _noted(note: Mapping[str, Any], _folder: Path) -> Mapping[str, Any]:
    """What is noted of an entry without files."""
    return note
