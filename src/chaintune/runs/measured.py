"""What a run measured, as its folder keeps it: all that its statistics are made of, without store, weights or data."""

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from chaintune import forgetting
from chaintune.errors import DataError
from chaintune.execution.learning import Curve, curve_table
from chaintune.files import atomic
from chaintune.files.disk import os_errors_as_store_error
from chaintune.files.names import file_names
from chaintune.files.reading import ANEW, as_written, check_shape, read_json, read_parquet
from chaintune.forgetting.divergence import StageDivergence, divergence_pairs, divergence_rows
from chaintune.forgetting.options import Inference
from chaintune.forgetting.recommend import USUAL
from chaintune.forgetting.sharpness import sharpness_pairs, sharpness_rows
from chaintune.records import (
    ChainStep,
    Checkpoint,
    CheckpointCurvature,
    CheckpointScores,
    Curvature,
    Estimate,
    Limits,
    MitigationRef,
    ResultRow,
    Role,
    Scores,
    chain_label,
    rows_to_polars,
    variant_label,
)
from chaintune.records.amounts import number, plain
from chaintune.scoring.reading import with_second_lines
from chaintune.study.study import Study

CHECKPOINTS, CURVES, CURVATURES, DIVERGENCES = "checkpoints.json", "training.parquet", "curvature.parquet", "kl.parquet"
_PROVENANCE = {
    **dict.fromkeys(("study", "python", "platform", "machine"), str),
    "command": [str],
    "packages": {"*": str},
    "tasks": {"*": {"role": str}},
}
_ENTRY = dict.fromkeys(("key", "task", "item_metric", "split"), str) | {"deciding": bool}


