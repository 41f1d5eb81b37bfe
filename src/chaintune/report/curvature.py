"""Tables of what may predict forgetting: curvature, and how far a stage moved the model."""

import math
from collections.abc import Mapping, Sequence

from chaintune.forgetting.divergence import BACKWARD, CORRELATION, FORWARD
from chaintune.records import Curvature, ResultRow
from chaintune.report.cells import Table, checkpoint, p_text, score

_CORRELATED = "rank correlation with forgetting"
_CURVATURE = {"curvature": "curvature", "curvature_forgetting_correlation": _CORRELATED}
_DIVERGENCES = {FORWARD: "forward", BACKWARD: "backward", CORRELATION: _CORRELATED}
CURVATURE_METRICS, KL_METRICS = set(_CURVATURE), set(_DIVERGENCES)


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


def curvature_rows_table(rows: Sequence[ResultRow]) -> Table:
    """Of a study: curvature of each first checkpoint, and its rank correlation with what was then forgotten."""
    note = (
        "Curvature: largest Hessian eigenvalue in magnitude, of the checkpoint that the next stage overwrites; n "
        "counts examples. Correlation: Spearman, with its interval; n counts pairs, taken as "
        "independent."
    )
    return _predictor_table("Curvature and what was then forgotten", note, rows, _CURVATURE)


def divergence_table(rows: Sequence[ResultRow]) -> Table:
    """Of a study: how far each stage moved the model, and the rank correlation with what was then forgotten."""
    note = (
        "KL divergence between a checkpoint and its parent in nats a token, on the answers of the task that the stage "
        "taught (its test split): forward is KL(parent ‖ child), backward KL(child ‖ parent); n counts examples. "
        "Correlation: Spearman, of the forward one with what other tasks lost in that stage, with its interval; n "
        "counts pairs, taken as independent."
    )
    return _predictor_table("KL divergence to the parent and what was then forgotten", note, rows, _DIVERGENCES)


def _predictor_table(title: str, note: str, rows: Sequence[ResultRow], named: Mapping[str, str]) -> Table:
    """What is known of checkpoints, and how it goes with what was then forgotten.

    Args:
        title: of the table.
        note: below it.
        rows: of a study.
        named: metric -> how the table calls it; other rows are left out.
    """
    shown = [row for row in rows if row.metric in named]
    lines = tuple(
        (
            named[row.metric],
            f"{checkpoint(row, shown)}, seed {row.seed}" if row.chain else "",
            row.task or "all tasks",
            str(row.estimate.n),
            _with_ends(row) if row.chain else score(row),
            p_text(row.estimate.p_value),
        )
        for row in shown
    )
    return Table(title, note, ("what", "checkpoint", "task", "n", "value", "p"), lines)


def _with_ends(row: ResultRow) -> str:
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
