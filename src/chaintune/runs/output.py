"""What a finished run leaves in its folder: tables, scores, the resolved study and where everything came from."""

import io
import json
import math
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from chaintune import forgetting
from chaintune.execution.bases import BaseModel
from chaintune.execution.cost import spent, stage_notes
from chaintune.execution.hardware import installed_packages
from chaintune.execution.learning import learning_table
from chaintune.files import atomic
from chaintune.files.disk import os_errors_as_store_error
from chaintune.files.names import file_names, shown_arguments, without_folders
from chaintune.forgetting.divergence import StageDivergence, divergence_pairs, divergence_rows, mean_divergences
from chaintune.forgetting.recommend import USUAL
from chaintune.forgetting.sharpness import sharpness_pairs, sharpness_rows
from chaintune.models import Precision
from chaintune.plan.nodes import CURVATURE_FILE, MEASUREMENT_FILE, Cell, External, ScoreNode
from chaintune.plan.plan import Plan
from chaintune.records import (
    CheckpointCurvature,
    CheckpointScores,
    Curvature,
    Estimate,
    ItemMetric,
    Limits,
    Measurement,
    ResultRow,
    Scores,
    Task,
    rows_to_polars,
)
from chaintune.records.parity import PARITY, Parity
from chaintune.scoring.reading import metrics_of, read_scores, with_second_lines
from chaintune.store.store import Store
from chaintune.study.study import Study


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


def gather(plan: Plan, store: Store, tasks: Mapping[str, Task], *, metric: str = "auto") -> list[CheckpointScores]:
    """The finished scores of a plan, one record for each checkpoint as the study names it.

    The base, which has no seed, comes once for each variant and seed, so that every family of chains
    is complete. Scores that failed are absent; a checkpoint without any is left out.

    Args:
        plan: of the study.
        store: holds the measurements.
        tasks: name -> task.
        metric: what scores an example, where a task names no item metric and this one suits it.
    """
    read: dict[tuple[str, str, str], Scores | None] = {}
    metrics = {name: with_second_lines(metrics_of(task, metric)) for name, task in tasks.items() if task.test}
    checkpoints = []
    stages = {node.key for node in plan.stages}
    for cell in plan.cells:
        scores: dict[str, Scores] = {}
        further: dict[str, dict[str, Scores]] = {}
        for task, keys in cell.measurements.items():
            for place, one in enumerate(metrics[task]):
                at = (keys[one.measure], task, one.name)
                if at not in read:
                    read[at] = _read(store, at[0], tasks[task], one)
                if (table := read[at]) is None:
                    continue
                if place:
                    further.setdefault(task, {})[one.name] = table
                else:
                    scores[task] = table
        if scores or further:
            cost = _cost(store, cell) if cell.checkpoint.key in stages else (0.0, 0.0)
            known = CheckpointScores(cell.checkpoint, scores, cell.mitigates, *cost, final=cell.final, further=further)
            checkpoints.append(known)
    return checkpoints


def gather_curvatures(plan: Plan, store: Store) -> list[CheckpointCurvature]:
    """The finished curvatures of a plan, one for each checkpoint as the study names it."""
    curvatures = []
    for cell in plan.cells:
        entry = store.get("curvature", cell.curvature_key) if cell.curvature_key else None
        if entry is not None:
            curvature = Curvature.from_dict(json.loads((entry.path / CURVATURE_FILE).read_bytes()))
            curvatures.append(CheckpointCurvature(cell.checkpoint, curvature))
    return curvatures


def gather_divergences(
    plan: Plan, store: Store, tasks: Mapping[str, Task], *, level: float, resamples: int, seed: int
) -> list[StageDivergence]:
    """The finished divergences of a plan, one for each stage as the study names its checkpoint."""
    nodes = {node.key: node for node in plan.divergences}
    divergences = []
    for cell in plan.cells:
        entry = store.get("kl", cell.kl_key) if cell.kl_key else None
        if entry is not None:
            node, table = nodes[cell.kl_key], Measurement.read(entry.path / MEASUREMENT_FILE).table
            both = mean_divergences(table, tasks[node.task], level=level, resamples=resamples, seed=seed)
            divergences.append(StageDivergence(cell.checkpoint, node.parent_key, node.task, *both))
    return divergences


def _cost(store: Store, cell: Cell) -> tuple[float, float]:
    """Tokens and seconds of a checkpoint's last stage, from its own notes or from those of its scores."""
    known = stage_notes(store, cell.checkpoint.key, cell.measurement_keys)
    tokens, seconds = (known.get(name) for name in ("train_tokens", "seconds"))
    return (math.nan if tokens is None else float(tokens), math.nan if seconds is None else float(seconds))


