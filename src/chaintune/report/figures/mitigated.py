"""What brings it back, at what price: recovery of every mitigation, along doses, and against its price."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from chaintune.forgetting.recommend import recommend
from chaintune.records import Estimate, Figure, Limits, Recommendation, ResultRow
from chaintune.records.amounts import margin_in
from chaintune.records.scales import PERCENT, changes_in
from chaintune.report.figures.charts import count_columns, estimate_columns, finished, in_table_only, numbers
from chaintune.report.figures.doses import Measure, Point, draw_doses, draw_price
from chaintune.report.figures.forest import RING, Forest, Kind, Line, beyond
from chaintune.report.labels import one_line, slug
from chaintune.report.mitigations import beyond_reference, of_same_checkpoint
from chaintune.report.recovery_words import recommendations, recoveries_text, recovery_text
from chaintune.report.results import Results

_MOST_ROWS = 30
_MOST_READ = 4
_RECOMMENDED, _TESTED = "recommended dose", "tested"
_KINDS = (Kind(_RECOMMENDED, 2, "diamond"), Kind(_TESTED, 0, RING))
# The share of a small loss may be anything; how far its interval reaches beyond these matters to no decision.
_LEAST, _MOST = -0.5, 1.5


@dataclass(frozen=True, slots=True)
class MitigationResults:
    """The mitigations of one lost task after one chain, and what each came to.

    Attributes:
        task, after, tag: what was lost, where, and the base and variant where several occur.
        points: one a mitigated checkpoint.
        choices: the recommended dose of each kind.
        limits: what a dose has to reach.
        sentences: what each brought back.
        unit: of the lost task's scores.
    """

    task: str
    after: str
    tag: str
    points: tuple[Point, ...]
    choices: tuple[Recommendation, ...]
    limits: Limits
    sentences: tuple[str, ...] = ()
    unit: str = ""

    @property
    def measure(self) -> Measure:
        """Shares of the loss, or where they are undefined differences of scores, as far as those are known."""
        known = [one.recovery.value for one in self.points if not math.isnan(one.recovery.value)]
        if not known and any(not math.isnan(one.regained.value) for one in self.points):
            scale = changes_in(self.unit)
            title = f"{scale.title('regained')}, positive is better"
            return Measure("regained", scale, title, math.nan, (-scale.most, scale.most))
        # Every value and the target lie within it, not every interval.
        frame = min([_LEAST, *known]) - 0.05, max([_MOST, self.limits.target, *known]) + 0.05
        return Measure("recovery", PERCENT, "recovery (% of the loss)", self.limits.target, frame)

    @property
    def kinds(self) -> list[str]:
        """Of its mitigations, each once."""
        return list(dict.fromkeys(one.kind for one in self.points))

    @property
    def where(self) -> str:
        """For titles."""
        return f"{one_line(self.task)} after {one_line(self.after)}" + (f", {one_line(self.tag)}" if self.tag else "")


def mitigation_figures(results: Results) -> Iterator[Figure]:
    """For each lost task: the recoveries, their curve along the doses where there is one, and each price."""
    for lost in _mitigation_results(results.shown, results.limits, results.level):
        yield _recoveries(lost)
        if any(len(doses) > 1 for doses in _dose_curves(lost).values()):
            yield _doses(lost)
        for task in dict.fromkeys(task for point in lost.points for task in point.prices):
            if priced := _price(lost, task):
                yield priced


def _mitigation_results(rows: Sequence[ResultRow], limits: Limits, level: float) -> list[MitigationResults]:
    losses: dict[tuple[str, ...], list[ResultRow]] = {}
    for row in rows:
        if row.metric == "recovery" and not row.dimension:
            losses.setdefault((row.base, row.variant, row.task, row.reference), []).append(row)
    choices = recommend(rows, limits)
    bases = {base for base, *_ in losses}
    every = []
    for (base, variant, task, after), recoveries in losses.items():
        own = [one for one in choices if (one.base, one.variant, one.task, one.after) == (base, variant, task, after)]
        points = sorted((_point(row, rows, own) for row in recoveries), key=lambda one: (one.kind, one.dose, one.name))
        tag = ", ".join(filter(None, (base if len(bases) > 1 else "", variant)))
        unit = next((row.unit for row in rows if row.metric == "regained" and row.task == task), "")
        texts = _sentences(recoveries, rows, level)
        every.append(MitigationResults(task, after, tag, tuple(points), tuple(own), limits, texts, unit))
    return every


def _sentences(recoveries: Sequence[ResultRow], rows: Sequence[ResultRow], level: float) -> tuple[str, ...]:
    """A sentence on each recovery; one for all where they are undefined for one reason."""
    reasons = {row.estimate.reason if math.isnan(row.estimate.value) else "" for row in recoveries}
    if len(reasons) == 1 and "" not in reasons:
        return (recoveries_text(recoveries, rows, level=level),)
    return tuple(recovery_text(row, rows, level=level) for row in recoveries[:_MOST_READ])


def _point(row: ResultRow, rows: Sequence[ResultRow], choices: Sequence[Recommendation]) -> Point:
    beside = [one for one in rows if one.is_whole and of_same_checkpoint(one, row)]
    own = {one.metric: one.estimate for one in beside if one.task == row.task}
    return Point(
        name=beyond_reference(row, rows),
        kind=row.mitigation,
        dose=own["dose"].value if "dose" in own else math.nan,
        recovery=row.estimate,
        regained=own.get("regained", Estimate.undefined("not measured")),
        prices={one.task: one for one in beside if one.metric == "price"},
        chosen=row.chain in {choice.chosen for choice in choices},
    )


def _recoveries(results: MitigationResults) -> Figure:
    shown, measure = results.points[:_MOST_ROWS], results.measure
    lines = [
        Line(one.name, measure.of(one), _RECOMMENDED if one.chosen else _TESTED, _short(one, measure)) for one in shown
    ]
    aim = "" if math.isnan(measure.target) else f"target {PERCENT.number(measure.target)}"
    forest = Forest(
        measure.axis,
        measure.scale,
        _KINDS,
        measure.name,
        limit=measure.target,
        limit_name=aim,
        least=measure.frame[0],
        most=measure.frame[1],
    )
    title = f"{_name(measure)} of {results.where}"
    texts = "; ".join(f"{one_line(one.name)}: {measure.text(one)}" for one in shown)
    left = in_table_only(results.points, _MOST_ROWS, "are")
    return Figure(
        name=slug(measure.name, results.task, "after", results.after, results.tag),
        section="mitigations",
        title=title,
        caption=" ".join([*_first(results), *_frame(beyond(lines, forest)), *left]),
        alt=f"{', '.join(filter(None, (title, aim)))}. {texts}.",
        spec=finished(forest.draw(lines), title),
        table=_table(results),
    )


def _doses(results: MitigationResults) -> Figure:
    curves, measure = _dose_curves(results), results.measure
    title = f"{_name(measure)} along the dose: {results.where}"
    parts = [
        f"{one_line(kind)}: " + ", ".join(f"{measure.text(one)} at {100 * one.dose:.4g} %" for one in points)
        for kind, points in curves.items()
    ]
    ends = [_ends(kind, points, measure) for kind, points in curves.items()]
    return Figure(
        name=slug("dose", results.task, "after", results.after, results.tag),
        section="mitigations",
        title=title,
        caption=" ".join([*ends, *_frame(_outside(results))]),
        alt=f"{title}. {'; '.join(parts)}.",
        spec=finished(draw_doses(curves, results.kinds, measure), title),
        table=_table(results),
    )


def _ends(kind: str, points: Sequence[Point], measure: Measure) -> str:
    """The smallest and the largest dose of one kind in words."""
    texts = [f"{measure.text(one)} at a dose of {100 * one.dose:.4g} %" for one in points]
    return f"{_name(measure)} with {one_line(kind)}: {', '.join(dict.fromkeys([texts[0], texts[-1]]))}."


def _price(results: MitigationResults, task: str) -> Figure | None:
    measure = results.measure
    points = [one for one in results.points if task in one.prices and not math.isnan(measure.of(one).value)]
    points = [one for one in points if not math.isnan(one.prices[task].estimate.value)]
    if not points:
        return None
    scale, margin = changes_in(points[0].prices[task].unit), _margin(points, task, results.limits)
    title = f"{_name(measure)} of {results.where}, against its price in {one_line(task)}"
    parts = [
        f"{one_line(one.name)}: {measure.name} {measure.text(one)}, price "
        f"{scale.with_unit(scale.number(one.prices[task].estimate.value))}"
        for one in points
    ]
    chart = draw_price(points, results.kinds, task=task, measure=measure, margin=margin)
    return Figure(
        name=slug("price", results.task, "after", results.after, "paid-in", task, results.tag),
        section="mitigations",
        title=title,
        caption=_corner(points, task, results),
        alt=f"{title}. {'; '.join(parts)}.",
        spec=finished(chart, title),
        table=_table(results, task),
    )


def _corner(points: Sequence[Point], task: str, results: MitigationResults) -> str:
    """Number of checkpoints that reach target and margin."""
    margin, target = _margin(points, task, results.limits), PERCENT.number(results.limits.target)
    better = "further up and further left is better."
    if math.isnan(margin):
        return f"No margin is known of a price in {points[0].prices[task].unit}, so nothing is recommended; {better}"
    if math.isnan(results.measure.target):
        return f"No loss is shown of which {target} could come back, so nothing is recommended; {better}"
    inside = sum(_reaches(one, task, results.limits) for one in points)
    most = changes_in(points[0].prices[task].unit).exact(margin)
    return (
        f"In the shaded corner, above {target} of recovery at a price below {most}, {inside} of {len(points)} lie with "
        f"both whole intervals; {better}"
    )


def _margin(points: Sequence[Point], task: str, limits: Limits) -> float:
    row = points[0].prices[task]
    return margin_in(row.unit, limits.margin, row.margin)


def _reaches(point: Point, task: str, limits: Limits) -> bool:
    return point.recovery.low > limits.target and point.prices[task].estimate.high < _margin([point], task, limits)


def _dose_curves(results: MitigationResults) -> Mapping[str, list[Point]]:
    """Kind -> its doses with a value, smallest first."""
    curves: dict[str, list[Point]] = {}
    for one in results.points:
        if not math.isnan(one.dose) and not math.isnan(results.measure.of(one).value):
            curves.setdefault(one.kind, []).append(one)
    return curves


def _first(results: MitigationResults) -> list[str]:
    """The recommendation; where none can be made, what came back."""
    if results.choices and not math.isnan(results.measure.target):
        return recommendations(results.choices)
    return list(results.sentences)


def _name(measure: Measure) -> str:
    return "Recovery" if measure.name == "recovery" else f"{measure.scale.unit.capitalize()} regained"


def _outside(results: MitigationResults) -> int:
    (least, most), values = results.measure.frame, [results.measure.of(one) for one in results.points]
    return sum(one.low < least or one.high > most for one in values)


def _frame(outside: int) -> list[str]:
    reach = "interval reaches" if outside == 1 else "intervals reach"
    return [f"{outside} {reach} beyond the frame; the table has the ends."] if outside else []


def _short(point: Point, measure: Measure) -> str:
    value = measure.of(point).value
    if math.isnan(value):
        return ""
    return measure.scale.number(value)


def _table(results: MitigationResults, task: str = "") -> pl.DataFrame:
    recoveries = [one.recovery for one in results.points]
    paid: dict[str, pl.Series] = {}
    for kept in [task] if task else dict.fromkeys(name for one in results.points for name in one.prices):
        prices = [one.prices.get(kept) for one in results.points]
        estimates = [price.estimate if price else Estimate.undefined("not measured") for price in prices]
        scale = changes_in(next((price.unit for price in prices if price), ""))
        paid |= estimate_columns(f"price in {kept}", estimates, scale)
    return pl.DataFrame(
        {
            "mitigation": [one.name for one in results.points],
            "kind": [one.kind for one in results.points],
            "dose (%)": numbers([100 * one.dose for one in results.points]),
        }
        | estimate_columns("recovery", recoveries, PERCENT)
        | estimate_columns("regained", [one.regained for one in results.points], changes_in(results.unit))
        | paid
        | count_columns(recoveries)
        | {"recommended": [one.chosen for one in results.points], "reason": [one.reason for one in recoveries]}
    )