@dataclass(frozen=True, slots=True, eq=False)
class ScoreFile:
    """One file of a run's `scores/`.

    Attributes:
        about: its entry in `scores/index.json`.
        scores: that it holds.
    """

    about: Mapping[str, Any]
    scores: Scores


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredCheckpoint:
    """One checkpoint as its study names it, and what was measured at it.

    Attributes:
        checkpoint: with its seed.
        files: task -> names of its score files of test examples; none of what failed.
        final: whether a chain of the study ends here.
        mitigates: the chains that lost a task and that this checkpoint is compared with.
        train_tokens, train_seconds: that the last stage took; NaN when not known.
        curvature: measured at it; None where none was.
        divergence: from its parent; None where none was measured.
        curve: steps and losses of the last stage.
    """

    checkpoint: Checkpoint
    files: Mapping[str, tuple[str, ...]]
    final: bool = False
    mitigates: tuple[MitigationRef, ...] = ()
    train_tokens: float = math.nan
    train_seconds: float = math.nan
    curvature: Curvature | None = None
    divergence: StageDivergence | None = None
    curve: Curve = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Everything that was measured of a study.

    Attributes:
        study: as its file says.
        roles: of its tasks.
        other_ways: tasks that ask the examples of another one the other way -> that one.
        checkpoints: in the order of the plan.
        files: name -> scores, of the test examples and of others that were measured.
        limits: what a recommended dose has to reach.
        provenance: as `provenance.json` holds it.
    """

    study: Study
    roles: Mapping[str, Role]
    other_ways: Mapping[str, str]
    checkpoints: tuple[MeasuredCheckpoint, ...]
    files: Mapping[str, ScoreFile]
    limits: Limits = USUAL
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """Seeds of its checkpoints, sorted."""
        return sorted({seed for one in self.checkpoints if (seed := one.checkpoint.seed) is not None})

    def scored(self) -> list[CheckpointScores]:
        """What each checkpoint scored, with the second lines of its measures; one without any score is left out."""
        tables: dict[tuple[str, ...], tuple[Scores | None, dict[str, Scores]]] = {}
        scored = []
        for one in self.checkpoints:
            scores: dict[str, Scores] = {}
            further: dict[str, dict[str, Scores]] = {}
            for task, names in one.files.items():
                if names not in tables:
                    tables[names] = _by_metric([self.files[name] for name in names])
                deciding, others = tables[names]
                scores |= {task: deciding} if deciding else {}
                further |= {task: others} if others else {}
            if scores or further:
                cost = (one.train_tokens, one.train_seconds)
                scored.append(
                    CheckpointScores(one.checkpoint, scores, one.mitigates, *cost, final=one.final, further=further)
                )
        return scored


def _by_metric(files: Sequence[ScoreFile]) -> tuple[Scores | None, dict[str, Scores]]:
    """The scores by the item metric that decides, and those by each further one and by second lines."""
    deciding = next((one.scores for one in files if one.about["deciding"]), None)
    further = {one.scores.metric.name: one.scores for one in files if not one.about["deciding"]}
    metrics = [one.scores.metric for one in files]
    for second in with_second_lines(metrics)[len(metrics) :]:
        source = next(one.scores for one in files if one.scores.metric.measure == second.measure)
        further[second.name] = source.by(second.name)
    return deciding, further


def write(measured: Measured, out: Path) -> list[ResultRow]:
    """Summarise what was measured and write it down; each file appears whole or not at all.

    Files: `results.parquet`, `results.json`, `scores/*.parquet` with `scores/index.json`, `checkpoints.json`,
    `study.resolved.yaml`, `provenance.json`; with curvatures `curvature.parquet`, a row for each pair of checkpoints,
    and likewise with divergences `kl.parquet`; where stages were trained `training.parquet`, the loss along each.

    Returns:
        The rows of `results.parquet`.

    Raises:
        StoreError: the folder cannot be written to.
    """
    study, checkpoints = measured.study, measured.checkpoints
    rows = forgetting.summarise(
        measured.scored(),
        study=study.name,
        roles=measured.roles,
        level=study.level,
        resamples=study.resamples,
        seed=study.seed,
        forgetting_from=study.forgetting_from,
        seed_variance=study.seed_variance,
        other_ways=measured.other_ways,
    )
    options = Inference(study.level, study.resamples, study.seed)
    curves = curve_table((one.checkpoint, one.curve) for one in checkpoints)
    tables: dict[str, pl.DataFrame] = {CURVES: curves} if curves.height else {}
    if curvatures := [CheckpointCurvature(one.checkpoint, one.curvature) for one in checkpoints if one.curvature]:
        tables[CURVATURES] = pairs = sharpness_pairs(curvatures, rows)
        rows += sharpness_rows(curvatures, pairs, study=study.name, options=options)
    if divergences := [one.divergence for one in checkpoints if one.divergence]:
        tables[DIVERGENCES] = moved = divergence_pairs(divergences, rows)
        rows += divergence_rows(divergences, moved, study=study.name, options=options)
    with os_errors_as_store_error(out, "the results cannot be written"):
        for name in (CURVES, CURVATURES, DIVERGENCES):
            if name in tables:
                _write_table(tables[name], out / name)
            else:  # that of an earlier run would be drawn as if it were of this one
                (out / name).unlink(missing_ok=True)
        _write_rows(rows, measured, out)
        _write_scores(measured.files, out / "scores")
        atomic.write_json(out / CHECKPOINTS, _plain(measured))
        atomic.write_bytes(out / "study.resolved.yaml", study.to_yaml(out).encode())
        atomic.write_json(out / "provenance.json", measured.provenance)
    return rows


def read(folder: Path) -> Measured:
    """What `write` wrote into a run's folder.

    Raises:
        DataError: a file is missing, or holds something else.
        ConfigError: the study in it is not valid here.
    """
    if not (folder / CHECKPOINTS).is_file():
        raise DataError(f"{folder / CHECKPOINTS}: no such file; expected the --out folder of a finished run; {ANEW}")
    with as_written(folder / "provenance.json"):
        provenance = read_json(folder / "provenance.json")
        check_shape(provenance, _PROVENANCE)
    study = replace(Study.from_yaml(folder / "study.resolved.yaml"), name=provenance["study"])
    with as_written(folder / "scores" / "index.json"):
        index = read_json(folder / "scores" / "index.json")
        check_shape(index, {"*": _ENTRY})
        files = {
            name: ScoreFile(about, Scores.read(folder / "scores" / Path(name).name)) for name, about in index.items()
        }
    curves = _curves(folder / CURVES)
    with as_written(folder / CHECKPOINTS):
        content = read_json(folder / CHECKPOINTS)
        names = list(study.tasks)  # whose order the keys of JSON do not keep
        other_ways = dict(sorted(content["other_ways"].items(), key=lambda pair: names.index(pair[1])))
        names += other_ways
        return Measured(
            study,
            {name: provenance["tasks"][name]["role"] for name in study.tasks},
            other_ways,
            tuple(_checkpoint(one, curves, files, names) for one in content["checkpoints"]),
            files,
            Limits(**content["limits"]),
            provenance,
        )


def score_names(abouts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of score files that people can read: `bbq-csqa.lora.lr=1e-3.seed1.on-bbq.parquet`.

    Args:
        abouts: their entries in `scores/index.json`.
    """
    several = len({about["base"] for about in abouts}) > 1
    return file_names([_title(about, several_bases=several) for about in abouts], ".parquet")


def _title(about: Mapping[str, Any], *, several_bases: bool) -> str:
    parts = [about["base"]] if several_bases else []
    parts += [about["chain"].replace(">", "-")]
    if about["seed"] is not None:
        parts += [about["variant"].replace(" ", "."), f"seed{about['seed']}"]
    parts += [f"on-{about['task']}", about["split"].removeprefix("test")]
    parts += [] if about["deciding"] else [f"by-{about['item_metric']}"]
    return ".".join(filter(None, parts))


