"""People's labels beside a scorer: a table, and what it means in a sentence."""

import math

from chaintune.errors import number_of
from chaintune.records import Comparison, Estimate
from chaintune.records.scales import changes_in, levels_in
from chaintune.report.cells import Table


def people_table(comparison: Comparison) -> Table | None:
    """The agreement of the scorer with people, and the estimates that their labels correct; None without labels."""
    people = comparison.people
    if people is None:
        return None
    level, changes, scores = comparison.level, changes_in(comparison.unit), levels_in(comparison.unit)
    whole = comparison.overall
    lines = (
        ("agreement", "", _known(people.agreement, scores.text(people.agreement, level=level))),
        ("Cohen's kappa", "", _known(people.kappa, _plain(people.kappa))),
        *(
            (name, scale.text(own, level=level), _known(corrected, scale.text(corrected, level=level)))
            for name, scale, own, corrected in (
                ("before", scores, whole.before, people.before),
                ("after", scores, whole.after, people.after),
                ("forgetting", changes, whole.forgetting, people.forgetting),
            )
        ),
    )
    return Table(
        f"People's labels of {comparison.task}",
        f"{number_of(people.labels, 'label')} of texts of the two checkpoints{_unused(people.unused)}. Corrected: by "
        "prediction-powered inference, what labels of all texts would say if the labelled ones were drawn at random; "
        "the forgetting where the texts differ, as it is 0 where they do not. Weight: how much the scorer counts in "
        "it. Verdicts and budgets rest on the scorer.",
        ("what", comparison.metric, "by people, or corrected", "weight"),
        tuple((*line, f"{people.weights[line[0]]:.2f}" if line[0] in people.weights else "") for line in lines),
    )


def people_sentences(comparison: Comparison) -> list[str]:
    """How far the scorer agrees with people, and what their labels make of the forgetting; nothing without labels."""
    people = comparison.people
    if people is None:
        return []
    level = comparison.level
    scores, changes = levels_in(comparison.unit), changes_in(comparison.unit)
    agreed = scores.text(people.agreement, level=level)
    first = f"{comparison.metric} and people say the same of {agreed} of {number_of(people.labels, 'labelled text')}"
    first += _unused(people.unused)
    first += "" if math.isnan(people.kappa.value) else f" (Cohen's kappa {_plain(people.kappa)})"
    if math.isnan(people.forgetting.value):
        return [f"{first}; the forgetting is not corrected by these: {people.forgetting.reason}."]
    corrected = changes.text(people.forgetting, level=level)
    return [f"{first}. Corrected by the labels (prediction-powered inference), the forgetting is {corrected}."]


def _unused(labels: int) -> str:
    if not labels:
        return ""
    return f" ({number_of(labels, 'further label matches', 'further labels match')} no text of the two checkpoints)"


def _known(estimate: Estimate, text: str) -> str:
    return f"not known: {estimate.reason}" if math.isnan(estimate.value) else text


def _plain(estimate: Estimate) -> str:
    ends = "" if math.isnan(estimate.low) else f" ({estimate.low:.2f} to {estimate.high:.2f})"
    return f"{estimate.value:.2f}{ends}"
