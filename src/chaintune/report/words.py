"""Results in plain words: what was forgotten, in which groups, with which intervals and detectable differences."""

import math
from collections.abc import Iterable, Sequence

from chaintune.forgetting.recommend import recommend
from chaintune.records import Estimate, ResultRow, pooled
from chaintune.records.amounts import is_share
from chaintune.records.checkpoint import BASE
from chaintune.records.scales import changes_in, units_in_words
from chaintune.report.cells import checkpoint_name
from chaintune.report.compared_words import compared, of_series
from chaintune.report.forgetting_words import Paragraph, forgetting_paragraph
from chaintune.report.gate import gate_sentence
from chaintune.report.labels import listed
from chaintune.report.recovery_words import grouped_by_reason, recommendations, recoveries_text
from chaintune.report.results import Results
from chaintune.report.rounding_words import rounding_sentences
from chaintune.report.variants import against_first_sentences
from chaintune.stats.effects import MODERATED, OVER_RECIPES

_MOST_PARAGRAPHS = 12


def summary(results: Results) -> str:
    """Results in plain words.

    Rows of all seeds together are spoken of where there are some, else those of the one seed.
    """
    return "\n\n".join(paragraph.text for paragraph in paragraphs(results))


def paragraphs(results: Results) -> list[Paragraph]:
    """The paragraphs of `summary`, each with its topic: one for each comparison, or for each task that was lost."""
    answer = [Paragraph("forgotten", gate_sentence(results.gate))] if results.gate else []
    if results.comparisons:
        return [*answer, *(of_series(results.series) if results.series else map(compared, results.comparisons))]
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
    alike = grouped_by_reason([row for row in shown if row.metric == "recovery" and row.is_whole])
    parts += [Paragraph("brought back", recoveries_text(some, shown, level=level)) for some in alike[:_MOST_PARAGRAPHS]]
    if left := sum(map(len, alike[_MOST_PARAGRAPHS:])):
        parts.append(Paragraph("brought back", f"{left} more mitigations are in the tables."))
    parts += [Paragraph("brought back", text) for text in recommendations(recommend(shown, limits))]
    parts += [Paragraph("sure", text) for text in rounding_sentences(shown, level)]
    if families := dict.fromkeys(row.family for row in lost if row.family):
        corrected = f"Verdicts on whole tasks are corrected over the tasks of each checkpoint: {listed(families)}."
        parts.append(Paragraph("sure", corrected))
    parts += [Paragraph("sure", text) for text in results.provenance.get("cautions", {}).values()]
    parts += [Paragraph("sure", text) for text in _fewer_seeds(shown)]
    return [*parts, Paragraph("sure", _scope([row.estimate for row in lost], shown))]


def order_sentence(row: ResultRow, level: float) -> str:
    """The sentence on an order effect of a whole task."""
    estimate = row.estimate
    if math.isnan(estimate.low):
        return f"Whether {row.task} scores better when it is trained later is unknown: {estimate.reason}."
    size = changes_in(row.unit).text(estimate, level=level)
    if estimate.low > 0 or estimate.high < 0:
        late = "better" if estimate.value > 0 else "worse"
        return f"{row.task} ends {late} with {checkpoint_name(row)} than with {row.reference}: {size}."
    return f"Between {checkpoint_name(row)} and {row.reference} no difference in {row.task} is shown: {size}."


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


def _fewer_seeds(rows: Sequence[ResultRow]) -> list[str]:
    """The sentence on checkpoints that some seeds lack, as where a stage failed; none where every seed has each."""
    seeds: dict[str, int] = {}
    for row in rows:
        if row.metric == "accuracy" and row.is_whole and row.chain != BASE:
            name = checkpoint_name(row)
            seeds[name] = min(row.estimate.n_seeds, seeds.get(name, row.estimate.n_seeds))
    most = max(seeds.values(), default=0)
    fewer = [f"{name} ({number})" for name, number in seeds.items() if number < most]
    if not fewer:
        return []
    return [
        f"Not every checkpoint was measured under all {most} seeds, and what rests on it is of fewer: {listed(fewer)}."
    ]


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
