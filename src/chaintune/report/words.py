"""What was found, in plain words: what was forgotten, by whom, how sure, and what could not be seen."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from chaintune.forgetting.recommend import USUAL, choose
from chaintune.records import Choice, Comparison, Estimate, GroupComparison, Limits, ResultRow, pooled
from chaintune.report.cells import gain_key
from chaintune.report.labels import listed
from chaintune.report.mitigations import without_mitigated

_MOST_PARAGRAPHS = 12
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Said:
    """One paragraph of an answer.

    Attributes:
        topic: what it is about.
        first: its first sentence.
        rest: what follows; may be empty.
    """

    topic: Literal["forgotten", "order", "brought back", "sure"]
    first: str
    rest: str = ""

    @property
    def text(self) -> str:
        """The whole paragraph."""
        return f"{self.first} {self.rest}".rstrip()


def summary(rows: Sequence[ResultRow], limits: Limits = USUAL, *, level: float) -> str:
    """What a study found, a paragraph for each task that another followed, then what the numbers speak about.

    Rows of all seeds together are told where there are some, else those of the one seed.

    Args:
        rows: of `results.parquet`.
        limits: what a recommended dose has to reach.
        level: of the study's intervals; one minus it is the error rate of what is called shown.
    """
    return "\n\n".join(said.text for said in paragraphs(rows, limits, level=level))


def paragraphs(rows: Sequence[ResultRow], limits: Limits = USUAL, *, level: float) -> list[Said]:
    """The paragraphs of `summary`, each with its topic."""
    shown = pooled(rows)
    plain = without_mitigated(shown)
    lost = [row for row in plain if row.metric == "forgetting" and not row.dimension]
    if not lost:
        return [Said("forgotten", "No task was followed by another, so nothing could be forgotten.")]
    told = [_forgetting(row, shown, 1 - level) for row in lost[:_MOST_PARAGRAPHS]]
    if len(lost) > _MOST_PARAGRAPHS:
        told.append(Said("forgotten", f"{len(lost) - _MOST_PARAGRAPHS} more are in the tables."))
    told += [Said("order", _order(row)) for row in shown if row.metric == "order_effect" and not row.dimension]
    brought = _told_together([row for row in shown if row.metric == "recovery" and not row.dimension])
    told += [Said("brought back", all_brought_back(alike, shown)) for alike in brought[:_MOST_PARAGRAPHS]]
    if left := sum(map(len, brought[_MOST_PARAGRAPHS:])):
        told.append(Said("brought back", f"{left} more mitigations are in the tables."))
    told += [Said("brought back", text) for text in recommendations(choose(shown, limits))]
    told += [Said("sure", text) for text in _rounding([row for row in shown if row.metric == "rounding"])]
    return [*told, Said("sure", _scope(row.estimate for row in lost))]


def sentence(comparison: Comparison) -> str:
    """What a comparison found, in one paragraph.

    Args:
        comparison: of two checkpoints.
    """
    whole = comparison.overall
    parts = [_flips(whole, comparison), verdict_sentence(whole, comparison.margin)]
    parts += _limit(whole.detectable_forgetting, whole.verdict)
    for dimension in dict.fromkeys(row.dimension for row in comparison.groups):
        members = [row for row in comparison.groups if row.dimension == dimension]
        found = {row.group: row.biased_forgetting for row in members}
        limits = {row.group: row.detectable_biased_forgetting for row in members}
        error_rate = 1 - comparison.level
        parts += group_differences(
            dimension, found, limits, error_rate, "the whole" if comparison.reference == "overall" else "the rest"
        )
    if comparison.n_left_out:
        parts.append(f"{comparison.n_left_out:,} examples that only one of the two answered were left out.")
    parts += [f"Not comparable, and compared all the same: {reason}." for reason in comparison.forced]
    return " ".join([*parts, "This speaks about these two checkpoints, not about what their recipe does in general."])


def _flips(row: GroupComparison, comparison: Comparison) -> str:
    how = "scored lower after than before" if comparison.graded else "were right before and wrong after"
    metric = "accuracy" if comparison.metric in ("accuracy", "acc") else comparison.metric
    return (
        f"Of {row.forgetting.n:,} examples of {comparison.task} ({_clusters(row.forgetting)}), {row.forgot:,} {how}, "
        f"{row.learned:,} the other way round: {metric} went from {row.before.value:.1%} to {row.after.value:.1%}."
    )


def verdict_sentence(row: GroupComparison, margin: float) -> str:
    """What the comparison says of forgetting, as its verdict allows."""
    estimate, size = row.forgetting, _points(row.forgetting)
    if row.verdict == "kept":
        return f"It was kept: any change, {size}, lies within the margin of {100 * margin:g} points."
    if row.verdict == "inconclusive":
        why = estimate.reason or f"{size}, p = {_p(estimate.p_value)}"
        return f"Whether anything was forgotten is inconclusive: {why}."
    did = "It forgot" if row.verdict == "forgot" else "It gained"
    return f"{did}: forgetting is {size}, p = {_p(estimate.p_value)}."


def _forgetting(row: ResultRow, rows: Sequence[ResultRow], error_rate: float) -> Said:
    parts = _little_learned(row, rows)
    limits = _like(rows, row, "detectable_forgetting", "")
    parts += _limit(limits[0].estimate.value if limits else math.nan, row.verdict)
    dimensions = dict.fromkeys(r.dimension for r in rows if r.metric == "biased_forgetting" and r.key == row.key)
    for dimension in dimensions:
        found = {r.group: r.estimate for r in _like(rows, row, "biased_forgetting", dimension)}
        least = {r.group: r.estimate.value for r in _like(rows, row, "detectable_biased_forgetting", dimension)}
        parts += group_differences(dimension, found, least, error_rate, "the whole")
    return Said("forgotten", overall(row), " ".join(parts))


def overall(row: ResultRow) -> str:
    """What a study says of the forgetting of a whole task, as its verdict allows."""
    estimate, where = row.estimate, _checkpoint(row)
    if math.isnan(estimate.value):
        return f"Whether {where} forgot {row.task} cannot be told: {estimate.reason}."
    did = {
        "forgot": f"{where} forgot {row.task}",
        "gained": f"{where} is better at {row.task} than {row.reference}",
        "kept": f"{where} kept {row.task}",
    }.get(row.verdict, f"Whether {where} forgot {row.task} is inconclusive")
    why = f"; {estimate.reason}" if math.isnan(estimate.low) and estimate.reason else ""
    size = _points(_turned(estimate) if row.verdict == "gained" else estimate)
    return f"{did}: {size} ({estimate.n:,} examples, {_clusters(estimate)}{why})."


def _little_learned(row: ResultRow, rows: Sequence[ResultRow]) -> list[str]:
    """What was not learned cannot be forgotten."""
    gains = [r.estimate for r in rows if r.metric == "gain" and r.is_whole and r.key == gain_key(row)]
    if not gains or gains[0].low > 0:
        return []
    gain = gains[0]
    return [f"{row.reference} had not clearly learned {row.task} ({_points(gain)} over the base), so this says little."]


def _limit(limit: float, verdict: str) -> list[str]:
    if verdict != "inconclusive":
        return []
    if math.isnan(limit):
        return ["These data are too few to show any change."]
    return [
        f"A change of {100 * limit:.0f} points would have shown in four cases out of five, a smaller one less often."
    ]


def group_differences(
    dimension: str, found: Mapping[str, Estimate], limits: Mapping[str, float], error_rate: float, reference: str
) -> list[str]:
    """Which groups lost more or less than the reference, and how small a difference could have been seen.

    Args:
        dimension: of the groups.
        found: biased forgetting of each group.
        limits: detectable biased forgetting of each group; one that is absent could show none.
        error_rate: of what is called shown.
        reference: what biased forgetting is relative to, in words.
    """
    clear = [(e, name) for name, e in found.items() if e.p_adjusted <= error_rate]
    unknown = [name for name, e in found.items() if math.isnan(e.p_value)]
    parts = []
    clear.sort(key=lambda item: -abs(item[0].value))
    for estimate, name in clear[:_MOST_NAMED]:
        more = "more" if estimate.value > 0 else "less"
        size = _points(estimate, sign=False) if estimate.value > 0 else _points(_turned(estimate), sign=False)
        parts.append(f"{name} ({dimension}) lost {more} than {reference}, by {size}.")
    if left := [estimate.value > 0 for estimate, _ in clear[_MOST_NAMED:]]:
        sides = [f"{n} lost {how}" for n, how in ((sum(left), "more"), (len(left) - sum(left), "less")) if n]
        parts.append(f"Of {len(left)} others of {dimension} {' and '.join(sides)}.")
    named = {*(name for _, name in clear), *unknown}
    others = [limits.get(name, math.nan) for name in found if name not in named]
    if others:
        also = "other " if clear else ""
        of = f"the {len(others)} {also}groups" if len(others) > 1 else f"the one {also}group"
        parts.append(f"For {of} of {dimension} no difference is shown{_least(others)}.")
    if unknown:
        parts.append(f"{len(unknown)} of {dimension} cannot be judged: {_reasons(found[name] for name in unknown)}.")
    return parts


def _reasons(estimates: Iterable[Estimate]) -> str:
    """Why some groups cannot be judged: the reason of all, or each kind of reason and of how many."""
    reasons = [estimate.reason for estimate in estimates]
    if len(set(reasons)) == 1:
        return reasons[0]
    kinds = Counter(reason.partition(":")[0] for reason in reasons)
    return next(iter(kinds)) if len(kinds) == 1 else "; ".join(f"{n} for {kind}" for kind, n in kinds.items())


def _least(limits: Sequence[float]) -> str:
    """What would have shown in each of some groups: the largest of their limits, and how many have none."""
    known = [limit for limit in limits if not math.isnan(limit)]
    if not known:
        return ", and these data could show none"
    none = len(limits) - len(known)
    but = f", but in {none} of them none could" if none else ""
    return f"; one of {100 * max(known):.0f} points would have shown in four cases out of five{but}"


def _order(row: ResultRow) -> str:
    estimate = row.estimate
    if math.isnan(estimate.low):
        return f"Whether {row.task} fares better late than early cannot be told: {estimate.reason}."
    if estimate.low > 0 or estimate.high < 0:
        late = "better" if estimate.value > 0 else "worse"
        return f"{row.task} ends {late} with {_checkpoint(row)} than with {row.reference}: {_points(estimate)}."
    return f"Between {_checkpoint(row)} and {row.reference} no difference in {row.task} is shown: {_points(estimate)}."


def brought_back(row: ResultRow, rows: Sequence[ResultRow]) -> str:
    """What a mitigation brings back, and its price; `row` is of its recovery."""
    estimate, where = row.estimate, _checkpoint(row)
    if math.isnan(estimate.value):
        return f"What {where} brings back of {row.task} cannot be told: {estimate.reason}.{_regained([row], rows)}"
    ends = f", between {estimate.low:.0%} and {estimate.high:.0%}" if not math.isnan(estimate.low) else ""
    text = f"{where} brings back {estimate.value:.0%} of the loss of {row.task}{ends}."
    if estimate.low <= 0:
        text = f"That {where} brings back any of the loss of {row.task} is not shown: {estimate.value:.0%}{ends}."
    prices = [r for r in rows if r.metric == "price" and not r.dimension and r.key._replace(task=row.task) == row.key]
    return " ".join([text, *(f"Its price in {r.task}: {_points(r.estimate)} ({r.verdict})." for r in prices)])


def all_brought_back(alike: Sequence[ResultRow], rows: Sequence[ResultRow]) -> str:
    """What mitigations of one loss bring back of which no share can be told, in one sentence for all of them.

    Args:
        alike: of their recoveries; undefined for the same reason where there is more than one.
        rows: of the study.
    """
    first = alike[0]
    if len(alike) == 1:
        return brought_back(first, rows)
    after = f"{first.reference} ({first.variant})" if first.variant else first.reference
    text = f"What share of its loss {len(alike)} mitigations of {first.task} after {after} bring back cannot be told"
    return f"{text}: {first.estimate.reason}.{_regained(alike, rows)}"


def _told_together(recoveries: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """Recoveries of one loss that are undefined for one reason, which need not be told again and again."""
    found: dict[tuple[str, ...], list[ResultRow]] = {}
    for row in recoveries:
        undefined = math.isnan(row.estimate.value)
        own = ("", row.estimate.reason) if undefined else (row.chain, row.mitigation)
        found.setdefault((row.base, row.variant, row.reference, row.task, *own), []).append(row)
    return list(found.values())


def _regained(recoveries: Sequence[ResultRow], rows: Sequence[ResultRow]) -> str:
    """What came back in points, which needs no loss that is shown; empty where it was not measured."""
    places = {row.key for row in recoveries}
    found = [r for r in rows if r.metric == "regained" and not r.dimension and r.key in places]
    clear = [r for r in found if r.estimate.low > 0 or r.estimate.high < 0]
    if not found:
        return ""
    if len(found) == 1:
        return f" In points it regained {_points(found[0].estimate)}."
    told = [f"{r.chain} regained {_points(r.estimate)}" for r in clear[:_MOST_NAMED]]
    least, most = (pick(_rounded(r.estimate.value) for r in found) for pick in (min, max))
    what = f"Between {least:+.1f} and {most:+.1f} points were regained against the same chain without them"
    return f" {what}; {'; '.join(told) if told else 'none is shown to have regained or lost anything'}."


def recommendations(choices: Sequence[Choice]) -> list[str]:
    """The dose that the rule takes of each kind of mitigation; one sentence where several lack the same.

    Args:
        choices: of a study.
    """
    found: dict[tuple[str, ...], list[Choice]] = {}
    for choice in choices:
        lack = choice.reason.partition(": ")[2] if not choice.chosen else ""
        own = lack if "undefined" in lack else choice.ladder
        found.setdefault((choice.base, choice.variant, choice.task, choice.after, own), []).append(choice)
    return [
        recommended(alike[0])
        if len(alike) == 1
        else f"No dose of {listed(choice.ladder for choice in alike)} of {task} after {after}"
        + (f" ({variant})" if variant else "")
        + f" is recommended: {lack.removeprefix('its ')}."
        for (_, variant, task, after, lack), alike in found.items()
    ]


def recommended(choice: Choice) -> str:
    """The dose that the rule takes, or that it takes none."""
    what = f"{choice.ladder} of {choice.task} after {choice.after}" + (f" ({choice.variant})" if choice.variant else "")
    dose = f"a dose of {100 * choice.dose:.4g} %, " if choice.chosen else ""
    return f"Recommended for {what}: {dose}{choice.reason}."


def _rounding(rows: Sequence[ResultRow]) -> list[str]:
    """One sentence on how much of any change may be arithmetic."""
    if not rows:
        return []
    found = [
        f"{round(row.estimate.value * row.estimate.n):,} of {row.estimate.n:,} answers to {row.task} "
        f"(at most {100 * row.estimate.high:.0f} %)"
        for row in rows
    ]
    told = ", ".join(dict.fromkeys(found))
    return [f"Rounding alone changed {told} when the base was scored in another grouping of its examples."]


def _scope(estimates: Iterable[Estimate]) -> str:
    seeds = max(estimate.n_seeds for estimate in estimates)
    if seeds < 2:
        return (
            "One seed: these numbers speak about these checkpoints, not about what the recipe does in general; "
            "vary the seed to learn that."
        )
    return f"Over {seeds} seeds: these numbers speak about the recipe, as far as {seeds} seeds tell."


def _points(estimate: Estimate, *, sign: bool = True) -> str:
    form = "+.1f" if sign else ".1f"
    text = f"{_rounded(estimate.value):{form}} points"
    if math.isnan(estimate.low):
        return text
    return f"{text}, between {_rounded(estimate.low):+.1f} and {_rounded(estimate.high):+.1f}"


def _rounded(value: float) -> float:
    # Adding 0 turns the -0.0 that rounding leaves into 0.0.
    return round(100 * value, 1) + 0.0


def _turned(estimate: Estimate) -> Estimate:
    return Estimate(-estimate.value, -estimate.high, -estimate.low)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "0.001 or less"


def _clusters(estimate: Estimate) -> str:
    return f"{estimate.n_clusters:,} cluster{'s' if estimate.n_clusters != 1 else ''}"


def _checkpoint(row: ResultRow) -> str:
    return f"{row.chain} ({row.variant})" if row.variant else row.chain


def _like(rows: Sequence[ResultRow], row: ResultRow, metric: str, dimension: str) -> list[ResultRow]:
    return [r for r in rows if r.metric == metric and r.dimension == dimension and r.key == row.key]
