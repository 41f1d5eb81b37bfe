"""Variants of a study: what each forgot beyond the first, and forgetting against what was gained."""

import math
from collections.abc import Iterator, Sequence

import altair as alt
import polars as pl

from chaintune.records import Figure, ResultRow
from chaintune.records.scales import Scale, changes_in, levels_in
from chaintune.report.cells import joint_name, p_cell, score_name
from chaintune.report.figures.charts import (
    Row,
    axis,
    count_columns,
    estimate_columns,
    estimate_data,
    finished,
    first_few,
    framed,
    hints,
    in_table_only,
    inside,
    kind_labels,
    layered,
    looks_by,
    of_each_unit,
)
from chaintune.report.figures.forest import Forest, Line
from chaintune.report.figures.groups import DIFFERENCES, counts, difference_kind
from chaintune.report.labels import one_line, slug
from chaintune.report.results import Results
from chaintune.report.variants import against_first, against_first_sentences, corrections

_MOST_ROWS, _MOST_READ, _SENTENCES = 40, 8, 3
_HEIGHT = 280
# Of one variant: what it forgot, and what it scores on the task that was taught last.
Point = tuple[ResultRow, ResultRow]


def variant_figures(results: Results) -> Iterator[Figure]:
    """Differences of each variant to the first, and what each forgot of a task against what it gained of the next."""
    every = against_first(results.shown)
    rows = [row for one in every for row in one.differences(results.level) if row not in one.gained]
    # Variants side by side.
    places = list(dict.fromkeys((row.chain, row.base, row.task, row.dimension) for row in rows))
    rows.sort(key=lambda row: places.index((row.chain, row.base, row.task, row.dimension)))
    for tag, own in of_each_unit(rows):
        yield _differences(own, results, tag)
    yield from _at_gain(results.plain)


def _differences(rows: Sequence[ResultRow], results: Results, tag: str) -> Figure:
    scale, level = changes_in(rows[0].unit), results.level
    several = [name for name in ("chain", "base") if len({getattr(row, name) for row in rows}) > 1]
    lines = [
        Line(
            f"{row.task}: {joint_name(row)}" if row.dimension else row.task,
            row.estimate,
            difference_kind(row.estimate, level),
            counts(row.estimate),
            below=", ".join([*(getattr(row, name) for name in several), row.variant]),
        )
        for row in rows
    ]
    first = rows[0].reference_variant
    title = ", ".join(filter(None, (f"What each variant forgot beyond {first}", tag)))
    sentences = list(against_first_sentences(results.shown, level))[:_SENTENCES]
    read = [f"{one_line(line.full_name)}: {one_line(scale.text(line.estimate))}" for line in lines]
    groups = ["Rows of a group are of its biased forgetting."] if any(row.dimension for row in rows) else []
    more = in_table_only(lines, _MOST_ROWS, "rows are")
    forest = Forest(f"{scale.unit} more than the first variant", scale, DIFFERENCES, "n · clusters")
    return Figure(
        name=slug("variants-against-the-first", tag),
        section="variants",
        title=title,
        caption=" ".join([*sentences, *groups, corrections(against_first(results.shown)), *more]),
        alt=f"{title}, on the same examples and seeds. {first_few(read, _MOST_READ)}",
        spec=finished(forest.draw(lines[:_MOST_ROWS]), title),
        table=pl.DataFrame(
            {"chain": [row.chain for row in rows], "task": [row.task for row in rows]}
            | {"group": [_group(row) for row in rows], "variant": [row.variant for row in rows]}
            | {"against": [row.reference_variant for row in rows]}
            | count_columns([row.estimate for row in rows])
            | estimate_columns("difference", [row.estimate for row in rows], scale)
            | {"p": [p_cell(row.estimate) for row in rows], "reason": [row.estimate.reason for row in rows]}
        ),
    )


def _group(row: ResultRow) -> str:
    return f"{row.dimension}: {joint_name(row)}" if row.dimension else ""


