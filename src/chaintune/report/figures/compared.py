"""Two checkpoints: every task before and after, and how much of each was forgotten."""

from collections.abc import Iterator, Sequence

import altair as alt
import polars as pl

from chaintune.records import Comparison, Figure, ResultRow
from chaintune.records.scales import Scale, changes_in, levels_in
from chaintune.report.cells import checkpoint_columns
from chaintune.report.figures.charts import (
    count_columns,
    estimate_columns,
    finished,
    first_few,
    hints,
    layered,
    of_each_unit,
    top_legend,
)
from chaintune.report.figures.forest import (
    Forest,
    Kind,
    Line,
    below_pixels,
    looks_of,
    names_axis,
    row_labels,
    texts_beside,
)
from chaintune.report.figures.groups import VERDICTS, counts
from chaintune.report.forgetting_words import verdict_sentence
from chaintune.report.labels import listed, one_line, slug
from chaintune.report.results import Results

_MOST_ROWS = 30
_MOST_READ = 12
_SENTENCES = 3
_BEFORE, _AFTER = "before", "after"
_ENDS = (Kind(_BEFORE, 7, "circle"), Kind(_AFTER, 0, "square"))


def before_after_figures(comparisons: Sequence[Comparison]) -> Iterator[Figure]:
    """Score of every task before and after, joined by a line; one figure for each unit."""
    for tag, rows in of_each_unit([row for one in comparisons for row in one.rows if row.metric == "forgetting"]):
        tasks = {row.task for row in rows}
        yield _before_after([one for one in comparisons if one.task in tasks], levels_in(rows[0].unit), tag)


def _before_after(comparisons: Sequence[Comparison], scale: Scale, tag: str) -> Figure:
    title = ", ".join(filter(None, ("Every task before and after", tag)))
    texts = [
        f"{one_line(one.task)} from {scale.number(one.overall.before.value)} to "
        f"{scale.number(one.overall.after.value, named=True)}"
        for one in comparisons
    ]
    shown = comparisons[:_MOST_ROWS]
    return Figure(
        name=slug("before-and-after", tag),
        section="accuracy",
        title=title,
        caption=first_few(texts, 5),
        alt=f"{title}. {first_few(texts, _MOST_READ)}",
        spec=finished(_draw(shown, scale), title),
        table=_table(comparisons, scale),
    )


def forgetting_of_tasks_figures(results: Results) -> Iterator[Figure]:
    """Forgetting of every task along every chain, or between two checkpoints; one figure for each unit."""
    for tag, lost in of_each_unit([row for row in results.plain if row.metric == "forgetting" and row.is_whole]):
        # Variants of one chain side by side.
        places = list(dict.fromkeys((row.task, row.chain, row.base) for row in lost))
        ordered = sorted(lost, key=lambda row: places.index((row.task, row.chain, row.base)))
        yield _forest(ordered, [_line(row, ordered) for row in ordered], tag, results.level)


def _line(row: ResultRow, rows: Sequence[ResultRow]) -> Line:
    """The row under the parts of its name that differ between the rows; the rest is in the caption."""
    unlike = [name for name in ("task", "chain", "base") if len({getattr(one, name) for one in rows}) > 1]
    parts = [getattr(row, name) for name in unlike] or [row.task]
    several = 1 if row.variant else len(parts)
    below = ", ".join(filter(None, (*parts[several:], row.variant)))
    name = ", ".join(filter(None, parts[:several]))
    return Line(name or row.task, row.estimate, row.verdict or "inconclusive", counts(row.estimate), below=below)


def _forest(lost: Sequence[ResultRow], lines: Sequence[Line], tag: str, level: float) -> Figure:
    scale, texts = changes_in(lost[0].unit), [verdict_sentence(row, level=level) for row in lost]
    names, cells_of = checkpoint_columns(lost, "chain")
    chained = int(any(row.chain for row in lost))
    columns = zip(names[1 - chained :], zip(*(cells_of(row)[1 - chained :] for row in lost), strict=True), strict=False)
    forest = Forest(f"{scale.title('forgetting')}, positive is worse", scale, VERDICTS, "n · clusters")
    title = ", ".join(filter(None, ("Forgetting of every task", tag)))
    read = [f"{one_line(one.full_name)}: {one_line(scale.text(one.estimate))}, {one.kind}" for one in lines]
    left = len(texts) - _SENTENCES
    more = [f"{left} more are shown: {listed(_verdicts(lines[_SENTENCES:]))}."] if left > 0 else []
    return Figure(
        name=slug("forgetting-of-every-task", tag),
        section="accuracy",
        title=title,
        caption=" ".join([*texts[:_SENTENCES], *more]),
        alt=f"{title}. {first_few(read, _MOST_READ)}",
        spec=finished(forest.draw(lines[:_MOST_ROWS]), title),
        table=pl.DataFrame(
            {"task": [row.task for row in lost]}
            | dict(columns)
            | count_columns([line.estimate for line in lines])
            | estimate_columns("forgetting", [line.estimate for line in lines], scale)
            | {"verdict": [line.kind for line in lines], "reason": [line.estimate.reason for line in lines]}
        ),
    )


def _verdicts(lines: Sequence[Line]) -> list[str]:
    verdicts = [line.kind for line in lines]
    return [f"{verdicts.count(how)} {how}" for how in dict.fromkeys(verdicts)]


def _draw(comparisons: Sequence[Comparison], scale: Scale) -> alt.LayerChart:
    labels = row_labels([one.task for one in comparisons])
    rows = [
        {"label": labels[one.task], "name": one_line(one.task), "kind": kind, "value": scale.factor * estimate.value}
        | {"low": scale.factor * estimate.low, "high": scale.factor * estimate.high}
        | {"is": scale.number(estimate.value, named=True), "beside": counts(one.overall.forgetting)}
        for one in comparisons
        for kind, estimate in ((_BEFORE, one.overall.before), (_AFTER, one.overall.after))
    ]
    looks, legend = looks_of(_ENDS), top_legend([_BEFORE, _AFTER], offset=26)
    x = alt.X("value:Q", scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(title=scale.title("score"), tickCount=5))
    y = alt.Y("label:N", sort=None, scale=alt.Scale(domain=[*labels.values()]), axis=names_axis([*labels.values()]))
    color = alt.Color("kind:N", scale=looks["colour"], legend=legend)
    base = alt.Chart().encode(y=y)
    offset = alt.YOffset("kind:N", sort=[_BEFORE, _AFTER], scale=alt.Scale(padding=2))
    span = base.mark_rule(strokeWidth=1.6).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), yOffset=offset, color=color)
    hint = hints("name", "kind", "is")
    shape = alt.Shape("kind:N", scale=looks["shape"], legend=legend)
    point = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=x, yOffset=offset, color=color, shape=shape, tooltip=hint
    )
    beside = [{"label": row["label"], "beside": row["beside"]} for row in rows if row["kind"] == _BEFORE]
    layers = [span, point, *texts_beside("n · clusters", y, beside)]
    return layered(layers, rows, alt.Step(34 + below_pixels([*labels.values()]), **{"for": "position"}))


def _table(comparisons: Sequence[Comparison], scale: Scale) -> pl.DataFrame:
    return pl.DataFrame(
        {"task": [one.task for one in comparisons], "metric": [one.metric for one in comparisons]}
        | count_columns([one.overall.forgetting for one in comparisons])
        | estimate_columns("before", [one.overall.before for one in comparisons], scale)
        | estimate_columns("after", [one.overall.after for one in comparisons], scale)
        | {"verdict": [one.overall.verdict for one in comparisons]}
    )
