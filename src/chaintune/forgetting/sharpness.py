"""Curvature of the checkpoint that is about to be overwritten, beside what was then forgotten."""

from collections.abc import Sequence

import polars as pl

from chaintune.forgetting.options import Inference
from chaintune.forgetting.predictors import correlation_rows
from chaintune.records import CheckpointCurvature, Estimate, ResultRow, chain_label, variant_label

PAIRS_SCHEMA = {
    "base": pl.String, "chain": pl.String, "variant": pl.String, "seed": pl.String, "task": pl.String,
    "space": pl.String, "radius": pl.Float64, "top": pl.Float64, "bottom": pl.Float64,
    "top_residual": pl.Float64, "bottom_residual": pl.Float64, "batch_mean": pl.Float64, "batch_sd": pl.Float64,
    "loss": pl.Float64, "n": pl.Int64, "reason": pl.String,
    "forgetting": pl.Float64, "forgetting_low": pl.Float64, "forgetting_high": pl.Float64,
}  # fmt: skip


def sharpness_pairs(curvatures: Sequence[CheckpointCurvature], rows: Sequence[ResultRow]) -> pl.DataFrame:
    """One row for each (base, chain, variant, seed): curvature of the first checkpoint, then its forgetting.

    Args:
        curvatures: of the first checkpoints.
        rows: of the study; in it, the first task's forgetting in the next stage without a mitigation is looked up.
    """
    mitigated = {row.chain for row in rows if row.mitigation}
    whole = (row for row in rows if row.metric == "forgetting" and row.is_whole and row.deciding)
    lost = [row for row in whole if row.chain not in mitigated]
    pairs = []
    for one in curvatures:
        for row in lost:
            if _follows(row, one):
                own = {"base": row.base, "chain": row.chain, "variant": row.variant, "seed": row.seed, "task": row.task}
                after = {"": row.estimate.value, "_low": row.estimate.low, "_high": row.estimate.high}
                pairs.append(_numbers(one) | own | {f"forgetting{end}": value for end, value in after.items()})
    return pl.DataFrame(pairs, schema=PAIRS_SCHEMA)


def _follows(row: ResultRow, one: CheckpointCurvature) -> bool:
    """Whether a forgetting is that of the next stage, counted from the very checkpoint whose curvature is known."""
    at = one.checkpoint
    here = (row.base, row.variant, row.seed) == (at.base, variant_label(at.variant), str(at.seed))
    next_stage = row.stage == len(at.chain) + 1 and row.reference_keys == (at.key,)
    return here and next_stage and row.task == one.curvature.task


def sharpness_rows(
    curvatures: Sequence[CheckpointCurvature],
    pairs: pl.DataFrame,
    *,
    study: str,
    options: Inference,
) -> list[ResultRow]:
    """The curvature of each checkpoint, and its rank correlation with forgetting for each task and for all.

    Pairs of one checkpoint and several next tasks share their curvature; see `correlation_rows`.

    Args:
        curvatures: of the first checkpoints.
        pairs: from `sharpness_pairs`.
        study: name of the study.
        options: level of the intervals; permutations behind each p-value, and their seed.
    """
    rows = [_curvature_row(one, study) for one in curvatures]
    metric = "curvature_forgetting_correlation"
    return rows + correlation_rows(pairs, "radius", metric, study=study, options=options)


def _numbers(one: CheckpointCurvature) -> dict[str, object]:
    return {name: getattr(one.curvature, name) for name in PAIRS_SCHEMA if hasattr(one.curvature, name)}


def _curvature_row(one: CheckpointCurvature, study: str) -> ResultRow:
    curvature = one.curvature
    estimate = Estimate(
        curvature.radius,
        n=curvature.n,
        n_clusters=curvature.n_clusters,
        method=f"Lanczos on {curvature.products} Hessian-vector products, {curvature.space} space",
        reason=curvature.reason or "no interval: the curvature of these examples only",
    )
    at = one.checkpoint
    return ResultRow(
        study, at.base, chain_label(at.labels), variant_label(at.variant), len(at.chain), "", curvature.task,
        "curvature", "", "", str(at.seed), estimate, checkpoint_keys=(at.key,) if at.key else (), steps=at.labels,
        settings=tuple(value for _, value in at.variant),
    )  # fmt: skip
