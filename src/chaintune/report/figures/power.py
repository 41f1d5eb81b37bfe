"""What could have been detected, for every group."""

import math
from collections.abc import Sequence
from statistics import median

import altair as alt
import polars as pl

from chaintune.records import Figure
from chaintune.records.scales import Scale
from chaintune.report.figures.charts import (
    TextValue,
    XValue,
    axis,
    count_columns,
    finished,
    framed,
    hints,
    in_table_only,
    inside,
    layered,
    numbers,
    top_legend,
)
from chaintune.report.figures.forest import Kind, below_pixels, looks_of, names_axis, row_labels, texts_beside
from chaintune.report.figures.group_results import GroupResult, GroupResults, kept_in_view
from chaintune.report.figures.groups import MOST_ROWS, counts
from chaintune.report.labels import one_line

_FORGETTING, _BIASED = "forgetting", "biased forgetting"
_KINDS = (Kind(_FORGETTING, 0, "circle"), Kind(_BIASED, 1, "diamond"))
_STEP = 24


def power_figure(results: GroupResults) -> Figure | None:
    """The minimum detectable forgetting and biased forgetting of groups; None where nothing is detectable."""
    if all(math.isnan(value) for one in results.members for value in (one.detectable, one.detectable_biased)):
        return None
    shown = _sorted(kept_in_view(results.members, MOST_ROWS, results.level))
    title = f"What could have been detected: {results.where}"
    left = in_table_only(results.members, MOST_ROWS, "groups are")
    caption = " ".join([_summary(results), *results.biased_only, *left])
    return Figure(
        name=results.name("detectable"),
        section="power",
        title=title,
        caption=caption,
        alt=f"{title}. {caption}",
        spec=finished(_draw(shown, results.scale), title),
        table=_table(_sorted(results.members), results),
    )


def typical(results: GroupResults) -> tuple[int, float]:
    """Rank of results by power: groups without a detectable difference, then the median of the others."""
    known = [one.detectable for one in results.judged if not math.isnan(one.detectable)]
    return len(results.judged) - len(known), median(known) if known else 0.0


def _draw(members: Sequence[GroupResult], scale: Scale) -> alt.LayerChart:
    labels = row_labels([one.group for one in members])
    rows = [
        {"label": labels[one.group], "name": one_line(one.group), "kind": kind}
        | {"value": scale.factor * value, "is": _is(value, scale)}
        for one in members
        for kind, value in ((_FORGETTING, one.detectable), (_BIASED, one.detectable_biased))
    ]
    values = [scale.factor * one for member in members for one in (member.detectable, member.detectable_biased)]
    low, high = framed([0.0], values, least=0.0, most=math.inf)  # a mark at 0 is whole
    ends = [low, high if high > low else low + 1]
    x = alt.X("value:Q", scale=alt.Scale(domain=ends, nice=False), axis=axis(scale.title("smallest detectable")))
    y = alt.Y("label:N", sort=None, scale=alt.Scale(domain=[*labels.values()]), axis=names_axis([*labels.values()]))
    looks, legend = looks_of(_KINDS), top_legend([kind.name for kind in _KINDS], offset=26)
    point = (
        alt.Chart()
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color("kind:N", scale=looks["colour"], legend=legend),
            shape=alt.Shape("kind:N", scale=looks["shape"], legend=legend),
            tooltip=hints("name", "kind", "is"),
        )
    )
    beside = [{"label": labels[one.group], "beside": counts(one.forgetting)} for one in members]
    layers = [point, *texts_beside("n · clusters", y, beside)]
    mute = [one for one in members if math.isnan(one.detectable_biased if one.is_biased_only else one.detectable)]
    nothing = [{"label": labels[one.group]} for one in mute]
    if nothing:
        words = alt.Chart(inside(nothing)).mark_text(style="note", align="left", dx=4)
        layers.append(words.encode(x=XValue(0), y=y, text=TextValue("none detectable")))
    return layered(layers, rows, alt.Step(_STEP + below_pixels([*labels.values()])))


def _is(value: float, scale: Scale) -> str:
    return "none detectable" if math.isnan(value) else f"{scale.size(value)} (80 % power)"


def _sorted(members: Sequence[GroupResult]) -> list[GroupResult]:
    """The best measured first, those that could show nothing last."""

    def rank(member: GroupResult) -> tuple[bool, float, str]:
        value = member.detectable
        return (math.isnan(value), 0.0 if math.isnan(value) else value, member.group)

    return sorted(members, key=rank)


def _summary(results: GroupResults) -> str:
    """The minimum detectable difference of the typical group and of the best measured one, and how many have none."""
    forgetting = _middle_and_least([one.detectable for one in results.judged], results.scale)
    biased = _middle_and_least([one.detectable_biased for one in results.members], results.scale)
    none, count = sum(math.isnan(one.detectable) for one in results.judged), len(results.judged)
    if not forgetting:
        where = f"In none of the {none} groups of {results.dimension} is any" if none > 1 else "In the one group is no"
        return f"{where} forgetting detectable (80 % power)."
    whose = "the other" if none else "the"
    if count - none > 1:
        whose = f"the typical one of the other {count - none}" if none else "the typical"
    group = whose if none and count - none > 1 else f"{whose} group of {results.dimension}"
    text = f"Minimum detectable forgetting (80 % power) in {group}: {', in the best measured one '.join(forgetting)}"
    text += f"; of biased forgetting {' and '.join(biased)}." if biased else "; no biased forgetting is detectable."
    return text + (f" None in {none} of {count} groups of {results.dimension}." if none else "")


def _middle_and_least(values: Sequence[float], scale: Scale) -> list[str]:
    """The median and the least of those that are known; one size of one."""
    known = [value for value in values if not math.isnan(value)]
    sizes = [scale.size(median(known), decimals=0), scale.size(min(known), decimals=0)] if known else []
    return sizes[: len(known)]


def _table(members: Sequence[GroupResult], results: GroupResults) -> pl.DataFrame:
    scale = results.scale
    few = "these data are too few to show any"
    reasons = [
        one.forgetting.reason if one.is_biased_only else few if math.isnan(one.detectable) else "" for one in members
    ]
    return pl.DataFrame(
        {f"group ({results.dimension})": pl.Series([one.group for one in members], dtype=pl.String)}
        | count_columns([one.forgetting for one in members])
        | {
            scale.title("detectable forgetting"): numbers([scale.factor * one.detectable for one in members]),
            scale.title("detectable biased forgetting"): numbers(
                [scale.factor * one.detectable_biased for one in members]
            ),
            "reason": pl.Series(reasons, dtype=pl.String),
        }
    )
