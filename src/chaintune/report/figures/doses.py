"""Charts of what came back, along the dose and against the price."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from chaintune.records import Estimate, ResultRow
from chaintune.records.scales import PERCENT, Scale, changes_in
from chaintune.report.figures.charts import (
    Row,
    TextValue,
    XValue,
    arrows,
    axis,
    estimate_data,
    framed,
    hints,
    inside,
    kind_labels,
    layered,
    looks_by,
)
from chaintune.report.labels import one_line

_HEIGHT = 280
# Shares of the frame that two labels need between them.
_APART = (0.16, 0.08)
# Intervals at one dose would lie on each other; each kind stands this share further to the right.
_ASIDE = 0.035


@dataclass(frozen=True, slots=True)
class Point:
    """One mitigated checkpoint.

    Attributes:
        name: what was done, short.
        kind: name of the mitigation, without its dose or strength.
        dose: fraction of the lost task's training data; NaN where none is taught again.
        recovery: share of the loss that came back.
        regained: difference in score to the same chain without it.
        prices: kept task -> the row of what it lost.
        chosen: whether the rule takes it.
    """

    name: str
    kind: str
    dose: float
    recovery: Estimate
    regained: Estimate
    prices: Mapping[str, ResultRow]
    chosen: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """The statistic by which mitigations of one loss are compared.

    Attributes:
        name: `recovery`; or `regained`, where no loss is shown and so a share of it is undefined.
        scale: of its values.
        axis: title of an axis of it, with the unit.
        target: what a recommended dose has to reach; NaN where none can be recommended.
        frame: ends that no axis reaches beyond.
    """

    name: Literal["recovery", "regained"]
    scale: Scale
    axis: str
    target: float
    frame: tuple[float, float]

    def of(self, point: Point) -> Estimate:
        """Its value of a mitigated checkpoint."""
        return point.recovery if self.name == "recovery" else point.regained

    def text(self, point: Point) -> str:
        """Its value in words."""
        return one_line(self.scale.text(self.of(point)))


def draw_doses(curves: Mapping[str, Sequence[Point]], kinds: Sequence[str], measure: Measure) -> alt.LayerChart:
    """The chart of recovery along the dose, a line for each kind, which looks the same in all charts of the loss."""
    points = [one for curve in curves.values() for one in curve]
    labels = kind_labels(kinds)
    places = {kind: place for place, kind in enumerate(curves)}
    rows = [
        _row(one, labels, measure) | {"dose": 100 * one.dose, "x": 100 * one.dose * (1 + _ASIDE * places[one.kind])}
        for one in points
    ]
    doses = sorted({row["dose"] for row in rows})
    x = alt.X(
        "x:Q",
        scale=alt.Scale(type="log", domain=[doses[0] / 1.25, doses[-1] * 1.35], nice=False),
        axis=axis("dose (% of the task's training data)", values=doses, grid=False, format=".4~g"),
    )
    base = alt.Chart().encode(x=x, y=_y(points, measure))
    looks = _looks(labels, rows)
    line = base.mark_line(strokeWidth=2, clip=True).encode(color=looks["color"], strokeDash=looks["dash"])
    layers = [*_target(measure), line, *_marks(base, looks)]
    layers += [one.encode(x=x) for one in _beyond(points, measure, rows)]
    layers += _chosen(base, rows, "x", math.sqrt(doses[0] * doses[-1]))
    return layered(layers, rows, _HEIGHT)


def draw_price(
    points: Sequence[Point], kinds: Sequence[str], *, task: str, measure: Measure, margin: float
) -> alt.LayerChart:
    """The chart of recovery against the price in one kept task, a point for each checkpoint; a margin may be NaN."""
    labels = kind_labels(kinds)
    paid = changes_in(points[0].prices[task].unit)
    rows = [_row(one, labels, measure) | _paid(one.prices[task].estimate, paid) for one in points]
    levels = [0.0] if math.isnan(margin) else [0.0, margin]
    ends = _ends([one.prices[task].estimate for one in points], levels, (-paid.most, paid.most), paid)
    scale = alt.Scale(domain=list(ends), nice=False)
    title = f"{paid.title(f'price in {one_line(task)}')}, positive is worse"
    x = alt.X("price:Q", scale=scale, axis=axis(title, grid=False))
    y = _y(points, measure)
    base = alt.Chart().encode(x=x, y=y)
    looks = _looks(labels, rows)
    across = (
        alt.Chart()
        .mark_rule(strokeWidth=1.2, opacity=0.6, clip=True)
        .encode(x=alt.X("price_low:Q", scale=scale), x2=alt.X2("price_high:Q"), y=y, color=looks["color"])
    )
    name = base.mark_text(style="head", align="left", baseline="bottom", dx=6, dy=-3, clip=True)
    high = _frame(points, measure)
    named = inside(_apart(rows, ends, high))
    names = [name.encode(text=alt.Text("short:N")).properties(data=named)] if named.values else []
    layers = [
        *_corner(measure, paid.factor * margin, ends[0], high[1], x, y),
        *_target(measure),
        across,
        *_marks(base, looks),
        *(one.encode(x=x) for one in _beyond(points, measure, rows)),
        *(one.encode(y=y) for one in arrows([row["price"] for row in rows], ends, paid, rows, upright=False)),
        *names,
        *_chosen(base, rows, "price", sum(ends) / 2),
    ]
    return layered(layers, rows, _HEIGHT)


def _looks(labels: Mapping[str, str], rows: Sequence[Row]) -> dict[str, Any]:
    return looks_by(
        "kind", list(dict.fromkeys(labels.values())), shown=list(dict.fromkeys(row["kind"] for row in rows))
    )


def _row(one: Point, labels: Mapping[str, str], measure: Measure) -> dict[str, Any]:
    short = "" if math.isnan(one.dose) else f"{100 * one.dose:.4g} %"
    own = {"name": one_line(one.name), "kind": labels[one.kind], "short": short, "chosen": one.chosen}
    return own | estimate_data(measure.of(one), measure.scale)


def _paid(estimate: Estimate, scale: Scale) -> dict[str, Any]:
    ends = {"price_low": scale.factor * estimate.low, "price_high": scale.factor * estimate.high}
    return {"price": scale.factor * estimate.value, "paid": one_line(scale.text(estimate))} | ends


def _frame(points: Sequence[Point], measure: Measure) -> tuple[float, float]:
    """Ends of the axis of what came back; all of a loss is on it where shares of it are."""
    levels = [0.0] if math.isnan(measure.target) else [0.0, 1.0, measure.target]
    return _ends([measure.of(one) for one in points], levels, measure.frame, measure.scale)


def _ends(
    estimates: Sequence[Estimate], levels: Sequence[float], frame: tuple[float, float], scale: Scale
) -> tuple[float, float]:
    """Ends of an axis that holds estimates and levels."""
    lows = [*levels, *(value for one in estimates for value in (one.low, one.value))]
    highs = [*levels, *(value for one in estimates for value in (one.high, one.value))]
    lows, highs = ([scale.factor * value for value in values] for values in (lows, highs))
    return framed(lows, highs, least=scale.factor * frame[0], most=scale.factor * frame[1])


def _y(points: Sequence[Point], measure: Measure) -> alt.Y:
    ends = list(_frame(points, measure))
    title = alt.Axis(title=measure.axis, tickCount=6)
    return alt.Y("value:Q", scale=alt.Scale(domain=ends, nice=False), axis=title)


def _target(measure: Measure) -> list[alt.Chart]:
    """Nothing that came back, and what has to."""
    levels = alt.Chart(inside([{"value": 0.0}])).mark_rule(style="zero").encode(y=alt.Y("value:Q"))
    if math.isnan(measure.target):
        return [levels]
    aim = alt.Chart(
        inside([{"value": measure.scale.factor * measure.target, "name": f"target {PERCENT.number(measure.target)}"}])
    )
    name = aim.mark_text(style="head", align="left", baseline="bottom", dx=3, dy=-2)
    words = name.encode(x=XValue(0), y=alt.Y("value:Q"), text=alt.Text("name:N"))
    return [levels, aim.mark_rule(style="limit").encode(y=alt.Y("value:Q")), words]


def _apart(rows: Sequence[Row], ends: tuple[float, float], frame: tuple[float, float]) -> list[Row]:
    """The rows with room for a label at their right: no other point there, nor another label."""
    wide, high = _APART[0] * (ends[1] - ends[0]), _APART[1] * (frame[1] - frame[0])
    shown: list[Row] = []
    for row in rows:
        points = [one for one in rows if one is not row and 0 <= one["price"] - row["price"] < wide]
        labels = [one for one in shown if abs(one["price"] - row["price"]) < wide]
        if row["short"] and not any(abs(one["value"] - row["value"]) < high for one in points + labels):
            shown.append(row)
    return [row for row in shown if not row["chosen"]]


def _corner(measure: Measure, margin: float, left: float, top: float, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    if math.isnan(measure.target) or math.isnan(margin):
        return []
    corner = {
        "price": left,
        "price_high": margin,
        "value": measure.scale.factor * measure.target,
        "high": max(top, 0.0),
    }
    box = alt.Chart(inside([corner])).mark_rect(style="goal", clip=True)
    return [box.encode(x=x, x2=alt.X2("price_high:Q"), y=y, y2=alt.Y2("high:Q"))]


def _marks(base: alt.Chart, looks: Mapping[str, Any]) -> list[alt.Chart]:
    span = base.mark_rule(strokeWidth=1.2, opacity=0.6, clip=True).encode(
        y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=looks["color"]
    )
    point = base.mark_point(filled=True, size=80, opacity=1, clip=True).encode(
        color=looks["color"],
        shape=looks["shape"],
        tooltip=hints("name", "kind", "is", "of"),
    )
    return [span, point]


def _beyond(points: Sequence[Point], measure: Measure, rows: Sequence[Row]) -> list[alt.Chart]:
    """Arrows for what came back beyond the axis of it."""
    values = [measure.scale.factor * measure.of(one).value for one in points]
    return arrows(values, _frame(points, measure), measure.scale, rows, upright=True)


def _chosen(base: alt.Chart, rows: Sequence[Mapping[str, Any]], name: str, middle: float) -> list[alt.Chart]:
    """A ring and a word at the recommended doses, the word on the side with more room; nothing where there is none."""
    chosen = [row for row in rows if row["chosen"]]
    if not chosen:
        return []
    word, layers = TextValue("recommended"), [base.transform_filter("datum.chosen").mark_point(style="ring")]
    if left := [row for row in chosen if row[name] > middle]:
        own = base.properties(data=inside(left)).mark_text(style="count", align="right", dx=-14, dy=-8)
        layers.append(own.encode(text=word))
    if right := [row for row in chosen if row[name] <= middle]:
        own = base.properties(data=inside(right)).mark_text(style="count", align="left", dx=14, dy=-8)
        layers.append(own.encode(text=word))
    return layers
