"""Who forgot: forgetting and biased forgetting of every group."""

import math
from collections.abc import Sequence
from typing import get_args

import polars as pl

from chaintune.records import Estimate, Figure, Verdict
from chaintune.report.figures.charts import count_columns, estimate_columns, finished, first_few, in_points, numbers
from chaintune.report.figures.forest import RING, Forest, Kind, Line
from chaintune.report.figures.group_results import Member, Place, kept_in_view
from chaintune.report.labels import listed, slug, told
from chaintune.report.words import group_differences

MOST_ROWS = 20
_MOST_READ_OUT = 6
VERDICTS = (
    Kind("gained", 0, "triangle-up"),
    Kind("forgot", 1, "triangle-down"),
    Kind("kept", 2, "square"),
    Kind("inconclusive", 7, RING),
)
_MORE, _LESS, _NOT_SHOWN = "lost more, shown", "lost less, shown", "no difference shown"
_DIFFERENCES = (Kind(_LESS, 0, "triangle-up"), Kind(_MORE, 1, "triangle-down"), Kind(_NOT_SHOWN, 7, RING))


def forgetting_figure(place: Place) -> Figure:
    """Forgetting of every group, the most forgotten first, beside that of the whole task."""
    shown = _sorted(_in_view(place), biased=False)
    lines = [Line(one.group, one.forgetting, one.verdict, counts(one.forgetting)) for one in shown]
    forest = Forest("forgetting (points), positive is worse", VERDICTS, "n · clusters", place.whole)
    title = f"Forgetting of {place.where}"
    read = _read_out([(one.group, one.forgetting) for one in shown])
    caption = " ".join([place.said, _by_verdict(place), *_folded(place)])
    return Figure(
        name=slug("forgetting", place.task, place.dimension, place.tag),
        section="groups",
        title=title,
        caption=caption,
        alt=f"{title}. The whole task: {in_points(place.whole)}. {read}",
        spec=finished(forest.draw(lines), title),
        table=_table(_sorted(place.members, biased=False), place, biased=False),
    )


def bias_figure(place: Place) -> Figure | None:
    """Biased forgetting of every group, those that lose more than the reference first; None where none is known."""
    if all(math.isnan(one.biased.value) for one in place.members):
        return None
    shown = _sorted(_in_view(place), biased=True)
    lines = [Line(one.group, one.biased, _difference(one, place), counts(one.biased)) for one in shown]
    forest = Forest(f"points more than {place.reference}", _DIFFERENCES, "n · clusters")
    title = f"Biased forgetting of {place.where}"
    found = {one.group: one.biased for one in place.members}
    limits = {one.group: one.detectable_biased for one in place.members}
    said = group_differences(place.dimension, found, limits, place.error_rate, place.reference)
    return Figure(
        name=slug("biased-forgetting", place.task, place.dimension, place.tag),
        section="groups",
        title=title,
        caption=" ".join([*said, *_folded(place)]),
        alt=f"{title}: each group's forgetting minus that of {place.reference}. "
        + _read_out([(one.group, one.biased) for one in shown]),
        spec=finished(forest.draw(lines), title),
        table=_table(_sorted(place.members, biased=True), place, biased=True),
    )


def counts(estimate: Estimate) -> str:
    """For the right edge: examples and clusters."""
    return f"{estimate.n:,} · {estimate.n_clusters:,}"


def _in_view(place: Place) -> list[Member]:
    return kept_in_view(place.members, MOST_ROWS, place.error_rate)


def _sorted(members: Sequence[Member], *, biased: bool) -> list[Member]:
    """Largest first; those that cannot be judged last."""

    def rank(member: Member) -> tuple[bool, float, str]:
        one = member.biased if biased else member.forgetting
        return (math.isnan(one.low), 0.0 if math.isnan(one.value) else -one.value, member.group)

    return sorted(members, key=rank)


def _difference(member: Member, place: Place) -> str:
    if not member.biased.p_adjusted <= place.error_rate:
        return _NOT_SHOWN
    return _MORE if member.biased.value > 0 else _LESS


def _by_verdict(place: Place) -> str:
    """How many groups of each verdict, and their names where they are few."""
    groups: dict[str, list[str]] = {verdict: [] for verdict in get_args(Verdict)}
    for one in _sorted(place.members, biased=False):
        groups[one.verdict].append(one.group)
    told = []
    for verdict, names in groups.items():
        if names:
            which = f" ({listed(names)})" if verdict != "inconclusive" else ""
            told.append(f"{verdict} {len(names)}{which}")
    return f"Verdicts on the {len(place.members)} groups of {place.dimension}: {', '.join(told)}."


def _folded(place: Place) -> list[str]:
    left = len(place.members) - MOST_ROWS
    if left <= 0:
        return []
    return [f"Shown: groups with a finding, then those with the most clusters; {left} more are in the table."]


def _read_out(values: Sequence[tuple[str, Estimate]]) -> str:
    return first_few([f"{told(name)}: {in_points(estimate)}" for name, estimate in values], _MOST_READ_OUT)


def _table(members: Sequence[Member], place: Place, *, biased: bool) -> pl.DataFrame:
    estimates = [one.biased if biased else one.forgetting for one in members]
    name = "biased forgetting" if biased else "forgetting"
    judged = (
        {"adjusted p": numbers([one.biased.p_adjusted for one in members], decimals=4)}
        if biased
        else {"verdict": pl.Series([one.verdict for one in members], dtype=pl.String)}
    )
    return pl.DataFrame(
        {f"group ({place.dimension})": pl.Series([one.group for one in members], dtype=pl.String)}
        | count_columns(estimates)
        | estimate_columns(name, estimates)
        | judged
        | {"reason": pl.Series([one.reason for one in estimates], dtype=pl.String)}
    )
