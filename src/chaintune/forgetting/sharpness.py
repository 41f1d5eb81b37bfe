"""Curvature of the checkpoint that is about to be overwritten, beside what was then forgotten."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from chaintune.forgetting.runs import named
from chaintune.records import CheckpointCurvature, Estimate, ResultRow
from chaintune.stats.ranks import rank_correlation

PAIRS_SCHEMA = {
    "base": pl.String, "chain": pl.String, "variant": pl.String, "seed": pl.String, "task": pl.String,
    "space": pl.String, "radius": pl.Float64, "top": pl.Float64, "bottom": pl.Float64,
    "top_residual": pl.Float64, "bottom_residual": pl.Float64, "batch_mean": pl.Float64, "batch_sd": pl.Float64,
    "loss": pl.Float64, "n": pl.Int64, "reason": pl.String,
    "forgetting": pl.Float64, "forgetting_low": pl.Float64, "forgetting_high": pl.Float64,
}  # fmt: skip


def sharpness_pairs(bent: Sequence[CheckpointCurvature], rows: Sequence[ResultRow]) -> pl.DataFrame:
    """One row for each (base, chain, variant, seed): curvature of the first checkpoint, then its forgetting.

    Args:
        bent: the measured first checkpoints.
        rows: of the study; what the next stage alone, without a mitigation, made of the first task is looked up there.
    """
    mitigated = {row.chain for row in rows if row.mitigation}
    lost = {
        (row.base, row.chain, row.variant, row.seed, row.task): row.estimate
        for row in rows
        if row.metric == "forgetting"
        and not row.dimension
        and row.stage == 2
        and row.reference == row.task
        and row.chain not in mitigated
    }
    pairs = []
    for one in bent:
        start, variant = named(one.chain), ", ".join(f"{name}={value}" for name, value in one.variant)
        for (base, chain, setting, seed, task), estimate in lost.items():
            if (base, setting, seed, task) != (one.base, variant, str(one.seed), start):
                continue
            own = {"base": base, "chain": chain, "variant": setting, "seed": seed, "task": task}
            after = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
            pairs.append(_numbers(one) | own | {f"forgetting{end}": value for end, value in after.items()})
    return pl.DataFrame(pairs, schema=PAIRS_SCHEMA)


def sharpness_rows(
    bent: Sequence[CheckpointCurvature], pairs: pl.DataFrame, *, study: str, level: float, resamples: int, seed: int
) -> list[ResultRow]:
    """The curvature of each checkpoint, and its rank correlation with forgetting for each task and for all.

    Pairs of one checkpoint and several next tasks share their curvature, and the correlation takes them for
    independent; tasks differ in the scale of their loss, so the correlation over all tasks mixes scales.

    Args:
        bent: the measured first checkpoints.
        pairs: from `sharpness_pairs`.
        study: name of the study.
        level: of the intervals.
        resamples: permutations behind each p-value.
        seed: of the permutations.
    """
    rows = [_curvature_row(one, study) for one in bent]
    tasks = pairs["task"].unique(maintain_order=True).to_list()
    for task in [*tasks, *([""] if len(tasks) > 1 else [])]:
        chosen = pairs.filter(pl.col("task") == task) if task else pairs
        columns = (chosen[name].to_numpy().astype(np.float64) for name in ("radius", "forgetting"))
        found = rank_correlation(*columns, level=level, resamples=resamples, seed=seed)
        bases = chosen["base"].unique().to_list()
        base = bases[0] if len(bases) == 1 else ""
        rows.append(
            ResultRow(study, base, "", "", 0, "", task, "curvature_forgetting_correlation", "", "", "all", found)
        )
    return rows


def _numbers(one: CheckpointCurvature) -> dict[str, object]:
    return {name: getattr(one.curvature, name) for name in PAIRS_SCHEMA if hasattr(one.curvature, name)}


def _curvature_row(one: CheckpointCurvature, study: str) -> ResultRow:
    found = one.curvature
    estimate = Estimate(
        found.radius,
        n=found.n,
        n_clusters=found.n_clusters,
        method=f"Lanczos on {found.products} Hessian-vector products, {found.space} space",
        reason=found.reason or "no interval: the curvature of these examples only",
    )
    variant = ", ".join(f"{name}={value}" for name, value in one.variant)
    chain = named(one.chain)
    return ResultRow(
        study, one.base, chain, variant, len(one.chain), "", found.task, "curvature", "", "", str(one.seed), estimate
    )
