"""Every checkpoint on every task, as a heat map."""

import math
from collections.abc import Iterator, Sequence

import altair as alt

from chaintune.records import Figure, ResultRow
from chaintune.records.amounts import is_share
from chaintune.records.scales import levels_in
from chaintune.report.cells import checkpoint, score_name
from chaintune.report.figures.charts import (
    LINES,
    finished,
    first_few,
    hints,
    in_table_only,
    layered,
    score_table,
    scores_by_setting,
)
from chaintune.report.figures.forest import below_pixels, centred, names_axis
from chaintune.report.labels import in_lines, one_line, slug, wrapped

_MOST_ROWS = 40
_MOST_READ = 16
_STEP = 26
_LABEL, _HEAD = 24, 30


def matrix_figures(rows: Sequence[ResultRow]) -> Iterator[Figure]:
    """One heat map for each base and unit: checkpoints, mitigated ones too and those of every variant, by tasks."""
    for tag, own in scores_by_setting(rows):
        yield _figure(sorted(own, key=lambda row: row.stage), tag)


def _figure(rows: Sequence[ResultRow], tag: str) -> Figure:
    checkpoints = list(dict.fromkeys((row.chain, row.variant) for row in rows))
    shown = [row for row in rows if (row.chain, row.variant) in checkpoints[:_MOST_ROWS]]
    name, unit = score_name(rows).capitalize(), "percent" if is_share(rows[0].unit) else rows[0].unit
    what = f"{name} of every checkpoint on every task"
    title = ", ".join(filter(None, (what, tag)))
    best = [_best([row for row in rows if row.task == task]) for task in dict.fromkeys(row.task for row in rows)]
    folded = in_table_only(checkpoints, _MOST_ROWS, "checkpoints are")
    texts = [f"{_name(row)} on {one_line(row.task)}: {_cell(row)}" for row in shown]
    return Figure(
        name=slug("checkpoints-by-tasks", tag),
        section="accuracy",
        title=title,
        caption=" ".join([f"{name} in {unit}; compare within a column.", *best, *folded]),
        alt=f"{what}, in {unit}. {first_few(texts, _MOST_READ)}",
        spec=finished(_draw(shown), title),
        table=score_table(rows),
    )


def _draw(rows: Sequence[ResultRow]) -> alt.LayerChart:
    chains = in_lines([row.chain for row in rows], _LABEL)
    variants = wrapped([row.variant for row in rows], _LABEL)
    several = dict.fromkeys(row.task for row in rows)
    tasks = in_lines(several, max(9, _HEAD // len(several)), whole=6)
    factor = levels_in(rows[0].unit).factor
    known = [factor * row.estimate.value for row in rows if not math.isnan(row.estimate.value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    high = high if high > low else low + 1
    names = centred([f"{chains[row.chain]}{variants[row.variant]}" for row in rows])
    cells = [
        {"checkpoint": name, "task": tasks[row.task]}
        | {"value": factor * row.estimate.value, "text": _cell(row), "chain": _name(row), "on": one_line(row.task)}
        for row, name in zip(rows, names, strict=True)
    ]
    hint = hints("chain", "on", "text")
    x = alt.X("task:N", sort=None, axis=_head([*tasks.values()]))
    y = alt.Y("checkpoint:N", sort=None, axis=names_axis(names, pixels=190))
    base = alt.Chart().encode(x=x, y=y)
    scale = alt.Scale(domain=[low, high], range="ramp")
    cell = base.mark_rect().encode(color=alt.Color("value:Q", scale=scale, legend=None), tooltip=hint)
    text = base.mark_text(style="count").encode(text=alt.Text("text:N"))
    return layered([cell, text], cells, alt.Step(_STEP + below_pixels(names)))


def _head(labels: Sequence[str]) -> alt.Axis:
    """The names of the tasks above the columns, with room for those that have several lines."""
    return alt.Axis(
        title=None, orient="top", labelAngle=0, labelExpr=LINES, labelLimit=190, labelFontSize=11, ticks=False,
        labelPadding=2 + below_pixels(labels),
    )  # fmt: skip


def _name(row: ResultRow) -> str:
    return one_line(checkpoint(row, [row]))


def _cell(row: ResultRow) -> str:
    scale = levels_in(row.unit)
    return "undefined" if math.isnan(row.estimate.value) else scale.numbers(row.estimate.value)[0]


def _best(rows: Sequence[ResultRow]) -> str:
    known = [row for row in rows if not math.isnan(row.estimate.value)]
    if not known:
        return f"{one_line(rows[0].task)} is undefined everywhere."
    low, high = (pick(known, key=lambda row: row.estimate.value) for pick in (min, max))
    ends = [f"{_cell(row)} ({_name(row)})" for row in (low, high)]
    return f"{one_line(low.task)} lies between {ends[0]} and {ends[1]}."
