"""What may predict forgetting, and what moves before it: curvature, and how far a model is from another one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from chaintune.forgetting.divergence import BACKWARD, CORRELATION, FORWARD, NATS
from chaintune.records import Comparison, Curvature, ResultRow
from chaintune.records.comparison import Divergence
from chaintune.records.scales import Scale
from chaintune.report.cells import Table, checkpoint_columns, p_text, score

_CORRELATED = "rank correlation with forgetting"
_CURVATURE = {"curvature": "curvature", "curvature_forgetting_correlation": _CORRELATED}
_DIVERGENCES = {FORWARD: "forward", BACKWARD: "backward", CORRELATION: _CORRELATED}
_NATS = Scale(NATS)
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


def apart_table(comparison: Comparison) -> Table:
    """How far two models that were compared are apart, of the whole task and of every group; empty if not measured."""
    note = (
        "KL divergence of the next token in nats, mean over the tokens of the right answers, with an interval of level "
        f"{comparison.level:g} over clusters; 0 is a model that says the same. It has no verdict, and no correction "
        "for several groups."
    )
    lines = tuple(
        (
            f"{one.dimension}: {one.group}" if one.dimension else "whole task",
            str(one.forward.n),
            _NATS.short(one.forward),
            _NATS.short(one.backward),
        )
        for one in _furthest_first(comparison.divergence)
    )
    header = ("group", "n", "KL(before ‖ after)", "KL(after ‖ before)")
    return Table(f"How far the two models are apart on {comparison.task}", note, header, lines)


def apart_sentence(comparison: Comparison) -> str:
    """How far apart the two are, and of which group the most; empty where it was not measured."""
    if not comparison.divergence:
        return ""
    whole, *groups = _furthest_first(comparison.divergence)
    if math.isnan(whole.forward.value):
        return f"How far the later model is from the earlier one is not known: {whole.forward.reason}."
    text = _NATS.text(whole.forward, level=comparison.level)
    text = f"KL(before ‖ after) is {text}, mean over the tokens of the right answers"
    known = [one for one in groups if not math.isnan(one.forward.low)]
    if len(known) > 1:
        most, least = (_in_words(one) for one in (known[0], known[-1]))
        text += f"; of the groups it is largest for {most} and smallest for {least}"
    return f"{text}."


def _in_words(one: Divergence) -> str:
    return f"{one.group} ({one.dimension}; {_NATS.number(one.forward.value)})"


def _furthest_first(divergences: Sequence[Divergence]) -> list[Divergence]:
    """The whole task, then the groups of each dimension, those that moved the most first, undefined ones last."""
    dimensions = list(dict.fromkeys(one.dimension for one in divergences))

    def rank(one: Divergence) -> tuple[int, bool, float]:
        value = one.forward.value
        return dimensions.index(one.dimension), math.isnan(value), 0.0 if math.isnan(value) else -value

    return sorted(divergences, key=rank)


def _predictor_table(title: str, note: str, rows: Sequence[ResultRow], named: Mapping[str, str]) -> Table:
    """What is known of checkpoints, and how it goes with what was then forgotten."""
    shown = [row for row in rows if row.metric in named]
    names, cells_of = checkpoint_columns([row for row in shown if row.chain])
    lines = tuple(
        (
            named[row.metric],
            *cells_of(replace(row, chain=f"{row.chain}, seed {row.seed}") if row.chain else replace(row, base="")),
            row.task or "all tasks",
            str(row.estimate.n),
            _with_ends(row) if row.chain else score(row),
            p_text(row.estimate.p_value),
        )
        for row in shown
    )
    return Table(title, note, ("what", *names, "task", "n", "value", "p"), lines)


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
