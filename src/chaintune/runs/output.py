"""What a finished run leaves in its folder: what it measured, from the store, and where everything came from."""

import json
import math
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import chaintune.hf  # noqa: F401 - says what to install
from chaintune.execution.bases import BaseModel
from chaintune.execution.cost import spent, stage_notes
from chaintune.execution.hardware import installed_packages
from chaintune.execution.learning import curve_of
from chaintune.files.names import shown_arguments, without_folders
from chaintune.forgetting.divergence import StageDivergence, mean_divergences
from chaintune.forgetting.options import Inference
from chaintune.forgetting.recommend import USUAL
from chaintune.models import Precision
from chaintune.plan.nodes import CURVATURE_FILE, MEASUREMENT_FILE, Cell, External, ScoreNode
from chaintune.plan.plan import Plan
from chaintune.records import Curvature, ItemMetric, Limits, Measurement, ResultRow, Scores, Task, variant_label
from chaintune.records.examples import LABEL
from chaintune.records.parity import PARITY, Parity
from chaintune.runs.measured import Measured, MeasuredCheckpoint, ScoreFile, score_names, write
from chaintune.scoring.reading import metrics_of, read_scores
from chaintune.store.store import Store
from chaintune.study.knobs import texts_of
from chaintune.study.schema import TaskSpec
from chaintune.study.stage_settings import StageSettings
from chaintune.study.study import Study
from chaintune.tasks.sizes import parse_size
from chaintune.tuning.mitigations.specs import as_text

# Told of a recipe in any case.
_RECIPE = ("method", "learning_rate", "epochs", "batch_size")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that a run of a study needs, read once.

    Attributes:
        study: as its file says.
        store: where finished work lies.
        tasks: name -> task, as loaded.
        bases: name -> base model.
        precision: what `auto` came to on this machine.
        plan: what will be trained and scored.
        trust_remote_code: run Python code that comes with a model.
        cautions: kind -> sentence of what the numbers do not tell.
        judges: name -> model that a scorer asks.
    """

    study: Study
    store: Store
    tasks: dict[str, Task]
    bases: dict[str, BaseModel]
    precision: Precision
    plan: Plan
    trust_remote_code: bool = False
    cautions: Mapping[str, str] = field(default_factory=dict)
    judges: Mapping[str, BaseModel] = field(default_factory=dict)


def gather(prepared: Prepared) -> Measured:
    """What of a study is measured, each checkpoint as the study names it; what failed is absent.

    The base, which has no variant, comes once for each seed, so that every seed is complete.
    """
    study, plan, store, tasks = prepared.study, prepared.plan, prepared.store, prepared.tasks
    files = _score_files(plan, store, tasks, study.metric)
    by_reading = {
        tuple(one.about[part] for part in ("key", "task", "item_metric")): name
        for name, one in files.items()
        if one.about["split"] == "test"
    }
    metrics = {name: metrics_of(task, study.metric) for name, task in tasks.items() if task.test}
    stages = {node.key for node in plan.stages}
    checkpoints = []
    for cell in plan.cells:
        readings = {
            task: [(keys[one.measure], task, one.name) for one in metrics[task]]
            for task, keys in cell.measurements.items()
        }
        named = {task: tuple(by_reading[at] for at in own if at in by_reading) for task, own in readings.items()}
        checkpoint, trained = cell.checkpoint, cell.checkpoint.key in stages
        checkpoints.append(
            MeasuredCheckpoint(
                checkpoint,
                named,
                cell.final,
                cell.mitigates,
                *(_cost(store, cell) if trained else (0.0, 0.0)),
                curvature=_curvature(store, cell),
                divergence=_divergence(prepared, cell),
                curve=curve_of(store, cell) if trained else [],
            )
        )
    roles = {name: tasks[name].role for name in study.tasks}
    other_ways = {name: task.other_way_of for name, task in tasks.items() if task.other_way_of}
    return Measured(study, roles, other_ways, tuple(checkpoints), files)


def write_results(
    prepared: Prepared, out: Path, *, command: Sequence[str] = (), limits: Limits = USUAL
) -> list[ResultRow]:
    """Summarise what is in the store and write it down as `write` does; an empty command is this process's own.

    Returns:
        The rows of `results.parquet`.

    Raises:
        StoreError: the folder cannot be written to.
    """
    about = provenance(prepared, command) | {"cost": spent(prepared.plan, prepared.store)}
    return write(replace(gather(prepared), limits=limits, provenance=about), out)


def _cost(store: Store, cell: Cell) -> tuple[float, float]:
    """Tokens and seconds of a checkpoint's last stage, from its own notes or from those of its scores."""
    known = stage_notes(store, cell.checkpoint.key, cell.measurement_keys)
    tokens, seconds = (known.get(name) for name in ("train_tokens", "seconds"))
    return (math.nan if tokens is None else float(tokens), math.nan if seconds is None else float(seconds))


def _curvature(store: Store, cell: Cell) -> Curvature | None:
    entry = store.get("curvature", cell.curvature_key) if cell.curvature_key else None
    return Curvature.from_dict(json.loads((entry.path / CURVATURE_FILE).read_bytes())) if entry else None


def _divergence(prepared: Prepared, cell: Cell) -> StageDivergence | None:
    entry = prepared.store.get("kl", cell.kl_key) if cell.kl_key else None
    if entry is None:
        return None
    study = prepared.study
    node = next(node for node in prepared.plan.divergences if node.key == cell.kl_key)
    table = Measurement.read(entry.path / MEASUREMENT_FILE).table
    both = mean_divergences(table, prepared.tasks[node.task], Inference(study.level, study.resamples, study.seed))
    return StageDivergence(cell.checkpoint, node.parent_key, node.task, *both)


