"""Rows of estimates with their intervals, one below the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from chaintune.records import Estimate
from chaintune.records.scales import Scale
from chaintune.report.figures.charts import (
    LINES,
    Row,
    TextValue,
    XValue,
    YValue,
    arrows,
    axis,
    estimate_data,
    framed,
    hints,
    inside,
    layered,
    top_legend,
)
from chaintune.report.labels import in_lines, one_line, wrapped

_STEP = 24
_LABEL = 22
# As many letters of a wide font, or Vega would cut what is cut already.
_LABEL_PIXELS = 175
_LINE_PIXELS = 13
_LEGEND_OFFSET = 26
# A circle within a circle drawn the other way round: hollow whatever the ground.
RING = "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0ZM0.6,0A0.6,0.6,0,1,0,-0.6,0A0.6,0.6,0,1,0,0.6,0Z"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a forest.

    Attributes:
        name: what the estimate is of.
        below: what else tells it apart, such as chain and variant, in lines below the name; may be empty.
        estimate: in the unit of the forest's scale.
        kind: name of the kind that its sign shows.
        beside: short text at the right edge.
        best: the pooled estimate, a stroke across the row; none without one.
    """

    name: str
    estimate: Estimate
    kind: str
    beside: str = ""
    best: Estimate | None = None
    below: str = ""

    @property
    def full_name(self) -> str:
        """Everything that tells it apart."""
        return ", ".join(filter(None, (self.name, self.below)))


@dataclass(frozen=True, slots=True)
class Kind:
    """Colour and shape of the points of some rows; each of the two is enough to tell them apart.

    Attributes:
        name: in the legend.
        colour: position in the theme's colours.
        shape: a Vega symbol, or an SVG path in a square from -1 to 1.
    """

    name: str
    colour: int
    shape: str


@dataclass(frozen=True, slots=True)
class Forest:
    """Axis, legend and reference lines around the rows.

    Attributes:
        axis: title of the horizontal axis, with the unit.
        scale: of the estimates.
        kinds: that may occur, in the legend's order.
        head: above the texts at the right edge; empty without such.
        whole: drawn behind the rows as a line with its interval; None without.
        limit: drawn as a line; NaN without.
        limit_name: what the line is.
        least, most: the axis never reaches further, in the unit of the estimates.
    """

    axis: str
    scale: Scale
    kinds: tuple[Kind, ...]
    head: str = ""
    whole: Estimate | None = None
    limit: float = math.nan
    limit_name: str = ""
    least: float = -math.inf
    most: float = math.inf

    def draw(self, lines: Sequence[Line]) -> alt.LayerChart:
        """The chart, rows in the order given; without a width."""
        labels = in_lines([line.name for line in lines], _LABEL)
        below = wrapped([line.below for line in lines], _LABEL)
        names = centred([labels[line.name] + below[line.below] for line in lines])
        rows = [self._row(line, name) for line, name in zip(lines, names, strict=True)]
        y = alt.Y("label:N", sort=None, scale=alt.Scale(domain=names), axis=names_axis(names))
        layers = [*self._behind(lines), *self._marks(lines, y)]
        if any("best" in row for row in rows):
            layers.append(self._best(lines, y))
        if any(math.isnan(line.estimate.value) for line in lines):
            layers.append(_undefined(y))
        values = [self.scale.factor * line.estimate.value for line in lines]
        places = [{"label": name} for name in names]
        layers += [one.encode(y=y) for one in arrows(values, self._ends(lines), self.scale, places, upright=False)]
        if self.head:
            layers += texts_beside(self.head, y)
        return layered(layers, rows, alt.Step(_STEP + below_pixels(names)))

    def _row(self, line: Line, label: str) -> dict[str, Any]:
        own = {"label": label, "name": one_line(line.full_name), "kind": line.kind, "beside": line.beside}
        best = line.best if line.best and not math.isnan(line.best.value) else None
        stroke = {"best": self.scale.factor * best.value, "best is": one_line(self.scale.text(best))} if best else {}
        return own | estimate_data(line.estimate, self.scale) | stroke

    def _x(self, lines: Sequence[Line]) -> alt.Scale:
        return alt.Scale(domain=list(self._ends(lines)), nice=False)

    def _ends(self, lines: Sequence[Line]) -> tuple[float, float]:
        around = [self.whole] if self.whole else []
        estimates = [line.estimate for line in lines] + around
        lows, highs = [self.limit, 0.0], [self.limit, 0.0]
        for one in estimates:
            low, high = one.limits
            excludes_nothing = low <= -self.scale.most and high >= self.scale.most
            lows += [one.value if excludes_nothing else low, one.value]
            highs += [one.value if excludes_nothing else high, one.value]
        factor = self.scale.factor
        lows, highs = [factor * low for low in lows], [factor * high for high in highs]
        least, most = max(self.least, -self.scale.most), min(self.most, self.scale.most)
        low, high = framed(lows, highs, least=factor * least, most=factor * most)
        return low, high if high > low else low + 1

    def _behind(self, lines: Sequence[Line]) -> list[alt.Chart]:
        """Zero, the limit, and the whole task."""
        x = alt.X("value:Q", scale=self._x(lines), axis=axis(self.axis))
        layers = [alt.Chart(inside([{"value": 0.0}])).mark_rule(style="zero").encode(x=x)]
        if not math.isnan(self.limit):
            limit = alt.Chart(inside([{"value": self.scale.factor * self.limit}]))
            layers += [limit.mark_rule(style="limit").encode(x=x), _named(limit, self.limit_name, x, to_the_left=True)]
        if self.whole is None or math.isnan(self.whole.value):
            return layers
        whole = inside([estimate_data(self.whole, self.scale)])
        hint = [alt.Tooltip("is:N", title="the whole")]
        if not math.isnan(self.whole.low):
            low = alt.X("low:Q", scale=self._x(lines))
            layers.append(alt.Chart(whole).mark_rect(style="whole-range", clip=True).encode(x=low, x2=alt.X2("high:Q")))
        line = alt.Chart(whole)
        name = _named(line, f"whole {self.scale.number(self.whole.value)}", x)
        return [*layers, line.mark_rule(style="whole").encode(x=x, tooltip=hint), name]

    def _marks(self, lines: Sequence[Line], y: alt.Y) -> list[alt.Chart]:
        occurring = [kind.name for kind in self.kinds if any(line.kind == kind.name for line in lines)]
        legend = top_legend(occurring, offset=_LEGEND_OFFSET if self.head else 12)
        scale, looks = self._x(lines), looks_of(self.kinds)
        base = alt.Chart()
        point = base.mark_point(filled=True, size=90, opacity=1, clip=True).encode(
            x=alt.X("value:Q", scale=scale),
            y=y,
            color=alt.Color("kind:N", scale=looks["colour"], legend=legend),
            shape=alt.Shape("kind:N", scale=looks["shape"], legend=legend),
            tooltip=hints("name", "is", "of", "kind"),
        )
        line = base.mark_rule(style="interval", clip=True).encode(
            x=alt.X("low:Q", scale=scale), x2=alt.X2("high:Q"), y=y
        )
        return [line, point]

    def _best(self, lines: Sequence[Line], y: alt.Y) -> alt.Chart:
        """A stroke at the best estimate of each row that has one."""
        hint = [*hints("name"), alt.Tooltip("best is:N", title="best estimate")]
        strokes = alt.Chart().mark_tick(style="best", clip=True).transform_filter("isValid(datum.best)")
        drawn: alt.Chart = strokes.encode(x=alt.X("best:Q", scale=self._x(lines)), y=y, tooltip=hint)
        return drawn


