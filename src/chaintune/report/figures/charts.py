"""What every chart shares: data inside, numbers no longer than needed, and a spec without colours."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

import altair as alt
import polars as pl
from altair.utils import schemapi

from chaintune.errors import number_of
from chaintune.records import Estimate, ResultRow
from chaintune.records.amounts import is_share
from chaintune.records.checkpoint import BASE
from chaintune.records.scales import Scale, levels_in
from chaintune.report.cells import checkpoint_columns, score_name
from chaintune.report.labels import in_lines, lines_of, one_line

# Two more than the one decimal of a percentage point that is shown.
_DECIMALS = 3
# What a telephone leaves to a chart.
NARROW_PIXELS = 350
_CHARACTER_PIXELS = 6.5
_LEGEND_LABEL, _AXIS_TITLE = 44, 46
_AXIS_PIXELS = 75
LINES = "split(datum.label, '\\n')"
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left", "triangle-right"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3], [10, 3], [3, 1]]
# Constants, by classes that Altair leaves without types. Its `value` has the whole schema hashed anew at each call.
XValue: Any = alt.XValue
YValue: Any = alt.YValue
TextValue: Any = alt.TextValue

Row = Mapping[str, Any]


def inside(rows: Iterable[Row]) -> alt.InlineData:
    """Rows as the data of a chart or of one of its layers; what is undefined is null."""
    return alt.InlineData(values=[{name: rounded(value) for name, value in row.items()} for row in rows])


def rounded(value: Any) -> Any:
    """Numbers with three decimals, or three digits where they are small; NaN and infinities are None."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return round(value, _DECIMALS) + 0.0 if abs(value) >= 1 else float(f"{value:.3g}")


def estimate_data(estimate: Estimate, scale: Scale) -> dict[str, Any]:
    """An estimate on a scale: numbers to draw, and the same in words to read on pointing at it."""
    examples = f"{number_of(estimate.n, 'example')} in {number_of(estimate.n_clusters, 'cluster')}"
    seeds = f", {estimate.n_seeds} seeds" if estimate.n_seeds > 1 else ""
    low, high = estimate.limits
    ends = {"low": scale.factor * low, "high": scale.factor * high}
    text = one_line(scale.text(estimate))
    return {"value": scale.factor * estimate.value} | ends | {"is": text, "of": examples + seeds}


def kind_labels(kinds: Sequence[str]) -> dict[str, str]:
    """Label of each kind in a legend, in lines; those beyond the signs that there are share one."""
    labels = in_lines(kinds[: len(SHAPES)], _LEGEND_LABEL)
    return labels | (dict.fromkeys(kinds[len(SHAPES) - 1 :], "others") if len(kinds) > len(SHAPES) else {})


def scores_by_setting(rows: Sequence[ResultRow], *, variants: bool = False) -> Iterator[tuple[str, list[ResultRow]]]:
    """Scores of whole tasks for each base and unit, with a tag for what of these there are several.

    With `variants` those of each variant apart, the base with each.
    """
    whole = [row for row in rows if row.metric == "accuracy" and row.is_whole]
    several = len({row.base for row in whole}) > 1
    apart = [(row.base, row.variant) for row in whole if variants and row.chain != BASE]
    for base, variant in dict.fromkeys(apart or [(row.base, "") for row in whole]):
        own = [row for row in whole if row.base == base and (row.chain == BASE or variant in ("", row.variant))]
        for unit, alike in of_each_unit(own):
            yield ", ".join(filter(None, [base if several else "", variant, unit])), alike


def unit_tag(unit: str) -> str:
    """Tag of the figures of a unit: empty for shares, else the unit."""
    return "" if is_share(unit) else f"in {unit}"


def of_each_unit(rows: Sequence[ResultRow]) -> list[tuple[str, list[ResultRow]]]:
    """Rows that one axis can hold, with the tag of their unit."""
    units: dict[str, list[ResultRow]] = {}
    for row in rows:
        units.setdefault(unit_tag(row.unit), []).append(row)
    return list(units.items())