def provenance(prepared: Prepared, command: Sequence[str] = ()) -> dict[str, Any]:
    """The provenance of a study's results: command, versions, machine, digests and seeds."""
    study, plan = prepared.study, prepared.plan
    parities = dict(_parities(plan, prepared.store))
    agreement = " ".join(one.sentence(title) for title, one in parities.items())
    cautions = {**prepared.cautions, **({PARITY: agreement} if agreement else {})}
    return {
        "study": study.name,
        "command": shown_arguments(command or sys.argv),
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": dict(installed_packages(tuple(sys.path))),
        "bases": {name: base.key for name, base in prepared.bases.items()},
        **({"judges": {name: judge.key for name, judge in prepared.judges.items()}} if prepared.judges else {}),
        "unused_weights": {name: list(base.unused) for name, base in prepared.bases.items() if base.unused},
        "precision": sorted({node.precision for node in plan.nodes}),
        "backend": study.backend,
        "seeds": sorted({cell.checkpoint.seed for cell in plan.cells}),
        **_recipes(study),
        "tasks": {name: _task_provenance(task, study.tasks.get(name)) for name, task in prepared.tasks.items()},
        "external": dict(_external_provenance(plan)),
        **({"cautions": cautions} if cautions else {}),
        **({"serve": study.serve.content()} if study.serve else {}),
        **({PARITY: {title: asdict(one) for title, one in parities.items()}} if parities else {}),
    }


def _recipes(study: Study) -> dict[str, Any]:
    """What all variants share of the recipe, what is usual there mostly left out, and in what each differs."""
    knobs = {variant_label(one.labels): dict(texts_of(one.knobs)) for one in study.variants()}
    alike = set.intersection(*(set(own.items()) for own in knobs.values()))
    usual, own = StageSettings().to_mapping(), study.stage.to_mapping()
    shown = [name for name, value in own.items() if name in _RECIPE or value != usual[name]]
    shared = {name: as_text(own[name]) for name in shown if not any(name in one for one in knobs.values())}
    differing = {name: dict(pair for pair in one.items() if pair not in alike) for name, one in knobs.items()}
    recipe: dict[str, Any] = {"recipe": shared | dict(sorted(alike))}
    return recipe | ({"variants": differing} if len(knobs) > 1 else {})


def _task_provenance(task: Task, spec: TaskSpec | None) -> dict[str, Any]:
    """What is known of a task, with the dimension that its sizes name, else the first one of its own."""
    sizes = [parse_size(size, "") for size in (spec.test, spec.train)] if spec else []
    named = [size.dimension for size in sizes if size and size.dimension]
    by = next(iter([*named, *(one for one in task.dimensions if one != LABEL)]), "")
    return {
        **({"by": by} if by else {}),
        "role": task.role,
        "version": task.version,
        "source": without_folders(task.source),
        "licence": task.licence,
        "train_examples": len(task.train),
        "test_examples": len(task.test),
        "train_digest": task.train_digest,
        "test_digest": task.test_digest,
    }


def _parities(plan: Plan, store: Store) -> Iterator[tuple[str, Parity]]:
    """How the servers that were started agree with our own scorer, by the base whose sample tells."""
    for node in plan.scores:
        entry = store.get(node.kind, node.key) if node.compared else None
        about = Measurement.read(entry.path / MEASUREMENT_FILE).provenance if entry else {}
        if PARITY in about:
            yield node.base, Parity.from_json(about[PARITY])


def _external_provenance(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each stage that another program trained, and what is known of it."""
    for node in plan.stages:
        if isinstance(external := node.operation, External):
            stage = external.stage
            path = "".join(shown_arguments([stage.path])) if stage.path else ""
            about = {"task": stage.task, "path": path, "command": stage.command}
            yield stage.label, about | {"content": dict(external.content)}


def _read(store: Store, key: str, task: Task, metric: ItemMetric, *, split: str = "test") -> Scores | None:
    entry = store.get("score", key)
    return read_scores(entry.path / MEASUREMENT_FILE, task, split=split, metric=metric, key=key) if entry else None


def _score_files(plan: Plan, store: Store, tasks: Mapping[str, Task], metric: str) -> dict[str, ScoreFile]:
    """Every measurement that is there, read by each of its item metrics, by the name of its file."""
    readings = list(_readings(plan, tasks, metric))
    abouts = [
        node.to_dict() | {"task": task, "item_metric": one.name, "deciding": deciding}
        for node, task, one, deciding in readings
    ]
    files = {}
    for (node, task, one, _), about, name in zip(readings, abouts, score_names(abouts), strict=True):
        if (scores := _read(store, node.key, tasks[task], one, split=node.split)) is not None:
            files[name] = ScoreFile(about, scores)
    return files


def _readings(plan: Plan, tasks: Mapping[str, Task], metric: str) -> Iterator[tuple[ScoreNode, str, ItemMetric, bool]]:
    """Each measurement with every task and item metric that reads it, and whether the metric decides."""
    readers: dict[str, dict[str, None]] = {}  # tasks whose test examples are the same read one
    for cell in plan.cells:
        for task, keys in cell.measurements.items():
            for key in keys.values():
                readers.setdefault(key, {})[task] = None
    for node in plan.scores:
        if node.generation:  # own answers, which are taught and not judged
            continue
        for task in readers.get(node.key, [node.task]):
            first, *further = metrics_of(tasks[task], metric)
            for one in (first, *(further if node.split == "test" else ())):
                if one.measure == node.measure:
                    yield node, task, one, one == first
