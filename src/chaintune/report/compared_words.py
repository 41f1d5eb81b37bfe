"""Comparisons in words: of two checkpoints, and of a series of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from chaintune.errors import number_of
from chaintune.records import Comparison, Series
from chaintune.records.scales import changes_in, levels_in
from chaintune.report.agreement import agreement_sentence
from chaintune.report.answers import chance_line
from chaintune.report.cells import over_what
from chaintune.report.curvature import apart_sentence
from chaintune.report.forgetting_words import Paragraph, forgetting_paragraph, reference_text, verdict_sentence
from chaintune.report.group_words import group_differences
from chaintune.report.labels import listed
from chaintune.report.outcomes import is_refusal
from chaintune.report.people import people_sentences
from chaintune.report.power import power_sentences
from chaintune.report.rounding_words import written_twice


def of_series(series: Series) -> Iterator[Paragraph]:
    """Of each task the course of its score, the first checkpoint against the last, and the steps; of rivals each."""
    for task in series.tasks:
        whole = [one for one in series.at(series.whole) if one.task == task]
        steps = [one for one in series.at(series.steps) if one.task == task]
        if not series.against_first and steps:
            yield Paragraph("forgotten", "", _course(steps))
        for one in whole:
            paragraph = compared(one)
            yield replace(paragraph, rest=f"From {one.start} to {one.end}: {paragraph.rest}")
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
    course = [f"{scores.amount(estimate.value)} ({name})" for name, estimate in values]
    metric = _metric(first)
    return f"{metric[:1].upper()}{metric[1:]} in {first.task} along {len(course)} checkpoints: {', '.join(course)}."


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


def compared(comparison: Comparison) -> Paragraph:
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
    parts += [apart_sentence(comparison), written_twice(comparison)]
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
    many, clusters = row.forgetting.n, number_of(row.forgetting.n_clusters, "cluster")
    return (
        f"Of {number_of(many, 'example')} of {comparison.task} ({clusters}), {row.forgot:,} {how}, "
        f"{row.learned:,} the other way round: {_metric(comparison)}{less} went from "
        f"{scores.span(row.before.value, row.after.value)}."
    )


def _metric(comparison: Comparison) -> str:
    if is_refusal(comparison):
        return "refusals"
    names = {"acc": "accuracy", "balanced_accuracy": "balanced accuracy"}
    return names.get(comparison.metric, comparison.metric)
