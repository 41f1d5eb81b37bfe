"""What was forgotten of a task and in which groups, in words."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chaintune.errors import number_of
from chaintune.records import ResultRow
from chaintune.records.amounts import is_share
from chaintune.records.checkpoint import BASE
from chaintune.records.results import LOWER_BOUND, UPPER_BOUND
from chaintune.records.scales import changes_in
from chaintune.report.answers import remarks
from chaintune.report.cells import checkpoint_name, gain_key, joint_name, keys_of_sides, p_text
from chaintune.report.group_words import ALIKE, PROSPECTS, best_differences, group_differences
from chaintune.report.outcomes import refusal_sentences
from chaintune.report.second_lines import margins_sentence

_MOST_DIMENSIONS = 3
_REST = "the rest"
_COUNTS = re.compile(r"\b\d+(?:,\d{3})* of \d+(?:,\d{3})*")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph of an answer.

    Attributes:
        topic: what it is about.
        first: its first sentence.
        rest: what follows; may be empty.
        points: what is said below, each by itself, such as of the groups of one dimension.
    """

    topic: Literal["forgotten", "order", "variant", "brought back", "sure"]
    first: str
    rest: str = ""
    points: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """What stands above the points."""
        return f"{self.first} {self.rest}".strip()

    @property
    def text(self) -> str:
        """The whole paragraph."""
        return " ".join([self.head, *self.points])


def forgetting_paragraph(
    row: ResultRow, rows: Sequence[ResultRow], *, level: float, further: Sequence[ResultRow] = ()
) -> Paragraph:
    """The paragraph on the forgetting of a whole task and of its groups."""
    parts = [f"No loss can be shown: {row.verdict_reason}."] if row.verdict_reason else []
    parts += refusal_sentences(row, rows, level=level)
    parts += (incomplete := _missing(row, rows, level))
    parts += [*_ranking(row, further, level), *_outlying(row, rows, level)]
    parts += _remarks(row, rows)
    parts += _little_learned(row, rows, level)
    if not incomplete:  # else the verdict may be open for want of scores, not of examples
        parts += _limit(row, rows)
    bias = [r for r in rows if r.metric == "biased_forgetting" and r.key == row.key]
    several = [
        group_sentences(bias, dimension, rows, level=level, brief=place >= _MOST_DIMENSIONS)
        for place, dimension in enumerate(dict.fromkeys(r.dimension for r in bias))
    ]
    if not incomplete:  # margins have no bounds of their own
        several.append(margins_sentence(row, further, level=level))
    points = tuple(" ".join(sentences) for sentences in several if sentences)
    return Paragraph("forgotten", verdict_sentence(row, level=level), " ".join(parts), points)


def group_sentences(
    bias: Sequence[ResultRow], dimension: str, rows: Sequence[ResultRow], *, level: float, brief: bool = False
) -> list[str]:
    """The sentences on the groups of a dimension; `brief` ones without what could have been shown."""
    first, own = bias[0], {r.group: joint_name(r) for r in bias if r.dimension == dimension and joint_name(r)}
    whole = next((r for r in rows if r.metric == "forgetting" and r.is_whole and r.key == first.key), None)
    reference = reference_text(first.bf_reference)
    detectable = {r.group: r.estimate.value for r in _like(rows, first, "detectable_biased_forgetting", dimension)}
    power = {m: {r.group: r.estimate.value for r in _like(rows, first, m, dimension)} for m in PROSPECTS}
    pooled_rows = _like(rows, first, "pooled_forgetting", dimension)
    best = best_differences(whole, pooled_rows, rest=reference == _REST) if whole else {}
    return group_differences(
        dimension,
        {own[r.group]: r.estimate for r in bias if r.dimension == dimension and r.group in own},
        {name: detectable[group] for group, name in own.items() if group in detectable},
        reference,
        level=level,
        unit=first.unit,
        best={own[group]: value for group, value in best.items() if group in own},
        prospects={
            name: {metric: values[group] for metric, values in power.items() if group in values}
            for group, name in own.items()
        },
        incomplete=bool(whole and _missing(whole, rows, level)),
        brief=brief,
    )


def verdict_sentence(row: ResultRow, *, level: float, since: bool = False) -> str:
    """The sentence on the forgetting of a whole task that its verdict supports; `since` names the earlier one."""
    estimate, where = row.estimate, checkpoint_name(row)
    if math.isnan(estimate.value):
        return _capital(f"Whether {where} forgot {row.task} is unknown: {estimate.reason}.")
    earlier = "the base" if row.reference == BASE else row.reference if since else ""
    task = f"{row.task} since {earlier}" if earlier else row.task
    did = {
        "forgot": f"{where} forgot {task}",
        "gained": f"{where} is better at {row.task} than {row.reference}",
        "kept": f"{where} kept {task}",
    }.get(row.verdict, f"Whether {where} forgot {task} is inconclusive")
    size = changes_in(row.unit).text(-estimate if row.verdict == "gained" else estimate, level=level)
    examples, clusters = number_of(estimate.n, "example"), number_of(estimate.n_clusters, "cluster")
    return (did if row.chain else _capital(did)) + f": {size}, {examples} in {clusters}."


def _missing(row: ResultRow, rows: Sequence[ResultRow], level: float) -> list[str]:
    """The sentence on what the examples without a score could change, where there are any."""
    bounds = [_like(rows, row, f"{row.metric}{name}", "") for name in (LOWER_BOUND, UPPER_BOUND)]
    ends = [found[0].estimate for found in bounds if found]
    if not ends or math.isnan(ends[0].low):
        return []
    scale = changes_in(row.unit)
    low, high = scale.numbers(ends[0].low, ends[1].high)
    many = number_of(ends[0].n - row.estimate.n, "other example lacks", "other examples lack")
    between = f"between {low} and {scale.with_unit(high)} ({100 * level:g} % CI)"
    return [f"{many} a score: at their best and at their worst forgetting lies {between}, which the verdict rests on."]


