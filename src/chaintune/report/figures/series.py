"""Scores along a series of checkpoints, a line a task or group; and rivals side by side."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from chaintune.records import Comparison, Estimate, Figure, GroupComparison, Series
from chaintune.records.scales import Scale, changes_in, levels_in
from chaintune.report.figures.charts import (
    LINES,
    axis,
    count_columns,
    estimate_columns,
    estimate_data,
    finished,
    first_few,
    hints,
    inside,
    kind_labels,
    layered,
    looks_by,
    unit_tag,
)
from chaintune.report.figures.forest import below_pixels, names_axis, row_labels
from chaintune.report.labels import in_lines, listed, one_line, shortened, slug

_HEIGHT = 280
_CHECKPOINT = 16
_MOST_READ = 16
_MOST_GROUPS = 30
_WHOLE = "the whole"


@dataclass(frozen=True, slots=True)
class _Panel:
    """Tasks of one unit, or the groups of one dimension of a task, at every checkpoint.

    Attributes:
        title: what is shown.
        scores: name of a line -> its score at each checkpoint of `names`.
        lost: name of a line -> its forgetting in each of `pairs`, with the verdict.
    """

    title: str
    section: str
    unit: str
    names: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    scores: dict[str, list[Estimate]]
    lost: dict[str, list[tuple[Estimate, str]]]


def series_figures(series: Series, level: float) -> Iterator[Figure]:
    """One figure for the tasks of each unit, and one for each dimension of each task: scores, of rivals forgetting."""
    for panel in _panels(series, level):
        yield _rivals(panel) if series.against_first else _lines(panel)


def _panels(series: Series, level: float) -> Iterator[_Panel]:
    comparisons = series.at(series.steps)
    for unit in dict.fromkeys(one.unit for one in comparisons):
        own = [one for one in comparisons if one.unit == unit]
        title = ", ".join(filter(None, ("Every task", unit_tag(unit))))
        yield _panel(series, title, "accuracy", own, {one.task: (one.task, "", "") for one in own})
    for task in series.tasks:
        own = [one for one in comparisons if one.task == task]
        groups = [row for one in own for row in one.groups if not math.isnan(row.forgetting.value)]
        for dimension in dict.fromkeys(row.dimension for row in groups):
            named = _first_shown([row for row in groups if row.dimension == dimension], level)
            lines = {_WHOLE: (task, "", "")} | {name: (task, dimension, name) for name in named[:_MOST_GROUPS]}
            yield _panel(series, f"{task} by {dimension}", "groups", own, lines)


def _first_shown(rows: Sequence[GroupComparison], level: float) -> list[str]:
    """Groups, those first that are shown to differ from the whole or to have changed, then the largest."""

    def rank(group: str) -> tuple[bool, int, str]:
        own = [row for row in rows if row.group == group]
        shown = any(row.biased_forgetting.is_shown(level) or row.verdict in ("forgot", "gained") for row in own)
        return (not shown, -max(row.forgetting.n_clusters for row in own), group)

    return sorted({row.group for row in rows}, key=rank)


def _panel(
    series: Series, title: str, section: str, own: Sequence[Comparison], lines: dict[str, tuple[str, str, str]]
) -> _Panel:
    pairs = series.steps
    known = {
        (one.task, row.dimension, row.group, one.start, one.end): row
        for one in own
        for row in (one.overall, *one.groups)
    }
    undefined = Estimate.undefined("not compared here")

    def at(place: tuple[str, str, str], pair: tuple[str, str]) -> GroupComparison | None:
        return known.get((*place, *pair))

    scores: dict[str, list[Estimate]] = {}
    lost: dict[str, list[tuple[Estimate, str]]] = {}
    for name, place in lines.items():
        rows = [at(place, pair) for pair in pairs]
        scores[name] = [rows[0].before if rows[0] else undefined, *(row.after if row else undefined for row in rows)]
        lost[name] = [(row.forgetting, row.verdict) if row else (undefined, "") for row in rows]
    return _Panel(title, section, own[0].unit, tuple(series.names), tuple(pairs), scores, lost)


def _lines(panel: _Panel) -> Figure:
    scale, title = levels_in(panel.unit), f"{panel.title} along {listed(panel.names)}"
    return Figure(
        name=slug("along-the-series", panel.title),
        section="groups" if panel.section == "groups" else "accuracy",
        title=title,
        caption=f"{_falls(panel)} Points are scores with their intervals, each on the examples compared there.",
        alt=f"{title}. {first_few([_read(name, own, scale) for name, own in panel.scores.items()], _MOST_READ)}",
        spec=finished(_draw_lines(panel, scale), title),
        table=_score_table(panel, scale),
    )


def _falls(panel: _Panel) -> str:
    """Which lines fell or rose, and where."""
    moved = [
        f"{one_line(name)} {verdict} from {start} to {end} ({changes_in(panel.unit).number(estimate.value)})"
        for name, steps in panel.lost.items()
        for (start, end), (estimate, verdict) in zip(panel.pairs, steps, strict=True)
        if verdict in ("forgot", "gained")
    ]
    return f"Shown: {listed(moved, 6)}." if moved else "No change of any of them is shown."


def _read(name: str, scores: Sequence[Estimate], scale: Scale) -> str:
    course = ", ".join(scale.number(one.value) for one in scores)
    return f"{one_line(name)} {course}"


def _draw_lines(panel: _Panel, scale: Scale) -> alt.LayerChart:
    labels, flat = kind_labels(list(panel.scores)), len(panel.names) < 5
    places = in_lines(panel.names, 10, whole=6) if flat else shortened(panel.names, _CHECKPOINT)
    rows = [
        {
            "line": name,
            "label": labels[name],
            "name": one_line(name),
            "at": places[place],
            "checkpoint": one_line(place),
        }
        | estimate_data(estimate, scale)
        for name, scores in panel.scores.items()
        for place, estimate in zip(panel.names, scores, strict=True)
    ]
    shown = list(dict.fromkeys(labels.values()))
    looks = looks_by("label", shown)
    x = alt.X(
        "at:N",
        sort=None,
        scale=alt.Scale(domain=list(places.values()), paddingOuter=0.1),
        axis=alt.Axis(title=None, labelAngle=0 if flat else -35, labelExpr=LINES, labelFontSize=11, ticks=False),
    )
    y = alt.Y("value:Q", scale=alt.Scale(zero=False, nice=True), axis=axis(scale.title("score")))
    offset = alt.XOffset("label:N", scale=alt.Scale(domain=shown, padding=2)) if len(shown) > 1 else alt.Undefined
    base = alt.Chart().encode(x=x, y=y, xOffset=offset)
    line = base.mark_line(strokeWidth=2).encode(
        detail=alt.Detail("line:N"), color=looks["color"], strokeDash=looks["dash"]
    )
    span = base.mark_rule(strokeWidth=1.2, opacity=0.7).encode(
        y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=looks["color"]
    )
    point = base.mark_point(filled=True, size=60, opacity=1).encode(
        color=looks["color"], shape=looks["shape"], tooltip=hints("name", "checkpoint", "is", "of")
    )
    return layered([span, line, point], rows, _HEIGHT)


def _score_table(panel: _Panel, scale: Scale) -> pl.DataFrame:
    lines = [
        (name, place, estimate)
        for name, scores in panel.scores.items()
        for place, estimate in zip(panel.names, scores, strict=True)
    ]
    estimates = [estimate for _, _, estimate in lines]
    return pl.DataFrame(
        {"of": [name for name, _, _ in lines], "checkpoint": [place for _, place, _ in lines]}
        | count_columns(estimates)
        | estimate_columns("score", estimates, scale)
        | {"reason": [one.reason for one in estimates]}
    )


def _rivals(panel: _Panel) -> Figure:
    scale, rivals = changes_in(panel.unit), [end for _, end in panel.pairs]
    title = f"{panel.title}: forgetting since {panel.names[0]} of {listed(rivals)}"
    texts = (
        ", ".join(f"{end} {scale.number(one.value)}" for end, (one, _) in zip(rivals, own, strict=True))
        for own in panel.lost.values()
    )
    read = [f"{one_line(name)} {text}" for name, text in zip(panel.lost, texts, strict=True)]
    return Figure(
        name=slug("rivals", panel.title),
        section="groups" if panel.section == "groups" else "accuracy",
        title=title,
        caption=_falls(panel),
        alt=f"{title}. {first_few(read, _MOST_READ)}",
        spec=finished(_draw_rivals(panel, scale, rivals), title),
        table=_loss_table(panel, scale),
    )


def _draw_rivals(panel: _Panel, scale: Scale, rivals: Sequence[str]) -> alt.LayerChart:
    lines, kinds = row_labels([*panel.lost]), kind_labels(rivals)
    rows: list[dict[str, Any]] = [
        {
            "line": lines[name],
            "name": one_line(name),
            "label": kinds[rival],
            "rival": one_line(rival),
            "verdict": verdict,
        }
        | estimate_data(estimate, scale)
        for name, own in panel.lost.items()
        for rival, (estimate, verdict) in zip(rivals, own, strict=True)
    ]
    shown = list(dict.fromkeys(kinds.values()))
    looks = looks_by("label", shown)
    x = alt.X("value:Q", axis=axis(f"{scale.title('forgetting')}, positive is worse"))
    names = [*lines.values()]
    y = alt.Y("line:N", sort=None, scale=alt.Scale(domain=names), axis=names_axis(names))
    offset = alt.YOffset("label:N", sort=shown, scale=alt.Scale(padding=2))
    base = alt.Chart().encode(y=y, yOffset=offset)
    zero = alt.Chart(inside([{"value": 0.0}])).mark_rule(style="zero").encode(x=x)
    span = base.mark_rule(strokeWidth=1.6).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), color=looks["color"])
    point = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=x, color=looks["color"], shape=looks["shape"], tooltip=hints("name", "rival", "is", "of", "verdict")
    )
    return layered(
        [zero, span, point], rows, alt.Step(8 + 13 * len(shown) + below_pixels(names), **{"for": "position"})
    )


def _loss_table(panel: _Panel, scale: Scale) -> pl.DataFrame:
    lines = [
        (name, end, estimate, verdict)
        for name, own in panel.lost.items()
        for (_, end), (estimate, verdict) in zip(panel.pairs, own, strict=True)
    ]
    estimates = [estimate for _, _, estimate, _ in lines]
    return pl.DataFrame(
        {"of": [name for name, *_ in lines], "checkpoint": [end for _, end, _, _ in lines]}
        | count_columns(estimates)
        | estimate_columns("forgetting", estimates, scale)
        | {"verdict": [verdict for *_, verdict in lines], "reason": [one.reason for one in estimates]}
    )
