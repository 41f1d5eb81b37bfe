"""What may predict forgetting, curvature or how far a stage moved the model, against what was then forgotten."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from chaintune.errors import number_of
from chaintune.forgetting.divergence import CORRELATION, FORWARD
from chaintune.records import Figure, ResultRow
from chaintune.records.scales import Scale, changes_in
from chaintune.report.figures.charts import (
    axis,
    finished,
    first_few,
    hints,
    inside,
    kind_labels,
    layered,
    looks_by,
    numbers,
    unit_tag,
)
from chaintune.report.labels import one_line, slug

_HEIGHT = 280
_MOST_READ = 8
# From this ratio of the largest to the smallest on, a straight scale would crowd most points in a corner.
_LOG_FROM = 8.0

Pair = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Predictor:
    """What of each pair of checkpoints stands on the horizontal axis.

    Attributes:
        column: of the pairs.
        correlation: metric of the rows that say how it goes with forgetting.
        name: of the figure.
        title: of the figure, up to what was forgotten.
        axis, tag: of the axis, and in short.
        noun: of a column of the figure's table.
        followed: sentence of a correlation that is shown, with `{more}`.
        unrelated: what is in no relation that is shown.
    """

    column: str
    correlation: str
    name: str
    title: str
    axis: str
    tag: str
    noun: str
    followed: str
    unrelated: str


SHARPNESS = Predictor(
    "radius",
    "curvature_forgetting_correlation",
    "curvature-and-forgetting",
    "Curvature of a checkpoint",
    "curvature (spectral radius)",
    "radius",
    "spectral radius",
    "Sharper checkpoints were followed by {more} forgetting",
    "curvature",
)
DIVERGENCE = Predictor(
    FORWARD,
    CORRELATION,
    "kl-and-forgetting",
    "KL divergence of a stage from its parent",
    "KL(parent ‖ child) on the new task, nats a token",
    "KL",
    "KL(parent ‖ child), nats a token",
    "Stages that moved the model further on their own task forgot {more}",
    "KL divergence",
)


def predictor_figures(pairs: pl.DataFrame, rows: Sequence[ResultRow], by: Predictor) -> Iterator[Figure]:
    """Each pair of `curvature.parquet`, or of `kl.parquet`, as a point; one for each unit that has both values."""
    lost = {row.task: row.unit for row in rows if row.metric == "forgetting"}
    units = {task: lost.get(task, "") for task in pairs["task"].unique(maintain_order=True)}
    correlations = [row for row in rows if row.metric == by.correlation]
    for tag in dict.fromkeys(map(unit_tag, units.values())):
        tasks = [task for task, unit in units.items() if unit_tag(unit) == tag]
        scale = changes_in(units[tasks[0]])
        every = [_pair(pair, scale, by) for pair in pairs.iter_rows(named=True) if pair["task"] in tasks]
        own = [row for row in correlations if row.task in tasks or (not row.task and len(tasks) == len(units))]
        if any(map(_is_known, every)):
            yield _figure(every, [_correlation(row, by) for row in own], scale, tag, by)


def _is_known(pair: Pair) -> bool:
    return math.isfinite(pair["x"]) and math.isfinite(pair["forgetting"])


def _figure(every: Sequence[Pair], correlations: Sequence[str], scale: Scale, tag: str, by: Predictor) -> Figure:
    known = list(filter(_is_known, every))
    title = ", ".join(filter(None, (f"{by.title} and what was then forgotten", tag)))
    left = len(every) - len(known)
    undefined = [f"{left} of {len(every)} pairs are undefined and in the table only."] if left else []
    texts = [f"{pair['name']}: {by.tag} {pair['x']:.3g}, {pair['is']}" for pair in known]
    return Figure(
        name=slug(by.name, tag),
        section="curvature",
        title=title,
        caption=" ".join([*correlations, *undefined]) or f"{number_of(len(known), 'pair')} of checkpoints.",
        alt=f"{title}. {first_few(texts, _MOST_READ)}",
        spec=finished(_draw(known, scale, by), title),
        table=_table(every, scale, by),
    )


def _pair(pair: Pair, scale: Scale, by: Predictor) -> Pair:
    """Numbers as floats, forgetting on its scale, and what to read on pointing at it."""
    floats = {
        name: math.nan if pair[name] is None else float(pair[name])
        for name in (by.column, "forgetting", "forgetting_low", "forgetting_high")
    }
    scaled = {name: scale.factor * value for name, value in floats.items() if name != by.column}
    change = scale.with_unit(scale.number(floats["forgetting"]))
    name = ", ".join(filter(None, (pair["chain"], pair["variant"], f"seed {pair['seed']}")))
    return pair | scaled | {"x": floats[by.column], "name": one_line(name), "is": f"forgetting {change}"}


def _draw(pairs: Sequence[Pair], scale: Scale, by: Predictor) -> alt.LayerChart:
    owner = "variant" if len({pair["variant"] for pair in pairs}) > 1 else "task"
    kinds = list(dict.fromkeys(pair[owner] for pair in pairs))
    labels = kind_labels(kinds)
    rows = [
        {"kind": labels[pair[owner]], "x": pair["x"], "value": pair["forgetting"]}
        | {"low": pair["forgetting_low"], "high": pair["forgetting_high"]}
        | {"name": pair["name"], "is": pair["is"], by.unrelated: f"{by.tag} {pair['x']:.3g}"}
        for pair in pairs
    ]
    looks = looks_by("kind", list(dict.fromkeys(row["kind"] for row in rows)))
    y = alt.Y("value:Q", axis=alt.Axis(title=scale.title("forgetting"), tickCount=6))
    base = alt.Chart().encode(x=_x([pair["x"] for pair in pairs], by), y=y, color=looks["color"])
    hint = hints("name", by.unrelated, "is", "kind")
    zero = alt.Chart(inside([{"value": 0.0}])).mark_rule(style="zero").encode(y=alt.Y("value:Q"))
    span = base.mark_rule(strokeWidth=1.2, opacity=0.6).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    point = base.mark_point(filled=True, size=80, opacity=1).encode(shape=looks["shape"], tooltip=hint)
    return layered([zero, span, point], rows, _HEIGHT)


def _x(values: Sequence[float], by: Predictor) -> alt.X:
    low, high = min(values), max(values)
    wide = low > 0 and high / low >= _LOG_FROM
    ends = [low / 1.2, high * 1.2] if wide else [low - 0.08 * (high - low or 1), high + 0.08 * (high - low or 1)]
    scale = alt.Scale(type="log" if wide else "linear", domain=[float(f"{end:.4g}") for end in ends], nice=False)
    return alt.X("x:Q", scale=scale, axis=axis(by.axis, format="~g", grid=False))


def _correlation(row: ResultRow, by: Predictor) -> str:
    """The sentence that a rank correlation supports."""
    estimate, of = row.estimate, f" of {one_line(row.task)}" if row.task else ""
    if math.isnan(estimate.value):
        return f"The rank correlation with forgetting{of} is undefined: {one_line(estimate.reason)}."
    ends = f" ({estimate.low:+.2f} to {estimate.high:+.2f})" if not math.isnan(estimate.low) else ""
    number = f"rank correlation {estimate.value:+.2f}{ends} over {estimate.n} pairs"
    if estimate.low > 0 or estimate.high < 0:
        more = "more" if estimate.value > 0 else "less"
        return f"{by.followed.format(more=more)}{of}: {number}."
    return f"No relation between {by.unrelated} and forgetting{of} is shown: {number}."


def _table(pairs: Sequence[Pair], scale: Scale, by: Predictor) -> pl.DataFrame:
    named = ["base", "chain", *(["variant"] if any(pair["variant"] for pair in pairs) else []), "seed", "task"]
    columns = {name: [str(pair[name]) for pair in pairs] for name in named}
    return pl.DataFrame(
        columns
        | {
            by.noun: numbers([pair["x"] for pair in pairs]),
            "n (examples)": pl.Series([pair["n"] for pair in pairs], dtype=pl.Int64),
            scale.title("forgetting"): numbers([pair["forgetting"] for pair in pairs]),
            scale.title("forgetting, low end"): numbers([pair["forgetting_low"] for pair in pairs]),
            scale.title("forgetting, high end"): numbers([pair["forgetting_high"] for pair in pairs]),
            "reason": [pair["reason"] or "" for pair in pairs],
        }
    )
