"""Two checkpoints: every task before and after, and how much of each was forgotten."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from chaintune.records import Comparison, Estimate, Figure, ResultRow, Verdict
from chaintune.report.estimates import in_points
from chaintune.report.figures.charts import (
    count_columns,
    estimate_columns,
    finished,
    first_few,
    layered,
    top_legend,
)
from chaintune.report.figures.forest import Forest, Kind, Line, looks_of, names_axis, texts_beside
from chaintune.report.figures.groups import VERDICTS, counts
from chaintune.report.labels import listed, one_line, shortened
from chaintune.report.words import verdict_sentence

_MOST_ROWS = 30
_MOST_READ = 12
_SENTENCES = 3
_BEFORE, _AFTER = "before", "after"
_ENDS = (Kind(_BEFORE, 7, "circle"), Kind(_AFTER, 0, "square"))


def before_after_figure(comparisons: Sequence[Comparison]) -> Figure:
    """Score of every task before and after, joined by a line."""
    title = "Every task before and after"
    texts = [
        f"{one_line(one.task)} from {one.overall.before.value:.1%} to {one.overall.after.value:.1%}"
        for one in comparisons
    ]
    shown = comparisons[:_MOST_ROWS]
    return Figure(
        name="before-and-after",
        section="accuracy",
        title=title,
        caption=first_few(texts, 5),
        alt=f"{title}. {first_few(texts, _MOST_READ)}",
        spec=finished(_draw(shown), title),
        table=_table(comparisons),
    )


def forgetting_of_tasks_figure(rows: Sequence[ResultRow], *, level: float) -> Figure | None:
    """Forgetting of every task along every chain, or between two checkpoints; None where nothing followed anything.

    Args:
        rows: of all seeds together where there are several, else of the one seed; without mitigated checkpoints.
        level: of the intervals.
    """
    lost = [row for row in rows if row.metric == "forgetting" and row.is_whole]
    if not lost:
        return None
    values: list[tuple[str, Estimate, Verdict]] = [
        (_name(row, lost), row.estimate, row.verdict or "inconclusive") for row in lost
    ]
    sentences = [verdict_sentence(row, level=level) for row in lost]
    return _forest(values, sentences, "task and chain" if any(row.chain for row in lost) else "task")


def _name(row: ResultRow, rows: Sequence[ResultRow]) -> str:
    """What tells one row from another, as short as that can be said; the rest is in the caption."""
    parts = {name: getattr(row, name) for name in ("task", "chain", "base")}
    unlike = [part for name, part in parts.items() if len({getattr(one, name) for one in rows}) > 1]
    return ", ".join(filter(None, [*unlike, ", ".join(row.settings)])) or row.task


def _forest(values: Sequence[tuple[str, Estimate, Verdict]], texts: Sequence[str], what: str) -> Figure:
    shown = [Line(name, estimate, verdict, counts(estimate)) for name, estimate, verdict in values[:_MOST_ROWS]]
    forest = Forest("forgetting (points), positive is worse", VERDICTS, "n · clusters")
    title = "Forgetting of every task"
    read = [f"{one_line(name)}: {in_points(one)}, {how}" for name, one, how in values]
    left = len(texts) - _SENTENCES
    more = [f"{left} more are shown: {listed(_verdicts(values[_SENTENCES:]))}."] if left > 0 else []
    return Figure(
        name="forgetting-of-every-task",
        section="accuracy",
        title=title,
        caption=" ".join([*texts[:_SENTENCES], *more]),
        alt=f"{title}. {first_few(read, _MOST_READ)}",
        spec=finished(forest.draw(shown), title),
        table=pl.DataFrame(
            {what: [name for name, _, _ in values]}
            | count_columns([one for _, one, _ in values])
            | estimate_columns("forgetting", [one for _, one, _ in values])
            | {"verdict": [how for _, _, how in values], "reason": [one.reason for _, one, _ in values]}
        ),
    )


def _verdicts(values: Sequence[tuple[str, Estimate, Verdict]]) -> list[str]:
    found = [how for _, _, how in values]
    return [f"{found.count(how)} {how}" for how in dict.fromkeys(found)]


def _draw(comparisons: Sequence[Comparison]) -> alt.LayerChart:
    labels = shortened([one.task for one in comparisons], 22)
    rows = [
        {"label": labels[one.task], "name": one_line(one.task), "kind": kind, "value": 100 * estimate.value}
        | {"low": 100 * estimate.low, "high": 100 * estimate.high}
        | {"is": f"{100 * estimate.value:.1f}", "beside": counts(one.overall.forgetting)}
        for one in comparisons
        for kind, estimate in ((_BEFORE, one.overall.before), (_AFTER, one.overall.after))
    ]
    looks, legend = looks_of(_ENDS), top_legend([_BEFORE, _AFTER], offset=26)
    x = alt.X("value:Q", scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(title="score (%)", tickCount=5))
    y = alt.Y("label:N", sort=None, scale=alt.Scale(domain=[*labels.values()]), axis=names_axis())
    color = alt.Color("kind:N", scale=looks["colour"], legend=legend)
    base = alt.Chart().encode(y=y)
    offset = alt.YOffset("kind:N", sort=[_BEFORE, _AFTER], scale=alt.Scale(padding=2))
    span = base.mark_rule(strokeWidth=1.6).encode(x=alt.X("low:Q"), x2="high:Q", yOffset=offset, color=color)
    hint = [alt.Tooltip(f"{name}:N", title=name) for name in ("name", "kind", "is")]
    shape = alt.Shape("kind:N", scale=looks["shape"], legend=legend)
    point = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=x, yOffset=offset, color=color, shape=shape, tooltip=hint
    )
    beside = [{"label": row["label"], "beside": row["beside"]} for row in rows if row["kind"] == _BEFORE]
    layers = [span, point, *texts_beside("n · clusters", y, beside)]
    return layered(layers, rows, alt.Step(34, **{"for": "position"}))


def _table(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    return pl.DataFrame(
        {"task": [one.task for one in comparisons], "metric": [one.metric for one in comparisons]}
        | count_columns([one.overall.forgetting for one in comparisons])
        | estimate_columns("before", [one.overall.before for one in comparisons], "%")
        | estimate_columns("after", [one.overall.after for one in comparisons], "%")
        | {"verdict": [one.overall.verdict for one in comparisons]}
    )