def _ranking(row: ResultRow, further: Sequence[ResultRow], level: float) -> list[str]:
    """The sentence on the AUC beside the loss of a labelling task, and what follows where the two part."""
    whole = [one for one in further if one.item_metric == "auc" and one.is_whole and one.task == row.task]
    moved = next((one.estimate for one in whole if one.metric == "forgetting" and one.key == row.key), None)
    if moved is None or math.isnan(moved.value):
        return []
    did, change = ("gained", -moved) if moved.value < 0 else ("lost", moved)
    text = f"Ranking of the labels by log-odds (AUC) {did} {changes_in(row.unit).text(change, level=level)}"
    # Where all pairs are ordered alike nothing scatters, and the value stands for itself.
    low, high = (moved.value if math.isnan(end) else end for end in (moved.low, moved.high))
    shown = {"forgot": low > 0, "gained": high < 0}
    if row.verdict not in shown:
        text += ", a change that balanced accuracy does not show" if low > 0 or high < 0 else ""
    elif shown[row.verdict]:
        text += ", so it changed as well"
    else:
        text += ", which shows no such change: the threshold of the answer may have moved rather than the skill"
    return [f"{text}."]


def _outlying(row: ResultRow, rows: Sequence[ResultRow], level: float) -> list[str]:
    """A sentence on a seed that lies farther from the others than seeds of a normal distribution do."""
    far = [one for one in _like(rows, row, "outlying_seed", "") if one.estimate.p_value <= 1 - level]
    return [
        f"Seed {one.seed} lies far off: it lost {changes_in(one.unit).size(abs(one.estimate.value))} "
        f"{'more' if one.estimate.value > 0 else 'less'} than the mean of the other {one.estimate.n_seeds - 1} "
        f"(p {p_text(one.estimate.p_value)}). Intervals over seeds suppose that seeds scatter normally, and do not "
        "hold where some trainings collapse."
        for one in far
    ]


def _remarks(row: ResultRow, rows: Sequence[ResultRow]) -> list[str]:
    """Sentences on how the two checkpoints of a forgetting answered, but for what its reason says already."""
    answers = {one.key: one.answers for one in rows if one.metric == "accuracy" and one.is_whole}
    texts = []
    for key in keys_of_sides(row):
        notes = remarks(key.chain or "after", answers[key]) if key in answers else []
        before = "it" if key.chain == row.reference else key.chain or "after"
        texts += [text for text in notes if not _is_told(text, before, row.verdict_reason)]
    return texts if row.chain else [_capital(text) for text in texts]


def _is_told(text: str, pronoun: str, reason: str) -> bool:
    """Whether a reason says what a sentence does, of one seed or of all, of a checkpoint by its name or a pronoun."""
    what, reason = (_COUNTS.sub("", one) for one in (text.removesuffix("."), reason))
    return what in reason or f"{pronoun} {what.partition(' ')[2]}" in reason


def reference_text(bf_reference: str) -> str:
    """The reference of biased forgetting in words."""
    return _REST if bf_reference == "rest" else "the whole"


def _little_learned(row: ResultRow, rows: Sequence[ResultRow], level: float) -> list[str]:
    """A caveat where the gain before is not shown to be positive."""
    gains = [r for r in rows if r.metric == "gain" and r.is_whole and r.key == gain_key(row)]
    if not gains or gains[0].estimate.low > 0:
        return []
    size = changes_in(gains[0].unit).text(gains[0].estimate, level=level)
    return [f"{row.reference} had not clearly learned {row.task}, so this says little: gain over the base {size}."]


def _limit(row: ResultRow, rows: Sequence[ResultRow]) -> list[str]:
    """What of the whole task could have been shown, where nothing is."""
    if row.verdict != "inconclusive" or row.verdict_reason:
        return []
    limit, often = (_value(rows, row, metric) for metric in ("detectable_forgetting", "power_5"))
    if math.isnan(limit):
        return [f"All examples {ALIKE}." if row.estimate.p_value == 1 else "These data are too few to show any change."]
    estimate, scale = row.estimate, changes_in(row.unit)
    if max(estimate.high - estimate.value, estimate.value - estimate.low) > limit:
        return [f"Up to {scale.with_unit(scale.numbers(estimate.high)[0].lstrip('+'))} cannot be excluded."]
    size = scale.size(limit, decimals=0)
    if not is_share(row.unit) or math.isnan(often):
        named = is_share(row.unit) or not math.isnan(row.margin)
        kept = "" if named else f" No loss in {row.unit} counts as kept, as no margin is named."
        return [f"Minimum detectable difference: {size} (80 % power).{kept}"]
    return [
        f"A loss of 5 points is shown in {round(100 * often)} of 100 such comparisons; 80 % power takes one of {size}."
    ]


def _value(rows: Sequence[ResultRow], row: ResultRow, metric: str) -> float:
    """The value of another row about the same whole task; NaN without one."""
    return next((one.estimate.value for one in _like(rows, row, metric, "")), math.nan)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _like(rows: Sequence[ResultRow], row: ResultRow, metric: str, dimension: str) -> list[ResultRow]:
    return [r for r in rows if r.metric == metric and r.dimension == dimension and r.key == row.key]