def hints(*fields: str) -> list[alt.Tooltip]:
    """Text fields to read on pointing at a mark."""
    return [alt.Tooltip(f"{field}:N", title=field) for field in fields]


def first_few(texts: Sequence[str], most: int) -> str:
    """Parts of an alternative text: the first ones, and how many more the table has."""
    left = len(texts) - most
    return "; ".join(texts[:most]) + (f"; {left} more in the table." if left > 0 else ".")


def in_table_only(every: Sized, most: int, what: str) -> list[str]:
    """The sentence on what is beyond the most that is drawn; none where nothing is."""
    left = len(every) - most
    return [f"{left} more {what} in the table."] if left > 0 else []


def numbers(values: Sequence[float], *, decimals: int = 2) -> pl.Series:
    """A column of a table; what is undefined is null."""
    return pl.Series(
        [round(value, decimals) + 0.0 if math.isfinite(value) else None for value in values], dtype=pl.Float64
    )


def estimate_columns(name: str, estimates: Sequence[Estimate], scale: Scale) -> dict[str, pl.Series]:
    """Columns of a table for values and their intervals: `forgetting (points)`, `forgetting, low end (points)` ..."""
    columns = {
        name: [one.value for one in estimates],
        f"{name}, low end": [one.limits[0] for one in estimates],
        f"{name}, high end": [one.limits[1] for one in estimates],
    }
    return {
        scale.title(title): numbers([scale.factor * value for value in values]) for title, values in columns.items()
    }


def count_columns(estimates: Sequence[Estimate]) -> dict[str, pl.Series]:
    """Columns of a table for what estimates speak about."""
    return {
        "n (examples)": pl.Series([one.n for one in estimates], dtype=pl.Int64),
        "clusters": pl.Series([one.n_clusters for one in estimates], dtype=pl.Int64),
        "seeds": pl.Series([one.n_seeds for one in estimates], dtype=pl.Int64),
    }


def layered(layers: Sequence[alt.Chart], rows: Iterable[Row], height: float | alt.Step) -> alt.LayerChart:
    """Layers over the same rows; a layer with rows of its own keeps them."""
    return alt.LayerChart(layer=list(layers), data=inside(rows), height=height)


def finished(chart: alt.LayerChart | alt.Chart, alternative: str) -> dict[str, Any]:
    """The spec of a chart that is as wide as its container."""
    spec: dict[str, Any] = chart.to_dict(validate=schemapi.DEBUG_MODE)
    # What Altair adds for notebooks; the page brings its own.
    spec.pop("config", None)
    # Not as properties of the chart, of which Altair would copy every part, rows included, several times over.
    return spec | {"width": "container", "description": alternative}


def axis(title: str, **options: Any) -> alt.Axis:
    """A horizontal axis of numbers that stays readable on a telephone."""
    return alt.Axis(title=lines_of(title, _AXIS_TITLE), tickCount=5, labelOverlap=True, **options)


def top_legend(labels: Sequence[str], *, offset: int = 12, strokes: bool = False) -> alt.Legend:
    """A legend above the chart, in as many columns as a telephone has room for."""
    # Columns that follow the width would be laid out after the height is settled, and lose their last row.
    lines = "\n".join(labels).split("\n")
    widest = max(map(len, lines)) * _CHARACTER_PIXELS + 34
    columns = max(1, min(len(labels), int((NARROW_PIXELS - _AXIS_PIXELS) / widest)))
    return alt.Legend(
        title=None,
        orient="top",
        columns=columns,
        offset=offset,
        labelExpr=LINES,
        labelLimit=NARROW_PIXELS - 40,
        symbolOpacity=1,
        symbolType="stroke" if strokes else alt.Undefined,
        symbolSize=400 if strokes else alt.Undefined,
        symbolStrokeWidth=2 if strokes else 0,
        values=list(labels),
        description=f"Legend: {', '.join(label.replace(chr(10), ' ') for label in labels)}",
    )


