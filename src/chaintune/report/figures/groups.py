"""Who forgot: forgetting and biased forgetting of every group."""

import math
from collections.abc import Sequence
from typing import get_args

import polars as pl

from chaintune.errors import number_of
from chaintune.records import Estimate, Figure, Verdict
from chaintune.records.scales import Scale
from chaintune.report.cells import largest_first
from chaintune.report.figures.charts import count_columns, estimate_columns, finished, first_few, numbers
from chaintune.report.figures.forest import RING, Forest, Kind, Line
from chaintune.report.figures.group_results import GroupResult, GroupResults, kept_in_view
from chaintune.report.forgetting_words import verdict_sentence
from chaintune.report.group_words import group_differences
from chaintune.report.labels import listed, one_line

MOST_ROWS = 20
_MOST_READ_OUT = 6
VERDICTS = (
    Kind("gained", 0, "triangle-up"),
    Kind("forgot", 1, "triangle-down"),
    Kind("kept", 2, "square"),
    Kind("inconclusive", 7, RING),
)
_MORE, _LESS, _NOT_SHOWN = "lost more, shown", "lost less, shown", "no difference shown"
DIFFERENCES = (Kind(_LESS, 0, "triangle-up"), Kind(_MORE, 1, "triangle-down"), Kind(_NOT_SHOWN, 7, RING))


def forgetting_figure(results: GroupResults) -> Figure | None:
    """Forgetting of every group, the most forgotten first, beside the whole task's; None where none can have one."""
    if not results.judged:
        return None
    shown = _sorted(_in_view(results, results.judged), biased=False)
    lines = [Line(one.group, one.forgetting, one.verdict, counts(one.forgetting), one.pooled) for one in shown]
    scale = results.scale
    axis = f"{scale.title('forgetting')}, positive is worse"
    forest = Forest(axis, scale, VERDICTS, "n · clusters", results.whole.estimate)
    title = f"Forgetting of {results.where}"
    read = _read_out([(one.group, one.forgetting) for one in shown], scale)
    sentences = [verdict_sentence(results.whole, level=results.level), _by_verdict(results), *results.biased_only]
    sentences += _adjusted([one.forgetting for one in shown])
    if any(not math.isnan(one.pooled.value) for one in shown):
        sentences.append("A stroke is the best estimate of a group from all groups together; rows are in its order.")
    caption = " ".join([*sentences, *_folded(results.judged)])
    return Figure(
        name=results.name("forgetting"),
        section="groups",
        title=title,
        caption=caption,
        alt=f"{title}. The whole task: {one_line(scale.text(results.whole.estimate))}. {read}",
        spec=finished(forest.draw(lines), title),
        table=_table(_sorted(results.judged, biased=False), results, biased=False),
    )


def bias_figure(results: GroupResults) -> Figure | None:
    """Biased forgetting of every group, those that lose more than the reference first; None where none is known."""
    if all(math.isnan(one.biased.value) for one in results.members):
        return None
    shown = _sorted(_in_view(results, results.members), biased=True)
    lines = [
        Line(one.group, one.biased, difference_kind(one.biased, results.level), counts(one.biased)) for one in shown
    ]
    forest = Forest(f"{results.scale.unit} more than {results.reference}", results.scale, DIFFERENCES, "n · clusters")
    title = f"Biased forgetting of {results.where}"
    groups = {one.group: one.biased for one in results.members}
    limits = {one.group: one.detectable_biased for one in results.members}
    sentences = group_differences(
        results.dimension, groups, limits, results.reference, level=results.level, unit=results.whole.unit,
        incomplete=results.incomplete,
    )  # fmt: skip
    return Figure(
        name=results.name("biased-forgetting"),
        section="groups",
        title=title,
        caption=" ".join([*sentences, *_adjusted([one.biased for one in shown]), *_folded(results.members)]),
        alt=f"{title}: each group's forgetting minus that of {results.reference}. "
        + _read_out([(one.group, one.biased) for one in shown], results.scale),
        spec=finished(forest.draw(lines), title),
        table=_table(_sorted(results.members, biased=True), results, biased=True),
    )


def counts(estimate: Estimate) -> str:
    """For the right edge: examples and clusters."""
    return f"{estimate.n:,} · {estimate.n_clusters:,}"


def _in_view(results: GroupResults, members: Sequence[GroupResult]) -> list[GroupResult]:
    return kept_in_view(members, MOST_ROWS, results.level)


def _sorted(members: Sequence[GroupResult], *, biased: bool) -> list[GroupResult]:
    """Largest first; those that cannot be judged last."""

    def rank(member: GroupResult) -> tuple[bool, float, str]:
        best = member.pooled if not math.isnan(member.pooled.value) else member.forgetting
        return largest_first(member.biased if biased else best, member.group)

    return sorted(members, key=rank)


def difference_kind(estimate: Estimate, level: float) -> str:
    """Name of the kind of a difference of forgetting: whether more or less was lost, or neither is shown."""
    if not estimate.is_shown(level):
        return _NOT_SHOWN
    return _MORE if estimate.value > 0 else _LESS


def _by_verdict(results: GroupResults) -> str:
    """Number of groups of each verdict, and their names where they are few."""
    groups: dict[str, list[str]] = {verdict: [] for verdict in get_args(Verdict)}
    for one in _sorted(results.judged, biased=False):
        groups[one.verdict].append(one.group)
    parts = []
    for verdict, names in groups.items():
        if names:
            which = f" ({listed(names)})" if verdict != "inconclusive" else ""
            parts.append(f"{verdict} {len(names)}{which}")
    return f"Verdicts on the {number_of(len(results.judged), 'group')} of {results.dimension}: {', '.join(parts)}."


def _adjusted(estimates: Sequence[Estimate]) -> list[str]:
    """A sentence on intervals that are corrected for the number of groups; none where none is."""
    if not any(one.is_adjusted for one in estimates):
        return []
    text = "Intervals are adjusted for the number of groups: each leaves out 0 only where a difference is shown"
    return [f"{text}; the files of results hold the plain ones too."]


def _folded(members: Sequence[GroupResult]) -> list[str]:
    left = len(members) - MOST_ROWS
    if left <= 0:
        return []
    return [f"Shown: groups with a finding, then those with the most clusters; {left} more are in the table."]


def _read_out(values: Sequence[tuple[str, Estimate]], scale: Scale) -> str:
    texts = [f"{one_line(name)}: {one_line(scale.text(estimate))}" for name, estimate in values]
    return first_few(texts, _MOST_READ_OUT)


def _table(members: Sequence[GroupResult], results: GroupResults, *, biased: bool) -> pl.DataFrame:
    estimates = [one.biased if biased else one.forgetting for one in members]
    name = "biased forgetting" if biased else "forgetting"
    judged = (
        {"adjusted p": numbers([one.biased.p_adjusted for one in members], decimals=4)}
        if biased
        else {"verdict": pl.Series([one.verdict for one in members], dtype=pl.String)}
    )
    return pl.DataFrame(
        {f"group ({results.dimension})": pl.Series([one.group for one in members], dtype=pl.String)}
        | count_columns(estimates)
        | estimate_columns(name, estimates, results.scale)
        | judged
        | ({} if biased else estimate_columns("best estimate", [one.pooled for one in members], results.scale))
        | {"reason": pl.Series([one.reason for one in estimates], dtype=pl.String)}
    )
