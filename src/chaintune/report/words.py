"""Results in plain words: what was forgotten, in which groups, with which intervals and detectable differences."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chaintune.errors import number_of
from chaintune.forgetting.recommend import recommend
from chaintune.forgetting.rounding import DIFFERENCE, ROUNDING
from chaintune.records import Comparison, Estimate, Recommendation, ResultRow, Series, pooled
from chaintune.records.amounts import is_share
from chaintune.records.checkpoint import BASE
from chaintune.records.results import LOWER_BOUND, UPPER_BOUND
from chaintune.records.scales import PERCENT, changes_in, levels_in, units_in_words
from chaintune.report.agreement import agreement_sentence
from chaintune.report.answers import chance_line, remarks
from chaintune.report.cells import gain_key, joint_name, over_what, p_text
from chaintune.report.curvature import apart_sentence
from chaintune.report.gate import gate_sentence
from chaintune.report.group_words import ALIKE, MOST_NAMED, PROSPECTS, best_differences, group_differences
from chaintune.report.labels import listed
from chaintune.report.outcomes import is_refusal, refusal_sentences
from chaintune.report.people import people_sentences
from chaintune.report.power import power_sentences
from chaintune.report.results import Results
from chaintune.report.second_lines import margins_sentence
from chaintune.report.variants import against_first_sentences
from chaintune.stats.effects import MODERATED, OVER_RECIPES

_MOST_PARAGRAPHS = 12
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


def summary(results: Results) -> str:
    """Results in plain words.

    Rows of all seeds together are spoken of where there are some, else those of the one seed.
    """
    return "\n\n".join(paragraph.text for paragraph in paragraphs(results))


def paragraphs(results: Results) -> list[Paragraph]:
    """The paragraphs of `summary`, each with its topic: one for each comparison, or for each task that was lost."""
    answer = [Paragraph("forgotten", gate_sentence(results.gate))] if results.gate else []
    if results.comparisons:
        return [*answer, *(_of_series(results.series) if results.series else map(_compared, results.comparisons))]
    shown, limits, level = results.shown, results.limits, results.level
    lost = [row for row in results.plain if row.metric == "forgetting" and row.is_whole]
    if not lost:
        return [Paragraph("forgotten", "No task was followed by another, so nothing could be forgotten.")]
    further = pooled(results.rows, further=True)
    parts = [forgetting_paragraph(row, shown, level=level, further=further) for row in lost[:_MOST_PARAGRAPHS]]
    if len(lost) > _MOST_PARAGRAPHS:
        parts.append(Paragraph("forgotten", f"{len(lost) - _MOST_PARAGRAPHS} more are in the tables."))
    parts += [
        Paragraph("order", order_sentence(row, level)) for row in shown if row.metric == "order_effect" and row.is_whole
    ]
    parts += [Paragraph("variant", text) for text in against_first_sentences(shown, level)]
    alike = _grouped_by_reason([row for row in shown if row.metric == "recovery" and row.is_whole])
    parts += [Paragraph("brought back", recoveries_text(some, shown, level=level)) for some in alike[:_MOST_PARAGRAPHS]]
    if left := sum(map(len, alike[_MOST_PARAGRAPHS:])):
        parts.append(Paragraph("brought back", f"{left} more mitigations are in the tables."))
    parts += [Paragraph("brought back", text) for text in recommendations(recommend(shown, limits))]
    parts += [Paragraph("sure", text) for text in _rounding(shown, level)]
    if families := dict.fromkeys(row.family for row in lost if row.family):
        corrected = f"Verdicts on whole tasks are corrected over the tasks of each checkpoint: {listed(families)}."
        parts.append(Paragraph("sure", corrected))
    parts += [Paragraph("sure", text) for text in results.provenance.get("cautions", {}).values()]
    return [*parts, Paragraph("sure", _scope([row.estimate for row in lost], shown))]


def _of_series(series: Series) -> Iterator[Paragraph]:
    """Of each task the course of its score, the first checkpoint against the last, and the steps; of rivals each."""
    for task in series.tasks:
        whole = [one for one in series.at(series.whole) if one.task == task]
        steps = [one for one in series.at(series.steps) if one.task == task]
        if not series.against_first and steps:
            yield Paragraph("forgotten", "", _course(steps))
        for one in whole:
            compared = _compared(one)
            yield replace(compared, rest=f"From {one.start} to {one.end}: {compared.rest}")
        if not series.against_first:
            yield Paragraph("forgotten", "", "Step by step:", tuple(map(_step, steps)))
        cautions = {text: None for one in series.comparisons if one.task == task for text in one.cautions.values()}
        yield from (Paragraph("forgotten", "", text) for text in (*_chosen(series, task), " ".join(cautions)) if text)


def _chosen(series: Series, task: str) -> Iterator[str]:
    """What was chosen by these scores, and what that means for the intervals; nothing where nothing was."""
    one = next(one for one in series.comparisons if one.task == task)
    if one.chosen_of == 1:
        return
    who = f"Each of {listed(series.names[1:])}" if series.against_first else f"The last checkpoint, {series.names[-1]},"
    yield (
        f"{who} was chosen of {one.chosen_of:,} by these scores: all intervals are at {100 * one.level:g} %, so that "
        "they hold together for whichever was chosen; what was chosen is likely to look better here than it is."
    )


def _course(steps: Sequence[Comparison]) -> str:
    """Scores of a task at each checkpoint, each on the examples that are compared there."""
    scores, first = levels_in(steps[0].unit), steps[0]
    values = [(first.start, first.overall.before), *((one.end, one.overall.after) for one in steps)]
    course = [f"{scores.number(estimate.value, named=True)} ({name})" for name, estimate in values]
    return _capital(f"{_metric(first)} in {first.task} along {len(course)} checkpoints: {', '.join(course)}.")


def _step(comparison: Comparison) -> str:
    """What a step forgot of the whole task, and the groups that it is shown to have treated otherwise."""
    row, level = comparison.overall, comparison.level
    whole = next(one for one in comparison.named_rows if one.metric == "forgetting" and one.is_whole)
    bias = [one for one in comparison.groups if one.biased_forgetting.is_shown(level)]
    parts = [verdict_sentence(whole, level=level, since=True)]
    parts += [f"No loss can be shown there: {row.verdict_reason}."] if row.verdict_reason else []
    parts += power_sentences(comparison) if comparison.simulated_power and comparison.simulated_power.reason else []
    for dimension in dict.fromkeys(one.dimension for one in bias):
        apart = {one.group: one.biased_forgetting for one in bias if one.dimension == dimension}
        reference = reference_text(comparison.reference)
        parts += group_differences(dimension, apart, {}, reference, level=level, unit=comparison.unit)
    return " ".join(parts)


def _compared(comparison: Comparison) -> Paragraph:
    """What became of the whole task, and below it of the groups of each dimension."""
    rows = comparison.named_rows
    whole = next(row for row in rows if row.metric == "forgetting" and row.is_whole)
    sides = [("before", comparison.overall.answers_before), ("after", comparison.overall.answers_after)]
    parts = [_flips(comparison), chance_line(sides, comparison.unit)]
    lost = forgetting_paragraph(whole, rows, level=comparison.level, further=comparison.named_further)
    parts.append(lost.head)
    if whole.verdict == "kept":
        margin = changes_in(comparison.unit).exact(comparison.margin)
        unchanged = whole.estimate.low == whole.estimate.high
        why = (
            "both sides are one, so nothing is left to chance"
            if unchanged
            else f"the upper end of the interval lies below {margin}"
        )
        parts.append(f"Kept: {why}.")
    if comparison.assumption:
        parts.append(f"{comparison.assumption}, which these data cannot show.")
    elif comparison.n_left_out and not comparison.bounds:
        have = "have a score on both sides"
        one, several = f"example that does not {have} was", f"examples that do not {have} were"
        parts.append(f"{number_of(comparison.n_left_out, one, several)} left out.")
    parts += [f"Compared although not comparable: {reason}." for reason in comparison.forced]
    if comparison.chosen_of > 1 and not comparison.end:
        parts.append(
            f"The later checkpoint was chosen of {comparison.chosen_of:,} by these scores: intervals are at "
            f"{100 * comparison.level:g} %, so that they hold for whichever was chosen; the value itself is likely "
            "too favourable."
        )
    if whole.family:
        parts.append(
            f"Interval and verdict are corrected over {over_what([whole.family])} as one family: {whole.family}."
        )
    parts += [agreement_sentence(comparison.task, comparison.chat_agreement, level=comparison.level)]
    parts += [apart_sentence(comparison), _written_twice(comparison)]
    parts += people_sentences(comparison)
    parts += [*power_sentences(comparison), *(() if comparison.end else comparison.cautions.values())]
    parts.append("This speaks about these two checkpoints, not about what their recipe does in general.")
    return Paragraph("forgotten", "", " ".join(filter(None, parts)), lost.points)


def _flips(comparison: Comparison) -> str:
    row = comparison.overall
    lower = "lower" if comparison.direction == "more" else "higher"
    how = f"scored {lower} after than before" if comparison.graded else "were right before and wrong after"
    if is_refusal(comparison):
        how = "were refused less often after than before" if comparison.graded else "were refused before and not after"
    if row.forgot == 1:
        how = how.replace("were", "was", 1)
    scores, less = levels_in(comparison.unit), " (less is better)" if comparison.direction == "less" else ""
    return (
        f"Of {_examples(row.forgetting)} of {comparison.task} ({_clusters(row.forgetting)}), {row.forgot:,} {how}, "
        f"{row.learned:,} the other way round: {_metric(comparison)}{less} went from "
        f"{scores.number(row.before.value)} to {scores.number(row.after.value, named=True)}."
    )


def _metric(comparison: Comparison) -> str:
    if is_refusal(comparison):
        return "refusals"
    names = {"acc": "accuracy", "balanced_accuracy": "balanced accuracy"}
    return names.get(comparison.metric, comparison.metric)


def forgetting_paragraph(
    row: ResultRow, rows: Sequence[ResultRow], *, level: float, further: Sequence[ResultRow] = ()
) -> Paragraph:
    """The paragraph on the forgetting of a whole task and of its groups.

    Args:
        row: of the forgetting of a whole task.
        rows: of the study or comparison.
        level: of the intervals; one minus it is the error rate of what is called shown.
        further: rows of further item metrics.
    """
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
    """The sentences on the groups of a dimension.

    Args:
        bias: biased forgetting of groups of one task.
        dimension: of the groups that are spoken of.
        rows: of the study or comparison.
        level: of the intervals.
        brief: without what could have been shown.
    """
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
    """The sentence on the forgetting of a whole task that its verdict supports.

    Args:
        row: of the forgetting.
        level: of the intervals.
        since: whether the earlier checkpoint is named.
    """
    estimate, where = row.estimate, _checkpoint(row)
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
    return (did if row.chain else _capital(did)) + f": {size}, {_examples(estimate)} in {_clusters(estimate)}."


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
    keys = [row.key._replace(chain=chain, reference="") for chain in (row.reference, row.chain)]
    if row.reference == BASE:  # which no variant tells apart
        keys[0] = keys[0]._replace(variant="")
    answers = {one.key: one.answers for one in rows if one.metric == "accuracy" and one.is_whole}
    texts = []
    for key in keys:
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
    size = _change(gains[0], level)
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
        f"A loss of 5 points is shown in {round(100 * often)} of 100 such comparisons; four in five show one of {size}."
    ]


def _value(rows: Sequence[ResultRow], row: ResultRow, metric: str) -> float:
    """The value of another row about the same whole task; NaN without one."""
    return next((one.estimate.value for one in _like(rows, row, metric, "")), math.nan)


def order_sentence(row: ResultRow, level: float) -> str:
    """The sentence on an order effect of a whole task."""
    estimate = row.estimate
    if math.isnan(estimate.low):
        return f"Whether {row.task} scores better when it is trained later is unknown: {estimate.reason}."
    size = _change(row, level)
    if estimate.low > 0 or estimate.high < 0:
        late = "better" if estimate.value > 0 else "worse"
        return f"{row.task} ends {late} with {_checkpoint(row)} than with {row.reference}: {size}."
    return f"Between {_checkpoint(row)} and {row.reference} no difference in {row.task} is shown: {size}."


def recovery_text(row: ResultRow, rows: Sequence[ResultRow], *, level: float) -> str:
    """The sentences on a recovery and its prices; `row` is of the recovery."""
    estimate, where = row.estimate, _checkpoint(row)
    if math.isnan(estimate.value):
        reason = f"What {where} brings back of {row.task} is unknown: {estimate.reason}."
        return reason + _regained([row], rows, level)
    text = f"{where} brings back {PERCENT.text(estimate, level=level)} of the loss of {row.task}."
    if estimate.low <= 0:
        text = f"No recovery of {row.task} is shown for {where}: {PERCENT.text(estimate, level=level)}."
    prices = [r for r in rows if r.metric == "price" and r.is_whole and r.key._replace(task=row.task) == row.key]
    return " ".join([text, *(_paid(r, level) for r in prices)])


def _paid(price: ResultRow, level: float) -> str:
    """The sentence on a price; of one that was kept, with the most that it can be."""
    most = f", it is at most {changes_in(price.unit).size(max(price.estimate.high, 0.0))}"
    return (
        f"Its price in {price.task}: {_change(price, level)}, {price.verdict}{most if price.verdict == 'kept' else ''}."
    )


def recoveries_text(alike: Sequence[ResultRow], rows: Sequence[ResultRow], *, level: float) -> str:
    """The sentences on recoveries of one loss: of one, or of several that are undefined for one reason.

    Args:
        alike: of their recoveries; undefined for the same reason where there is more than one.
        rows: of the study.
        level: of the intervals.
    """
    first = alike[0]
    if len(alike) == 1:
        return recovery_text(first, rows, level=level)
    after = f"{first.reference} ({first.variant})" if first.variant else first.reference
    text = f"What share of its loss {len(alike)} mitigations of {first.task} after {after} bring back is unknown"
    return f"{text}: {first.estimate.reason}.{_regained(alike, rows, level)}"


def _grouped_by_reason(rows: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """Recoveries, those of one loss that are undefined for one reason together."""
    alike: dict[tuple[str, ...], list[ResultRow]] = {}
    for row in rows:
        undefined = math.isnan(row.estimate.value)
        own = ("", row.estimate.reason) if undefined else (row.chain, row.mitigation)
        alike.setdefault((row.base, row.variant, row.reference, row.task, *own), []).append(row)
    return list(alike.values())


def _regained(alike: Sequence[ResultRow], rows: Sequence[ResultRow], level: float) -> str:
    """The sentence on what was regained in the unit of the scores; empty where it was not measured."""
    keys = {row.key for row in alike}
    regained = [r for r in rows if r.metric == "regained" and r.is_whole and r.key in keys]
    if not regained:
        return ""
    if len(regained) == 1:
        return f" In {units_in_words([regained[0].unit])} it regained {_change(regained[0], level)}."
    clear = [r for r in regained if r.estimate.low > 0 or r.estimate.high < 0]
    shown = [f"{r.chain} regained {_change(r, level)}" for r in clear[:MOST_NAMED]]
    scale, values = changes_in(regained[0].unit), [r.estimate.value for r in regained]
    least, most = scale.numbers(min(values), max(values))
    what = f"Between {least} and {scale.with_unit(most)} were regained against the same chain without them"
    return f" {what}; {'; '.join(shown) if shown else 'none is shown to have regained or lost anything'}."


def recommendations(choices: Sequence[Recommendation]) -> list[str]:
    """The dose that the rule takes of each kind of mitigation; one sentence where several lack the same.

    Args:
        choices: of a study.
    """
    groups: dict[tuple[str, ...], list[Recommendation]] = {}
    for choice in choices:
        lack = choice.reason.partition(": ")[2] if not choice.chosen else ""
        own = lack if "undefined" in lack else choice.dose_curve
        about = (choice.base, choice.variant, choice.task, choice.after, choice.varied, own)
        groups.setdefault(about, []).append(choice)
    return [
        recommended(alike[0])
        if len(alike) == 1
        else f"No {varied} of {listed(choice.dose_curve for choice in alike)} of {task} after {after}"
        + (f" ({variant})" if variant else "")
        + f" is recommended: {_said_once(lack.removeprefix('its '))}."
        for (_, variant, task, after, varied, lack), alike in groups.items()
    ]


def recommended(choice: Recommendation) -> str:
    """The dose that the rule takes, or that it takes none."""
    what = f"{choice.dose_curve} of {choice.task} after {choice.after}" + (
        f" ({choice.variant})" if choice.variant else ""
    )
    if not choice.chosen:
        return f"No {choice.varied} of {what} is recommended: {_said_once(choice.reason)}."
    return f"Recommended for {what}: a {choice.varied} of {100 * choice.dose:.4g} %, {choice.reason}."


def _said_once(reason: str) -> str:
    """A reason without why a recovery is undefined, which the sentence on the recovery says."""
    head, undefined, _ = reason.partition("recovery is undefined")
    return head + undefined


def _rounding(rows: Sequence[ResultRow], level: float) -> list[str]:
    """One sentence on how much of any change may be arithmetic, and how far that moved the mean of texts."""
    moved = {(row.base, row.task): row for row in rows if row.metric == DIFFERENCE}
    texts = []
    for row in (row for row in rows if row.metric == ROUNDING):
        other = moved.get((row.base, row.task))
        mean = f"; their mean moved by {_moved(other.estimate, other.unit, level)}" if other else ""
        counts = _changed(row.estimate, "scores of" if other else "answers to", row.task)
        texts.append(f"{counts} (at most {100 * row.estimate.high:.0f} %{mean})")
    counts = ", ".join(dict.fromkeys(texts))
    how = "when the base was scored in another grouping of its examples"
    return [f"Rounding alone changed {counts} {how}."] if texts else []


def _written_twice(comparison: Comparison) -> str:
    """What rounding alone changed of texts that one checkpoint wrote twice; empty where none did."""
    if ROUNDING not in comparison.rounding:
        return ""
    changed, moved = comparison.rounding[ROUNDING], comparison.rounding[DIFFERENCE]
    counts = _changed(changed, "scores of", comparison.task)
    return (
        f"Rounding alone changed {counts} when the earlier checkpoint wrote them again in another grouping; their mean "
        f"moved by {_moved(moved, comparison.unit, comparison.level)}."
    )


def _changed(share: Estimate, what: str, task: str) -> str:
    return f"{round(share.value * share.n):,} of {share.n:,} {what} {task}"


def _moved(difference: Estimate, unit: str, level: float) -> str:
    return changes_in(unit).text(difference, level=level)


def definition(rows: Iterable[ResultRow]) -> str:
    """The definition of forgetting, in the units and directions of the rows."""
    lost = [row for row in rows if row.metric == "forgetting"]
    units = {"" if is_share(row.unit) else row.unit for row in lost}
    unit = units_in_words(units) if len(units) < 2 else "the unit of the score, percentage points for shares"
    directions = {row.direction for row in lost}
    difference = "the score before minus the score after"
    if directions == {"less"}:
        difference = "the score after minus the score before, as less is better"
    elif "less" in directions:
        difference += " (the other way round where less is better)"
    return f"Forgetting is {difference}, on the same examples, in {unit}; positive is worse."


def _change(row: ResultRow, level: float) -> str:
    return changes_in(row.unit).text(row.estimate, level=level)


def _scope(estimates: Sequence[Estimate], rows: Sequence[ResultRow]) -> str:
    seeds = max(estimate.n_seeds for estimate in estimates)
    if seeds < 2:
        return (
            "One seed: these numbers speak about these checkpoints, not about what the recipe does in general; "
            "vary the seed to learn that."
        )
    text = (
        f"Over {seeds} seeds: these numbers speak about the recipe, as far as {seeds} seeds can show. What happens to "
        f"one seed in five happens to none of {seeds} in {100 * 0.8**seeds:.0f} % of cases, and is then in no interval."
    )
    if any(MODERATED in row.estimate.method for row in rows):
        text += (
            " How far seeds scatter is estimated over the groups of a dimension together: the interval of a group "
            "whose seeds scatter much further than those of the others is too narrow."
        )
    if any(OVER_RECIPES in row.estimate.method for row in rows):
        text += (
            " How far seeds move a whole task is estimated over the recipes of the study together: the interval of a "
            "recipe whose seeds scatter much further than those of the others is too narrow."
        )
    return text


def _examples(estimate: Estimate) -> str:
    return number_of(estimate.n, "example")


def _clusters(estimate: Estimate) -> str:
    return number_of(estimate.n_clusters, "cluster")


def _checkpoint(row: ResultRow) -> str:
    name = row.chain or "the later checkpoint"
    return f"{name} ({row.variant})" if row.variant else name


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _like(rows: Sequence[ResultRow], row: ResultRow, metric: str, dimension: str) -> list[ResultRow]:
    return [r for r in rows if r.metric == metric and r.dimension == dimension and r.key == row.key]
