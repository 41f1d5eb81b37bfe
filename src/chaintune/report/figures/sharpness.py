"""Curvature of a checkpoint against what was then forgotten."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from chaintune.records import Figure, ResultRow
from chaintune.report.figures.charts import (
    SHAPES,
    axis,
    finished,
    first_few,
    inside,
    layered,
    looks_by,
    numbers,
)
from chaintune.report.labels import one_line, shortened

_HEIGHT = 280
_MOST_KINDS = len(SHAPES)
_MOST_READ = 8
_OTHERS = "others"
# From this ratio of the largest to the smallest on, a straight scale would crowd most points in a corner.
_LOG_FROM = 8.0

Pair = dict[str, Any]


def sharpness_figure(pairs: pl.DataFrame, rows: Sequence[ResultRow]) -> Figure | None:
    """Each pair of checkpoints as a point; None where no pair has both values.

    Args:
        pairs: of `curvature.parquet`.
        rows: of the study; their rank correlations are told.
    """
    every = [_pair(pair) for pair in pairs.iter_rows(named=True)]
    known = [pair for pair in every if math.isfinite(pair["radius"]) and math.isfinite(pair["forgetting"])]
    if not known:
        return None
    title = "Curvature of a checkpoint and what was then forgotten"
    left = len(every) - len(known)
    undefined = [f"{left} of {len(every)} pairs are undefined and in the table only."] if left else []
    texts = [f"{pair['name']}: radius {pair['radius']:.3g}, {pair['is']}" for pair in known]
    return Figure(
        name="curvature-and-forgetting",
        section="curvature",
        title=title,
        caption=" ".join([*_correlations(rows), *undefined]) or f"{len(known)} pairs of checkpoints.",
        alt=f"{title}. {first_few(texts, _MOST_READ)}",
        spec=finished(_draw(known), title),
        table=_table(every),
    )


def _pair(pair: Pair) -> Pair:
    """Numbers as floats, forgetting in points, and what to read on pointing at it."""
    floats = {
        name: math.nan if pair[name] is None else float(pair[name])
        for name in ("radius", "forgetting", "forgetting_low", "forgetting_high")
    }
    scaled = {name: value if name == "radius" else 100 * value for name, value in floats.items()}
    name = ", ".join(filter(None, (pair["chain"], pair["variant"], f"seed {pair['seed']}")))
    return pair | scaled | {"name": one_line(name), "is": f"forgetting {scaled['forgetting']:+.1f} points"}


def _draw(pairs: Sequence[Pair]) -> alt.LayerChart:
    by = "variant" if len({pair["variant"] for pair in pairs}) > 1 else "task"
    kinds = list(dict.fromkeys(pair[by] for pair in pairs))
    labels = shortened(kinds[:_MOST_KINDS], 40)
    if len(kinds) > _MOST_KINDS:
        labels |= dict.fromkeys(kinds[_MOST_KINDS - 1 :], _OTHERS)
    rows = [
        {"kind": labels[pair[by]], "radius": pair["radius"], "value": pair["forgetting"]}
        | {"low": pair["forgetting_low"], "high": pair["forgetting_high"]}
        | {"name": pair["name"], "is": pair["is"], "curvature": f"radius {pair['radius']:.3g}"}
        for pair in pairs
    ]
    looks = looks_by("kind", list(dict.fromkeys(row["kind"] for row in rows)))
    y = alt.Y("value:Q", axis=alt.Axis(title="forgetting (points)", tickCount=6))
    base = alt.Chart().encode(x=_x([pair["radius"] for pair in pairs]), y=y, color=looks["color"])
    hint = [alt.Tooltip(f"{name}:N", title=name) for name in ("name", "curvature", "is", "kind")]
    zero = alt.Chart(inside([{"value": 0.0}])).mark_rule(style="zero").encode(y="value:Q")
    span = base.mark_rule(strokeWidth=1.2, opacity=0.6).encode(y="low:Q", y2="high:Q")
    point = base.mark_point(filled=True, size=80, opacity=1).encode(shape=looks["shape"], tooltip=hint)
    return layered([zero, span, point], rows, _HEIGHT)


def _x(radii: Sequence[float]) -> alt.X:
    low, high = min(radii), max(radii)
    wide = low > 0 and high / low >= _LOG_FROM
    ends = [low / 1.2, high * 1.2] if wide else [low - 0.08 * (high - low or 1), high + 0.08 * (high - low or 1)]
    scale = alt.Scale(type="log" if wide else "linear", domain=[float(f"{end:.4g}") for end in ends], nice=False)
    return alt.X("radius:Q", scale=scale, axis=axis("curvature (spectral radius)", format="~s", grid=False))


def _correlations(rows: Sequence[ResultRow]) -> list[str]:
    """What the rank correlations allow to say."""
    return [_correlation(row) for row in rows if row.metric == "curvature_forgetting_correlation"]


def _correlation(row: ResultRow) -> str:
    found, of = row.estimate, f" of {one_line(row.task)}" if row.task else ""
    if math.isnan(found.value):
        return f"The rank correlation with forgetting{of} is undefined: {one_line(found.reason)}."
    ends = f" ({found.low:+.2f} to {found.high:+.2f})" if not math.isnan(found.low) else ""
    number = f"rank correlation {found.value:+.2f}{ends} over {found.n} pairs"
    if found.low > 0 or found.high < 0:
        more = "more" if found.value > 0 else "less"
        return f"Sharper checkpoints were followed by {more} forgetting{of}: {number}."
    return f"No relation between curvature and forgetting{of} is shown: {number}."


def _table(pairs: Sequence[Pair]) -> pl.DataFrame:
    columns = {name: [str(pair[name]) for pair in pairs] for name in ("base", "chain", "variant", "seed", "task")}
    return pl.DataFrame(
        columns
        | {
            "spectral radius": numbers([pair["radius"] for pair in pairs]),
            "n (examples)": pl.Series([pair["n"] for pair in pairs], dtype=pl.Int64),
            "forgetting (points)": numbers([pair["forgetting"] for pair in pairs]),
            "forgetting, low end (points)": numbers([pair["forgetting_low"] for pair in pairs]),
            "forgetting, high end (points)": numbers([pair["forgetting_high"] for pair in pairs]),
            "reason": [pair["reason"] or "" for pair in pairs],
        }
    )