def looks_by(field: str, labels: Sequence[str], *, shown: Sequence[str] = (), lines: bool = False) -> dict[str, Any]:
    """Colour, dash and shape of what a field names, so that colour is never the only sign; one legend for all.

    Args:
        field: of the data.
        labels: that it may hold; each looks the same in every chart that is given the same ones.
        shown: those that occur; all by default.
        lines: the legend shows dashes, for charts without points.
    """
    legend = top_legend(shown or labels, strokes=lines)
    dashes, shapes = DASHES[: len(labels)], SHAPES[: len(labels)]
    dash = alt.Scale(domain=labels, range=dashes)
    return {
        "color": alt.Color(f"{field}:N", scale=alt.Scale(domain=labels, range="category"), legend=legend),
        "dash": alt.StrokeDash(f"{field}:N", scale=dash, legend=legend if lines else None),
        "shape": alt.Shape(f"{field}:N", scale=alt.Scale(domain=labels, range=shapes), legend=legend),
    }


def score_table(rows: Sequence[ResultRow]) -> pl.DataFrame:
    """The data of a figure of scores in one unit: each checkpoint on each task."""
    estimates = [row.estimate for row in rows]
    names, cells_of = checkpoint_columns(rows)
    return pl.DataFrame(
        dict(zip(names, zip(*map(cells_of, rows), strict=True), strict=True))
        | {"task": [row.task for row in rows]}
        | count_columns(estimates)
        | estimate_columns(score_name(rows), estimates, levels_in(rows[0].unit))
        | {"reason": [row.estimate.reason for row in rows]}
    )


def framed(lows: Sequence[float], highs: Sequence[float], *, least: float, most: float) -> tuple[float, float]:
    """Ends of an axis that holds the numbers within the frame, with room for a whole mark at each end."""
    known_low = [value for value in lows if math.isfinite(value)]
    known_high = [value for value in highs if math.isfinite(value)]
    low, high = max(min(known_low, default=0.0), least), min(max(known_high, default=0.0), most)
    edge = 0.05 * (high - low)
    low, high = (round(end, 2) if abs(end) >= 1 else float(f"{end:.2g}") for end in (low - edge, high + edge))
    return low, high


def arrows(
    values: Sequence[float], ends: tuple[float, float], scale: Scale, rows: Sequence[Row], *, upright: bool
) -> list[alt.Chart]:
    """An arrow with its value at the end of an axis for each mark beyond it; without the other axis.

    Args:
        values: in the unit of the axis.
        ends: of the axis.
        scale: of the values.
        rows: what places each mark on the other axis.
        upright: the axis is the vertical one.
    """
    layers = []
    signs = ("\u2193", "\u2191") if upright else ("\u2190", "\u2192")
    for end, side, sign in zip(ends, ("low", "high"), signs, strict=True):
        outside = [
            {**row, "end": end, "arrow": _with_arrow(scale.number(value / scale.factor), sign)}
            for value, row in zip(values, rows, strict=True)
            if (value < end if side == "low" else value > end)
        ]
        if outside:
            # Above the interval, which goes on to the end of the axis.
            align = {"align": "left" if side == "low" else "right", "baseline": "bottom", "dy": -2}
            where: dict[str, Any] = {"baseline": "bottom" if side == "low" else "top"} if upright else align
            words = alt.Chart(inside(outside)).mark_text(style="count", **where)
            layers.append(words.encode(alt.Y("end:Q") if upright else alt.X("end:Q"), text=alt.Text("arrow:N")))
    return layers


def _with_arrow(number: str, sign: str) -> str:
    return f"{number} {sign}" if sign == "\u2192" else f"{sign} {number}"