def looks_of(kinds: Sequence[Kind]) -> dict[str, alt.Scale]:
    """Scales of one domain, as a common legend needs it; a kind has the same colour in every figure."""
    slots = [Kind(f"(none {place})", place, "circle") for place in range(1 + max(k.colour for k in kinds))]
    for kind in kinds:
        slots[kind.colour] = kind
    domain = [slot.name for slot in slots]
    return {
        "colour": alt.Scale(domain=domain, range="category"),
        "shape": alt.Scale(domain=domain, range=[slot.shape for slot in slots]),
    }


def beyond(lines: Sequence[Line], forest: Forest) -> int:
    """Number of intervals that reach beyond the frame."""
    limits = [one.estimate.limits for one in lines]
    return sum(low < forest.least or high > forest.most for low, high in limits)


def _named(line: alt.Chart, name: str, x: alt.X, *, to_the_left: bool = False) -> alt.Chart:
    # A limit lies near the right edge, where the texts have their head.
    words = (
        line.mark_text(style="head", dy=-10, align="right", dx=4)
        if to_the_left
        else line.mark_text(style="head", dy=-10)
    )
    named: alt.Chart = words.encode(x=x, y=YValue(0), text=TextValue(name))
    return named


def names_axis(names: Sequence[str] = (), *, pixels: int = _LABEL_PIXELS) -> alt.Axis:
    """The vertical axis of rows with names, whose lines are so many pixels wide."""
    return alt.Axis(
        title=None, labelExpr=LINES, labelLimit=pixels, labelLineHeight=_LINE_PIXELS, ticks=False, grid=False,
        labelOffset=-below_pixels(names) / 2, labelOverlap=False,
    )  # fmt: skip


def row_labels(names: Sequence[str]) -> dict[str, str]:
    """Each name -> its label on the axis of `names_axis`."""
    labels = in_lines(names, _LABEL)
    return dict(zip(labels, centred([*labels.values()]), strict=True))


def centred(names: Sequence[str]) -> list[str]:
    """The names, empty lines before those that have fewer, so that each stands beside the middle of its row."""
    most = max((name.count("\n") for name in names), default=0)
    return ["\n" * ((most - name.count("\n")) // 2) + name for name in names]


def below_pixels(names: Sequence[str]) -> float:
    """Height of the lines below the first one of the name that has most."""
    return _LINE_PIXELS * max((name.count("\n") for name in names), default=0)


def _undefined(y: alt.Y) -> alt.Chart:
    """The word in the row of what has no value; the reason is shown on pointing at it, and in the table."""
    words = alt.Chart().mark_text(style="note", align="left", dx=4).transform_filter("!isValid(datum.value)")
    hint = hints("name", "is")
    shown: alt.Chart = words.encode(x=XValue(0), y=y, text=TextValue("undefined"), tooltip=hint)
    return shown


def texts_beside(head: str, y: alt.Y, rows: Sequence[Row] | None = None) -> list[alt.Chart]:
    """A column of text at the right edge, the `beside` of these rows or of the whole chart's, with its head."""
    right = XValue("width")
    own = alt.Chart() if rows is None else alt.Chart(inside(rows))
    column = own.mark_text(style="count", align="left", dx=10).encode(x=right, y=y, text=alt.Text("beside:N"))
    above = alt.Chart(inside([{"head": head}])).mark_text(style="head", align="left", dx=10, dy=-10)
    return [column, above.encode(x=right, y=YValue(0), text=alt.Text("head:N"))]
