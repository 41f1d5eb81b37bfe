"""What brings it back, at what price: recovery of every mitigation, along doses, and against its price."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from chaintune.forgetting.recommend import choose
from chaintune.records import Choice, Estimate, Figure, Limits, ResultRow
from chaintune.report.figures.charts import count_columns, estimate_columns, finished, numbers
from chaintune.report.figures.doses import Measure, Point, draw_doses, draw_price
from chaintune.report.figures.forest import RING, Forest, Kind, Line, beyond
from chaintune.report.labels import slug, told
from chaintune.report.mitigations import beyond_reference
from chaintune.report.words import all_brought_back, brought_back, recommendations

_MOST_ROWS = 30
_MOST_SAID = 4
_RECOMMENDED, _TESTED = "recommended dose", "tested"
_KINDS = (Kind(_RECOMMENDED, 2, "diamond"), Kind(_TESTED, 0, RING))
# In percent. The share of a small loss may be anything; nobody acts on how far an interval reaches beyond.
_LEAST, _MOST = -50.0, 150.0


@dataclass(frozen=True, slots=True)
class Ladder:
    """The mitigations of one lost task after one chain, and what each came to.

    Attributes:
        task, after, tag: what was lost, where, and the base and variant where several occur.
        points: one a mitigated checkpoint.
        choices: the recommended dose of each kind.
        limits: what a dose has to reach.
        said: what each brought back, in words.
    """

    task: str
    after: str
    tag: str
    points: tuple[Point, ...]
    choices: tuple[Choice, ...]
    limits: Limits
    said: tuple[str, ...] = ()

    @property
    def measure(self) -> Measure:
        """Shares of the loss, and points where no share of it can be told but points can."""
        known = [100 * one.recovery.value for one in self.points if not math.isnan(one.recovery.value)]
        if not known and any(not math.isnan(one.regained.value) for one in self.points):
            return Measure("regained", "points", "regained (points), positive is better", math.nan, (-100.0, 100.0))
        # Every value and the target lie within it, not every interval.
        frame = min([_LEAST, *known]) - 5, max([_MOST, 100 * self.limits.target, *known]) + 5
        return Measure("recovery", "%", "recovery (% of the loss)", self.limits.target, frame)

    @property
    def kinds(self) -> list[str]:
        """Of its mitigations, each once."""
        return list(dict.fromkeys(one.kind for one in self.points))

    @property
    def where(self) -> str:
        """For titles."""
        return f"{told(self.task)} after {told(self.after)}" + (f", {told(self.tag)}" if self.tag else "")


def mitigation_figures(rows: Sequence[ResultRow], limits: Limits) -> Iterator[Figure]:
    """For each lost task: what came back, the curve along the doses where there is one, and each price.

    Args:
        rows: of all seeds together where there are several, else of the one seed.
        limits: what a recommended dose has to reach.
    """
    for ladder in _ladders(rows, limits):
        yield _recoveries(ladder)
        if any(len(doses) > 1 for doses in _curves(ladder).values()):
            yield _doses(ladder)
        for task in dict.fromkeys(task for point in ladder.points for task in point.prices):
            if priced := _price(ladder, task):
                yield priced


def _ladders(rows: Sequence[ResultRow], limits: Limits) -> list[Ladder]:
    found: dict[tuple[str, ...], list[ResultRow]] = {}
    for row in rows:
        if row.metric == "recovery" and not row.dimension:
            found.setdefault((row.base, row.variant, row.task, row.reference), []).append(row)
    choices = choose(rows, limits)
    bases = {base for base, *_ in found}
    ladders = []
    for (base, variant, task, after), recoveries in found.items():
        own = [one for one in choices if (one.base, one.variant, one.task, one.after) == (base, variant, task, after)]
        points = sorted((_point(row, rows, own) for row in recoveries), key=lambda one: (one.kind, one.dose, one.name))
        tag = ", ".join(filter(None, (base if len(bases) > 1 else "", variant)))
        ladders.append(Ladder(task, after, tag, tuple(points), tuple(own), limits, _said(recoveries, rows)))
    return ladders


def _said(recoveries: Sequence[ResultRow], rows: Sequence[ResultRow]) -> tuple[str, ...]:
    """What each brought back; all of them at once where no share of the loss can be told, for one reason."""
    if len({row.estimate.reason for row in recoveries if math.isnan(row.estimate.value)} | {""}) == 2 and all(
        math.isnan(row.estimate.value) for row in recoveries
    ):
        return (all_brought_back(recoveries, rows),)
    return tuple(brought_back(row, rows) for row in recoveries[:_MOST_SAID])


def _point(row: ResultRow, rows: Sequence[ResultRow], choices: Sequence[Choice]) -> Point:
    beside = [
        one
        for one in rows
        if one.is_whole and one.mitigation == row.mitigation and one.key._replace(task=row.task) == row.key
    ]
    own = {one.metric: one.estimate for one in beside if one.task == row.task}
    return Point(
        name=beyond_reference(row, rows),
        kind=row.mitigation,
        dose=own["dose"].value if "dose" in own else math.nan,
        recovery=row.estimate,
        regained=own.get("regained", Estimate.undefined("not measured")),
        prices={one.task: one.estimate for one in beside if one.metric == "price"},
        chosen=row.chain in {choice.chosen for choice in choices},
    )


def _recoveries(ladder: Ladder) -> Figure:
    shown, measure = ladder.points[:_MOST_ROWS], ladder.measure
    lines = [
        Line(one.name, measure.of(one), _RECOMMENDED if one.chosen else _TESTED, _short(one, measure)) for one in shown
    ]
    aim = "" if math.isnan(measure.target) else f"target {measure.target:.0%}"
    forest = Forest(
        measure.axis,
        _KINDS,
        measure.name,
        limit=measure.target,
        limit_name=aim,
        least=measure.frame[0],
        most=measure.frame[1],
        unit=measure.unit,
    )
    title = f"{_name(measure)} of {ladder.where}"
    said = "; ".join(f"{told(one.name)}: {measure.told(one)}" for one in shown)
    return Figure(
        name=slug(measure.name, ladder.task, "after", ladder.after, ladder.tag),
        section="mitigations",
        title=title,
        caption=" ".join([*_first(ladder), *_frame(beyond(lines, forest)), *_folded(ladder)]),
        alt=f"{', '.join(filter(None, (title, aim)))}. {said}.",
        spec=finished(forest.draw(lines), title),
        table=_table(ladder),
    )


def _doses(ladder: Ladder) -> Figure:
    curves, measure = _curves(ladder), ladder.measure
    title = f"{_name(measure)} along the dose: {ladder.where}"
    parts = [
        f"{told(kind)}: " + ", ".join(f"{measure.told(one)} at {100 * one.dose:.4g} %" for one in points)
        for kind, points in curves.items()
    ]
    ends = [_ends(kind, points, measure) for kind, points in curves.items()]
    return Figure(
        name=slug("dose", ladder.task, "after", ladder.after, ladder.tag),
        section="mitigations",
        title=title,
        caption=" ".join([*ends, *_frame(_outside(ladder))]),
        alt=f"{title}. {'; '.join(parts)}.",
        spec=finished(draw_doses(curves, ladder.kinds, measure), title),
        table=_table(ladder),
    )


def _ends(kind: str, points: Sequence[Point], measure: Measure) -> str:
    """The smallest and the largest dose of one kind in words."""
    said = [f"{measure.told(one)} at a dose of {100 * one.dose:.4g} %" for one in points]
    return f"{_name(measure)} with {told(kind)}: {', '.join(dict.fromkeys([said[0], said[-1]]))}."


def _price(ladder: Ladder, task: str) -> Figure | None:
    measure = ladder.measure
    points = [one for one in ladder.points if task in one.prices and not math.isnan(measure.of(one).value)]
    points = [one for one in points if not math.isnan(one.prices[task].value)]
    if not points:
        return None
    title = f"{_name(measure)} of {ladder.where}, against its price in {told(task)}"
    parts = [
        f"{told(one.name)}: {measure.name} {measure.told(one)}, price {100 * one.prices[task].value:+.1f} points"
        for one in points
    ]
    chart = draw_price(points, ladder.kinds, task=task, measure=measure, margin=ladder.limits.margin)
    return Figure(
        name=slug("price", ladder.task, "after", ladder.after, "paid-in", task, ladder.tag),
        section="mitigations",
        title=title,
        caption=_corner(points, task, ladder),
        alt=f"{title}. {'; '.join(parts)}.",
        spec=finished(chart, title),
        table=_table(ladder, task),
    )


def _corner(points: Sequence[Point], task: str, ladder: Ladder) -> str:
    """How many lie where a recommended one must."""
    margin, target = f"{100 * ladder.limits.margin:g} points", f"{ladder.limits.target:.0%}"
    better = "further up and further left is better."
    if math.isnan(ladder.measure.target):
        return f"No loss is shown of which {target} could come back, so nothing is recommended; {better}"
    inside = sum(_wanted(one, task, ladder.limits) for one in points)
    return (
        f"In the shaded corner, above {target} of recovery at a price below {margin}, {inside} of {len(points)} lie "
        f"with both whole intervals; {better}"
    )


def _wanted(point: Point, task: str, limits: Limits) -> bool:
    return point.recovery.low > limits.target and point.prices[task].high < limits.margin


def _curves(ladder: Ladder) -> Mapping[str, list[Point]]:
    """Kind -> its doses with a value, smallest first."""
    curves: dict[str, list[Point]] = {}
    for one in ladder.points:
        if not math.isnan(one.dose) and not math.isnan(ladder.measure.of(one).value):
            curves.setdefault(one.kind, []).append(one)
    return curves


def _first(ladder: Ladder) -> list[str]:
    """The recommendation; where none can be made, what came back."""
    if ladder.choices and not math.isnan(ladder.measure.target):
        return recommendations(ladder.choices)
    return list(ladder.said)


def _name(measure: Measure) -> str:
    return "Recovery" if measure.unit == "%" else "Points regained"


def _outside(ladder: Ladder) -> int:
    (least, most), values = ladder.measure.frame, [ladder.measure.of(one) for one in ladder.points]
    return sum(100 * one.low < least or 100 * one.high > most for one in values)


def _frame(outside: int) -> list[str]:
    reach = "interval reaches" if outside == 1 else "intervals reach"
    return [f"{outside} {reach} beyond the frame; the table has the ends."] if outside else []


def _folded(ladder: Ladder) -> list[str]:
    left = len(ladder.points) - _MOST_ROWS
    return [f"{left} more are in the table."] if left > 0 else []


def _short(point: Point, measure: Measure) -> str:
    value = measure.of(point).value
    if math.isnan(value):
        return ""
    return f"{value:.0%}" if measure.unit == "%" else f"{100 * value:+.1f}"


def _table(ladder: Ladder, task: str = "") -> pl.DataFrame:
    recoveries = [one.recovery for one in ladder.points]
    paid: dict[str, pl.Series] = {}
    for kept in [task] if task else dict.fromkeys(name for one in ladder.points for name in one.prices):
        prices = [one.prices.get(kept, Estimate.undefined("not measured")) for one in ladder.points]
        paid |= estimate_columns(f"price in {kept}", prices)
    return pl.DataFrame(
        {
            "mitigation": [one.name for one in ladder.points],
            "kind": [one.kind for one in ladder.points],
            "dose (%)": numbers([100 * one.dose for one in ladder.points]),
        }
        | estimate_columns("recovery", recoveries, "%")
        | estimate_columns("regained", [one.regained for one in ladder.points])
        | paid
        | count_columns(recoveries)
        | {"recommended": [one.chosen for one in ladder.points], "reason": [one.reason for one in recoveries]}
    )
