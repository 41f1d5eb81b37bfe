"""What brings it back, at what price: recovery of every mitigation, along doses, and against its price."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from chaintune.forgetting.choice import choose
from chaintune.records import Choice, Estimate, Figure, Limits, ResultRow
from chaintune.report.figures.charts import count_columns, estimate_columns, finished, in_percent, numbers
from chaintune.report.figures.doses import Point, draw_doses, draw_price
from chaintune.report.figures.forest import RING, Forest, Kind, Line, beyond
from chaintune.report.figures.naming import slug, told
from chaintune.report.words import brought_back, recommended

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
    def frame(self) -> tuple[float, float]:
        """Every value and the target lie within it, in percent, not every interval."""
        known = [100 * one.recovery.value for one in self.points if not math.isnan(one.recovery.value)]
        return min([_LEAST, *known]) - 5, max([_MOST, 100 * self.limits.target, *known]) + 5

    @property
    def where(self) -> str:
        """For titles."""
        return f"{told(self.task)} after {told(self.after)}" + (f", {told(self.tag)}" if self.tag else "")


def mitigation_figures(rows: Sequence[ResultRow], limits: Limits) -> Iterator[Figure]:
    """For each lost task: every recovery, the curve along the doses where there is one, and each price.

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
        said = tuple(brought_back(row, rows) for row in recoveries[:_MOST_SAID])
        ladders.append(Ladder(task, after, tag, tuple(points), tuple(own), limits, said))
    return ladders


def _point(row: ResultRow, rows: Sequence[ResultRow], choices: Sequence[Choice]) -> Point:
    beside = [
        one
        for one in rows
        if (one.base, one.chain, one.variant, one.reference) == (row.base, row.chain, row.variant, row.reference)
        if not one.dimension and one.mitigation == row.mitigation
    ]
    doses = [one.estimate.value for one in beside if one.metric == "dose" and one.task == row.task]
    return Point(
        name=_after(row.chain, row.reference),
        kind=row.mitigation,
        dose=doses[0] if doses else math.nan,
        recovery=row.estimate,
        prices={one.task: one.estimate for one in beside if one.metric == "price"},
        chosen=row.chain in {choice.chosen for choice in choices},
    )


def _after(chain: str, reference: str) -> str:
    """The steps in which a chain differs from the one without its mitigation."""
    steps, plain = chain.split(">"), reference.split(">")
    alike = next(
        (place for place, pair in enumerate(zip(steps, plain, strict=False)) if pair[0] != pair[1]), len(plain)
    )
    return ">".join(steps[alike:]) or chain


def _recoveries(ladder: Ladder) -> Figure:
    shown = ladder.points[:_MOST_ROWS]
    lines = [
        Line(one.name, one.recovery, _RECOMMENDED if one.chosen else _TESTED, _short(one.recovery)) for one in shown
    ]
    target = ladder.limits.target
    forest = Forest(
        f"recovery (% of the loss of {told(ladder.task)[:20]})",
        _KINDS,
        "recovery",
        limit=target,
        limit_name=f"target {target:.0%}",
        least=ladder.frame[0],
        most=ladder.frame[1],
        unit="%",
    )
    title = f"Recovery of {ladder.where}"
    said = "; ".join(f"{told(one.name)}: {in_percent(one.recovery)}" for one in shown)
    return Figure(
        name=slug("recovery", ladder.task, "after", ladder.after, ladder.tag),
        section="mitigations",
        title=title,
        caption=" ".join([*_recommendations(ladder), *_frame(beyond(lines, forest)), *_folded(ladder)]),
        alt=f"{title}, target {target:.0%}. {said}.",
        spec=finished(forest.draw(lines), title),
        table=_table(ladder),
    )


def _doses(ladder: Ladder) -> Figure:
    curves = _curves(ladder)
    title = f"Recovery along the dose: {ladder.where}"
    parts = [
        f"{told(kind)}: " + ", ".join(f"{in_percent(one.recovery)} at {100 * one.dose:.4g} %" for one in points)
        for kind, points in curves.items()
    ]
    return Figure(
        name=slug("dose", ladder.task, "after", ladder.after, ladder.tag),
        section="mitigations",
        title=title,
        caption=" ".join([*map(_ends, curves.items()), *_frame(_outside(ladder))]),
        alt=f"{title}. {'; '.join(parts)}.",
        spec=finished(draw_doses(curves, ladder.limits, frame=ladder.frame), title),
        table=_table(ladder),
    )


def _ends(curve: tuple[str, list[Point]]) -> str:
    """The smallest and the largest dose of one kind in words."""
    kind, points = curve
    said = [f"{in_percent(one.recovery)} at a dose of {100 * one.dose:.4g} %" for one in points]
    return f"Recovery with {told(kind)}: {', '.join(dict.fromkeys([said[0], said[-1]]))}."


def _price(ladder: Ladder, task: str) -> Figure | None:
    points = [one for one in ladder.points if task in one.prices and not math.isnan(one.recovery.value)]
    points = [one for one in points if not math.isnan(one.prices[task].value)]
    if not points:
        return None
    title = f"Recovery of {ladder.where}, against its price in {told(task)}"
    inside = sum(_wanted(one, task, ladder.limits) for one in points)
    margin, target = f"{100 * ladder.limits.margin:g} points", f"{ladder.limits.target:.0%}"
    caption = (
        f"In the shaded corner, above {target} of recovery at a price below {margin}, {inside} of {len(points)} lie "
        "with both whole intervals; further up and further left is better."
    )
    parts = [
        f"{told(one.name)}: recovery {in_percent(one.recovery)}, price {100 * one.prices[task].value:+.1f} points"
        for one in points
    ]
    return Figure(
        name=slug("price", ladder.task, "after", ladder.after, "paid-in", task, ladder.tag),
        section="mitigations",
        title=title,
        caption=caption,
        alt=f"{title}. {'; '.join(parts)}.",
        spec=finished(draw_price(points, task, ladder.limits, frame=ladder.frame), title),
        table=_table(ladder, task),
    )


def _wanted(point: Point, task: str, limits: Limits) -> bool:
    return point.recovery.low > limits.target and point.prices[task].high < limits.margin


def _curves(ladder: Ladder) -> Mapping[str, list[Point]]:
    """Kind -> its doses with a recovery, smallest first."""
    curves: dict[str, list[Point]] = {}
    for one in ladder.points:
        if not math.isnan(one.dose) and not math.isnan(one.recovery.value):
            curves.setdefault(one.kind, []).append(one)
    return curves


def _recommendations(ladder: Ladder) -> list[str]:
    if ladder.choices:
        return [recommended(choice) for choice in ladder.choices]
    return list(ladder.said)


def _outside(ladder: Ladder) -> int:
    least, most = ladder.frame
    return sum(100 * one.recovery.low < least or 100 * one.recovery.high > most for one in ladder.points)


def _frame(outside: int) -> list[str]:
    reach = "interval reaches" if outside == 1 else "intervals reach"
    return [f"{outside} {reach} beyond the frame; the table has the ends."] if outside else []


def _folded(ladder: Ladder) -> list[str]:
    left = len(ladder.points) - _MOST_ROWS
    return [f"{left} more are in the table."] if left > 0 else []


def _short(estimate: Estimate) -> str:
    return "" if math.isnan(estimate.value) else f"{estimate.value:.0%}"


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
        | paid
        | count_columns(recoveries)
        | {"recommended": [one.chosen for one in ladder.points], "reason": [one.reason for one in recoveries]}
    )