def _at_gain(plain: Sequence[ResultRow]) -> Iterator[Figure]:
    """One for each chain, task that may be forgotten and task that the last stage taught: a point a variant."""
    whole = [row for row in plain if row.is_whole]
    levels = {(row.base, row.chain, row.variant, row.task): row for row in whole if row.metric == "accuracy"}
    taught = dict.fromkeys((row.base, row.chain, row.task) for row in whole if row.metric == "gain")
    lost = [row for row in whole if row.metric == "forgetting" and not math.isnan(row.estimate.value)]
    variants = list(dict.fromkeys(row.variant for row in lost))
    several = len({row.base for row in lost}) > 1
    for base, chain, task in dict.fromkeys((row.base, row.chain, row.task) for row in lost):
        own = [row for row in lost if (row.base, row.chain, row.task) == (base, chain, task)]
        for new in (name for at, end, name in taught if (at, end) == (base, chain)):
            beside = [(row, levels.get((base, chain, row.variant, new))) for row in own]
            points = [(row, level) for row, level in beside if level and not math.isnan(level.estimate.value)]
            if len(points) > 1:
                yield _gain_figure(points, variants, base if several else "")


def _gain_figure(points: Sequence[Point], variants: Sequence[str], base: str) -> Figure:
    lost, level = points[0]
    scale, scores = changes_in(lost.unit), levels_in(level.unit)
    title = f"Forgetting of {lost.task} against {score_name([level])} of {level.task}, {lost.chain}"
    title += f", {base}" if base else ""
    side = "right" if level.direction == "more" else "left"
    texts = [
        f"{one_line(one.variant)} forgot {one_line(scale.text(one.estimate))} at "
        f"{scores.number(at.estimate.value, named=True)}"
        for one, at in points
    ]
    return Figure(
        name=slug("forgetting-at-gain", lost.task, level.task, lost.chain, base),
        section="variants",
        title=title,
        caption=f"{first_few(texts, 4)} Further down and further {side} is better: less is forgotten, more is gained.",
        alt=f"{title}. A point a variant, with its intervals. {first_few(texts, _MOST_READ)}",
        spec=finished(_draw(points, variants), title),
        table=pl.DataFrame(
            {"variant": [one.variant for one, _ in points]}
            | count_columns([one.estimate for one, _ in points])
            | estimate_columns(f"forgetting of {lost.task}", [one.estimate for one, _ in points], scale)
            | estimate_columns(f"{score_name([level])} of {level.task}", [at.estimate for _, at in points], scores)
        ),
    )


def _draw(points: Sequence[Point], variants: Sequence[str]) -> alt.LayerChart:
    lost, level = points[0]
    scale, scores = changes_in(lost.unit), levels_in(level.unit)
    labels = kind_labels(variants)
    rows = []
    for one, at in points:
        score = estimate_data(at.estimate, scores)
        across = {"score": score["value"], "score_low": score["low"], "score_high": score["high"], "at": score["is"]}
        rows.append({"variant": labels[one.variant], **estimate_data(one.estimate, scale), **across})
    shown = list(dict.fromkeys(row["variant"] for row in rows))
    looks = looks_by("variant", list(dict.fromkeys(labels.values())), shown=shown)
    wide = _axis_of(rows, ("score", "score_low", "score_high"), scores)
    high = _axis_of([*rows, {"value": 0.0}], ("value", "low", "high"), scale)
    name = scores.title(f"{score_name([level])} of {one_line(level.task)}")
    x = alt.X("score:Q", scale=wide, axis=axis(name, grid=False))
    y = alt.Y("value:Q", scale=high, axis=alt.Axis(title=scale.title("forgetting"), tickCount=6))
    base = alt.Chart().encode(x=x, y=y, color=looks["color"])
    zero = alt.Chart(inside([{"value": 0.0}])).mark_rule(style="zero").encode(y=alt.Y("value:Q"))
    rule = base.mark_rule(strokeWidth=1.4, opacity=0.7, clip=True)
    up = rule.encode(y=alt.Y("low:Q", scale=high), y2=alt.Y2("high:Q"))
    across_it = rule.encode(x=alt.X("score_low:Q", scale=wide), x2=alt.X2("score_high:Q"))
    hint = hints("variant", "is", "at", "of")
    mark = base.mark_point(filled=True, size=90, opacity=1).encode(shape=looks["shape"], tooltip=hint)
    return layered([zero, up, across_it, mark], rows, _HEIGHT)


def _axis_of(rows: Sequence[Row], fields: Sequence[str], scale: Scale) -> alt.Scale:
    values = [row[field] for row in rows for field in fields if field in row]
    most = scale.factor * scale.most
    low, high = framed(values, values, least=-most, most=most)
    return alt.Scale(domain=[low, high if high > low else low + 1], nice=False)
