"""What mitigations bring back, at what price, and which dose is recommended, in words."""

import math
from collections.abc import Sequence

from chaintune.records import Recommendation, ResultRow
from chaintune.records.scales import PERCENT, changes_in, units_in_words
from chaintune.report.cells import checkpoint_name
from chaintune.report.group_words import MOST_NAMED
from chaintune.report.labels import listed


def recovery_text(row: ResultRow, rows: Sequence[ResultRow], *, level: float) -> str:
    """The sentences on a recovery and its prices; `row` is of the recovery."""
    estimate, where = row.estimate, checkpoint_name(row)
    if math.isnan(estimate.value):
        reason = f"What {where} brings back of {row.task} is unknown: {estimate.reason}."
        return reason + _regained([row], rows, level)
    text = f"{where} brings back {PERCENT.text(estimate, level=level)} of the loss of {row.task}."
    if not estimate.low > 0:  # nor where there is no interval
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
    """The sentences on recoveries of one loss: of one, or of several that are undefined for one reason."""
    first = alike[0]
    if len(alike) == 1:
        return recovery_text(first, rows, level=level)
    after = f"{first.reference} ({first.variant})" if first.variant else first.reference
    text = f"What share of its loss {len(alike)} mitigations of {first.task} after {after} bring back is unknown"
    return f"{text}: {first.estimate.reason}.{_regained(alike, rows, level)}"


def grouped_by_reason(rows: Sequence[ResultRow]) -> list[list[ResultRow]]:
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
    """The dose that the rule takes of each kind of mitigation; one sentence where several lack the same."""
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


def _change(row: ResultRow, level: float) -> str:
    return changes_in(row.unit).text(row.estimate, level=level)
