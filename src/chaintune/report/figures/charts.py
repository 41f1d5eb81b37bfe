"""What every chart shares: data inside, numbers no longer than needed, and a spec without colours."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from chaintune.records import Estimate, ResultRow
from chaintune.report.estimates import in_points

# Two more than the one decimal of a percentage point that is shown.
_DECIMALS = 3
# What a telephone leaves to a chart.
NARROW_PIXELS = 350
_CHARACTER_PIXELS = 6.5
_AXIS_PIXELS = 45
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left", "triangle-right"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3], [10, 3], [3, 1]]

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


def points_data(estimate: Estimate) -> dict[str, Any]:
    """An estimate in percentage points: numbers to draw, and the same in words to read on pointing at it."""
    examples = f"{estimate.n:,} examples in {estimate.n_clusters:,} clusters"
    seeds = f", {estimate.n_seeds} seeds" if estimate.n_seeds > 1 else ""
    ends = {"low": 100 * estimate.low, "high": 100 * estimate.high}
    return {"value": 100 * estimate.value} | ends | {"is": in_points(estimate), "of": examples + seeds}


def first_few(texts: Sequence[str], most: int) -> str:
    """Parts of an alternative text: the first ones, and how many more the table has."""
    left = len(texts) - most
    return "; ".join(texts[:most]) + (f"; {left} more in the table." if left > 0 else ".")


def numbers(values: Sequence[float], *, decimals: int = 2) -> pl.Series:
    """A column of a table; what is undefined is null."""
    return pl.Series(
        [round(value, decimals) + 0.0 if math.isfinite(value) else None for value in values], dtype=pl.Float64
    )


def estimate_columns(name: str, estimates: Sequence[Estimate], unit: str = "points") -> dict[str, pl.Series]:
    """Columns of a table for a hundredfold value and its interval: `forgetting (points)`, `from`, `to`."""
    return {
        f"{name} ({unit})": numbers([100 * one.value for one in estimates]),
        f"{name}, low end ({unit})": numbers([100 * one.low for one in estimates]),
        f"{name}, high end ({unit})": numbers([100 * one.high for one in estimates]),
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
    spec: dict[str, Any] = chart.properties(width="container", description=alternative).to_dict()
    # What Altair adds for notebooks; the page brings its own.
    spec.pop("config", None)
    return spec


def axis(title: str, **options: Any) -> alt.Axis:
    """A horizontal axis of numbers that stays readable on a telephone."""
    return alt.Axis(title=title, tickCount=5, labelOverlap=True, titleLimit=300, **options)


def top_legend(labels: Sequence[str], *, offset: int = 12, lines: bool = False) -> alt.Legend:
    """A legend above the chart, in as many columns as a telephone has room for."""
    # Columns that follow the width would be laid out after the height is settled, and lose their last row.
    widest = max((len(label) for label in labels), default=0) * _CHARACTER_PIXELS + 34
    columns = max(1, min(len(labels), int((NARROW_PIXELS - _AXIS_PIXELS) / widest)))
    return alt.Legend(
        title=None,
        orient="top",
        columns=columns,
        offset=offset,
        labelLimit=NARROW_PIXELS - 50,
        symbolOpacity=1,
        symbolType="stroke" if lines else alt.Undefined,
        symbolSize=400 if lines else alt.Undefined,
        symbolStrokeWidth=2 if lines else 0,
        values=list(labels),
        description=f"Legend: {', '.join(labels)}",
    )


def looks_by(field: str, labels: Sequence[str], *, shown: Sequence[str] = (), lines: bool = False) -> dict[str, Any]:
    """Colour, dash and shape of what a field names, so that colour is never the only sign; one legend for all.

    Args:
        field: of the data.
        labels: that it may hold; each looks the same in every chart that is given the same ones.
        shown: those that occur; all by default.
        lines: the legend shows dashes, for charts without points.
    """
    legend = top_legend(shown or labels, lines=lines)
    dashes, shapes = DASHES[: len(labels)], SHAPES[: len(labels)]
    dash = alt.Scale(domain=labels, range=dashes)
    return {
        "color": alt.Color(f"{field}:N", scale=alt.Scale(domain=labels, range="category"), legend=legend),
        "dash": alt.StrokeDash(f"{field}:N", scale=dash, legend=legend if lines else None),
        "shape": alt.Shape(f"{field}:N", scale=alt.Scale(domain=labels, range=shapes), legend=legend),
    }


def accuracy_table(rows: Sequence[ResultRow]) -> pl.DataFrame:
    """The data of a figure of accuracies: each checkpoint on each task."""
    estimates = [row.estimate for row in rows]
    return pl.DataFrame(
        {"checkpoint": [row.chain for row in rows], "task": [row.task for row in rows]}
        | count_columns(estimates)
        | estimate_columns("accuracy", estimates, "%")
        | {"reason": [row.estimate.reason for row in rows]}
    )


def framed(lows: Sequence[float], highs: Sequence[float], *, least: float, most: float) -> tuple[float, float]:
    """Ends of an axis that holds the numbers, but no more than the frame."""
    known_low = [value for value in lows if math.isfinite(value)]
    known_high = [value for value in highs if math.isfinite(value)]
    low, high = min(known_low, default=0.0), max(known_high, default=0.0)
    edge = 0.05 * (high - low)
    return max(low - edge, least), min(high + edge, most)