def _write_rows(rows: Sequence[ResultRow], measured: Measured, out: Path) -> None:
    study = measured.study
    _write_table(rows_to_polars(rows) if rows else _no_rows(), out / "results.parquet")
    atomic.write_json(
        out / "results.json",
        {
            "study": study.name,
            "metric": study.metric,
            "level": study.level,
            "rows": [row.to_dict() for row in rows],
            "limits": asdict(measured.limits),
            "recommended": [choice.to_dict() for choice in forgetting.recommend(rows, measured.limits)],
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


def _write_scores(files: Mapping[str, ScoreFile], folder: Path) -> None:
    """Score files and their index; files of an earlier run that are no more are removed."""
    atomic.own_folder(folder)
    for name, one in files.items():
        with atomic.atomic_write(folder / name) as partial:
            one.scores.write(partial)
    kept = {name.casefold() for name in files}
    for name in _earlier(folder):
        if name.casefold() not in kept:
            (folder / name).unlink(missing_ok=True)
    atomic.write_json(folder / "index.json", {name: dict(one.about) for name, one in files.items()})


def _earlier(folder: Path) -> set[str]:
    """File names, and nothing but names, that an earlier run put into its index."""
    try:
        names = json.loads((folder / "index.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return set()
    return {name for name in names if Path(name).name == name and name.endswith(".parquet")}


def _plain(measured: Measured) -> dict[str, Any]:
    """The content of `checkpoints.json`: what tables and score files do not say of the checkpoints."""
    return {
        "limits": asdict(measured.limits),
        "other_ways": dict(measured.other_ways),
        "checkpoints": [_plain_checkpoint(one) for one in measured.checkpoints],
    }


def _plain_checkpoint(one: MeasuredCheckpoint) -> dict[str, Any]:
    own: dict[str, Any] = {}
    if one.divergence:
        both = {name: plain(getattr(one.divergence, name)) for name in ("forward", "backward")}
        own["divergence"] = {"parent_key": one.divergence.parent_key, "task": one.divergence.task, **both}
    if one.curvature:
        own["curvature"] = one.curvature.to_dict()
    cost = {name: plain(getattr(one, name)) for name in ("train_tokens", "train_seconds")}
    about = {"final": one.final, "mitigates": [asdict(ref) for ref in one.mitigates], **cost}
    return asdict(one.checkpoint) | about | {"files": {task: list(names) for task, names in one.files.items()}} | own


def _checkpoint(
    plain: Mapping[str, Any],
    curves: Mapping[tuple[Any, ...], Curve],
    files: Mapping[str, ScoreFile],
    tasks: Sequence[str],
) -> MeasuredCheckpoint:
    variant = tuple((name, value) for name, value in plain["variant"])
    at = Checkpoint(plain["base"], _chain(plain["chain"]), variant, plain["seed"], plain["key"])
    curvature, divergence = plain.get("curvature"), plain.get("divergence")
    if divergence:
        both = (Estimate(**_numbers(divergence[name])) for name in ("forward", "backward"))
        divergence = StageDivergence(at, divergence["parent_key"], divergence["task"], *both)
    cost = _numbers({name: plain[name] for name in ("train_tokens", "train_seconds")})
    measured = {task: plain["files"][task] for task in tasks if task in plain["files"]}
    named = {task: tuple(name for name in names if name in files) for task, names in measured.items()}
    return MeasuredCheckpoint(
        at,
        named,
        plain["final"],
        tuple(_mitigation(ref) for ref in plain["mitigates"]),
        **cost,
        curvature=Curvature.from_dict(curvature) if curvature else None,
        divergence=divergence,
        curve=curves.get(_place(at), []),
    )


def _mitigation(plain: Mapping[str, Any]) -> MitigationRef:
    return MitigationRef(**{**plain, "chain": _chain(plain["chain"]), "keep": tuple(plain["keep"])})


def _chain(plain: Iterable[Mapping[str, Any]]) -> tuple[ChainStep, ...]:
    return tuple(ChainStep(**{**step, "tasks": tuple(step["tasks"])}) for step in plain)


def _curves(path: Path) -> dict[tuple[Any, ...], Curve]:
    """Base, chain, variant and seed -> the loss along the last stage, where there is any."""
    if not path.is_file():
        return {}
    with as_written(path):
        curves: dict[tuple[Any, ...], Curve] = {}
        for row in read_parquet(path).to_pylist():
            place = tuple(row[name] for name in ("base", "chain", "variant", "seed"))
            curves.setdefault(place, []).append([row["step"], row["loss"]])
        return curves


def _place(at: Checkpoint) -> tuple[Any, ...]:
    return (at.base, chain_label(at.labels), variant_label(at.variant), str(at.seed))


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `plain` made plain."""
    return {name: number(value) for name, value in values.items()}