def write_results(
    prepared: Prepared, out: Path, *, command: Sequence[str] = (), limits: Limits = USUAL
) -> list[ResultRow]:
    """Summarise what is in the store and write it down; each file appears whole or not at all.

    Files: `results.parquet`, `results.json`, `scores/*.parquet` with `scores/index.json`,
    `study.resolved.yaml`, `provenance.json`; with curvatures `curvature.parquet`, a row for each pair of
    checkpoints, and likewise with divergences `kl.parquet`; where stages were trained `training.parquet`, the loss
    along each.

    Args:
        prepared: the study that was run.
        out: the folder.
        command: as it was typed; empty is this process's own.
        limits: what a recommended dose has to reach.

    Returns:
        The rows of `results.parquet`.

    Raises:
        StoreError: the folder cannot be written to.
    """
    study, plan, store, tasks = prepared.study, prepared.plan, prepared.store, prepared.tasks
    rows = forgetting.summarise(
        gather(plan, store, tasks, metric=study.metric),
        study=study.name,
        roles={name: tasks[name].role for name in study.tasks},
        level=study.level,
        resamples=study.resamples,
        seed=study.seed,
        forgetting_from=study.forgetting_from,
        seed_variance=study.seed_variance,
        other_ways={name: task.other_way_of for name, task in tasks.items() if task.other_way_of},
    )
    curvatures = gather_curvatures(plan, store)
    pairs = sharpness_pairs(curvatures, rows)
    if plan.curvatures:
        rows += sharpness_rows(
            curvatures, pairs, study=study.name, level=study.level, resamples=study.resamples, seed=study.seed
        )
    if plan.divergences:
        how: dict[str, Any] = {"level": study.level, "resamples": study.resamples, "seed": study.seed}
        divergences = gather_divergences(plan, store, tasks, **how)
        moved = divergence_pairs(divergences, rows)
        rows += divergence_rows(divergences, moved, study=study.name, **how)
    curves = learning_table(plan, store)
    with os_errors_as_store_error(out, "the results cannot be written"):
        if curves.height:
            _write_table(curves, out / "training.parquet")
        if plan.curvatures:
            _write_table(pairs, out / "curvature.parquet")
        if plan.divergences:
            _write_table(moved, out / "kl.parquet")
        _write_rows(rows, study, out, limits)
        _write_scores(plan, store, tasks, study.metric, out / "scores")
        atomic.write_bytes(out / "study.resolved.yaml", study.to_yaml(out).encode())
        about = provenance(prepared, command) | {"cost": spent(plan, store)}
        atomic.write_json(out / "provenance.json", about)
    return rows


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
        "tasks": {name: _task_provenance(prepared.tasks[name]) for name in prepared.tasks},
        "external": dict(_external_provenance(plan)),
        **({"cautions": cautions} if cautions else {}),
        **({"serve": study.serve.content()} if study.serve else {}),
        **({PARITY: {title: asdict(one) for title, one in parities.items()}} if parities else {}),
    }


def _task_provenance(task: Task) -> dict[str, Any]:
    return {
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


def _write_rows(rows: Sequence[ResultRow], study: Study, out: Path, limits: Limits = USUAL) -> None:
    _write_table(rows_to_polars(rows) if rows else _no_rows(), out / "results.parquet")
    atomic.write_json(
        out / "results.json",
        {
            "study": study.name,
            "metric": study.metric,
            "level": study.level,
            "rows": [row.to_dict() for row in rows],
            "limits": asdict(limits),
            "recommended": [choice.to_dict() for choice in forgetting.recommend(rows, limits)],
        },
    )


def _write_table(table: pl.DataFrame, path: Path) -> None:
    content = io.BytesIO()
    table.write_parquet(content)
    atomic.write_bytes(path, content.getvalue())


def _no_rows() -> pl.DataFrame:
    """The table of a study of which nothing could be measured: every column, no row."""
    one = ResultRow("", "", "", "", 0, "", "", "", "", "", "", Estimate.undefined(""))
    return rows_to_polars([one]).clear()


def _write_scores(plan: Plan, store: Store, tasks: Mapping[str, Task], metric: str, folder: Path) -> None:
    """Score files under names that people can read; those of an earlier run that are no more are removed."""
    index: dict[str, dict[str, Any]] = {}
    several = len({cell.checkpoint.base for cell in plan.cells}) > 1
    atomic.own_folder(folder)
    readings = list(_readings(plan, tasks, metric))
    described = [
        node.to_dict() | {"task": task, "item_metric": one.name, "deciding": deciding}
        for node, task, one, deciding in readings
    ]
    names = file_names([_title(about, several_bases=several) for about in described], ".parquet")
    for (node, task, one, _), about, name in zip(readings, described, names, strict=True):
        if (scores := _read(store, node.key, tasks[task], one, split=node.split)) is None:
            continue
        with atomic.atomic_write(folder / name) as partial:
            scores.write(partial)
        index[name] = about
    kept = {name.casefold() for name in index}
    for name in _earlier(folder):
        if name.casefold() not in kept:
            (folder / name).unlink(missing_ok=True)
    atomic.write_json(folder / "index.json", index)


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


def _earlier(folder: Path) -> set[str]:
    """File names, and nothing but names, that an earlier run put into its index."""
    try:
        names = json.loads((folder / "index.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return set()
    return {name for name in names if Path(name).name == name and name.endswith(".parquet")}


def _title(node: Mapping[str, Any], *, several_bases: bool) -> str:
    """`bbq-csqa.learning_rate=2e-05.seed1.on-bbq`."""
    parts = [node["base"]] if several_bases else []
    parts += [node["chain"].replace(">", "-")]
    if node["seed"] is not None:
        parts += [node["variant"].replace(", ", "."), f"seed{node['seed']}"]
    parts += [f"on-{node['task']}", node["split"].removeprefix("test")]
    parts += [] if node["deciding"] else [f"by-{node['item_metric']}"]
    return ".".join(filter(None, parts))
