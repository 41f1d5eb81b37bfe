"""Tables of what may predict forgetting: curvature, and how far a stage moved the model."""

import math
from collections.abc import Sequence

from chaintune.forgetting.divergence import BACKWARD, CORRELATION, FORWARD
from chaintune.records import Curvature, ResultRow
from chaintune.report.cells import Table, checkpoint, p_text, score

CURVATURE_METRICS = {"curvature", "curvature_forgetting_correlation"}
_DIVERGENCES = {FORWARD: "forward", BACKWARD: "backward", CORRELATION: "rank correlation with forgetting"}
KL_METRICS = set(_DIVERGENCES)


def curvature_table(curvatures: Sequence[Curvature]) -> Table:
    """One row a task: both ends of the spectrum, how well they converged, how they vary, and what they cost."""
    spaces = {"full": "all weights", "lora": "the adapter's weights"}
    dimensions = ", ".join(sorted({f"{spaces[one.space]} ({one.parameters:,})" for one in curvatures}))
    reasons = "; ".join(f"{one.task}: {one.reason}" for one in curvatures if one.reason)
    note = (
        f"Eigenvalues of the Hessian of the mean answer loss, in nats a token, in {dimensions}. Radius: the largest "
        "in magnitude. Residual: the larger end's, as a share of the radius. Parts: mean and standard deviation of "
        f"the radius on disjoint parts. These examples only, so no interval.{' ' + reasons if reasons else ''}"
    )
    header = ("task", "n", "radius", "top", "bottom", "residual", "parts", "loss", "gradient", "products")
    return Table("Curvature", note, header, tuple(_row(one) for one in curvatures))


def curvature_rows_table(rows: Sequence[ResultRow]) -> Table | None:
    """Of a study: curvature of each first checkpoint, and its rank correlation with what was then forgotten."""
    shown = [row for row in rows if row.metric in CURVATURE_METRICS]
    lines = tuple(
        (
            "curvature" if row.chain else "rank correlation with forgetting",
            f"{checkpoint(row, shown)}, seed {row.seed}" if row.chain else "",
            row.task or "all tasks",
            str(row.estimate.n),
            _number(row.estimate.value) if row.chain else score(row),
            p_text(row.estimate.p_value),
        )
        for row in shown
    )
    note = (
        "Curvature: largest Hessian eigenvalue in magnitude, of the checkpoint that the next stage overwrites; n "
        "counts examples. Correlation: Spearman, with its interval; n counts pairs, taken as "
        "independent."
    )
    return Table(
        "Curvature and what was then forgotten", note, ("what", "checkpoint", "task", "n", "value", "p"), lines
    )


def divergence_table(rows: Sequence[ResultRow]) -> Table | None:
    """Of a study: how far each stage moved the model, and the rank correlation with what was then forgotten."""
    shown = [row for row in rows if row.metric in KL_METRICS]
    if not shown:
        return None
    lines = tuple(
        (
            _DIVERGENCES[row.metric],
            f"{checkpoint(row, shown)}, seed {row.seed}" if row.chain else "",
            row.task or "all tasks",
            str(row.estimate.n),
            _nats(row) if row.chain else score(row),
            p_text(row.estimate.p_value),
        )
        for row in shown
    )
    note = (
        "KL divergence between a checkpoint and its parent in nats a token, on the answers of the task that the stage "
        "taught (its test split): forward is KL(parent ‖ child), backward KL(child ‖ parent); n counts examples. "
        "Correlation: Spearman, of the forward one with what other tasks lost in that stage, with its interval; n "
        "counts pairs, taken as independent."
    )
    header = ("what", "checkpoint", "task", "n", "value", "p")
    return Table("KL divergence to the parent and what was then forgotten", note, header, lines)


def _nats(row: ResultRow) -> str:
    estimate = row.estimate
    ends = f" ({_number(estimate.low)} to {_number(estimate.high)})" if not math.isnan(estimate.low) else ""
    return f"{_number(estimate.value)}{ends}"


def _row(one: Curvature) -> tuple[str, ...]:
    residuals = [value for value in (one.top_residual, one.bottom_residual) if not math.isnan(value)]
    parts = f"{_number(one.batch_mean)} ({_number(one.batch_sd)}), {len(one.batch_radii)}" if one.batch_radii else ""
    return (
        one.task,
        f"{one.n:,}",
        _number(one.radius),
        _number(one.top),
        _number(one.bottom),
        f"{max(residuals):.1g}" if residuals else "undefined",
        parts,
        _number(one.loss),
        _number(one.gradient_norm),
        f"{one.products:,}",
    )


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4g}"
