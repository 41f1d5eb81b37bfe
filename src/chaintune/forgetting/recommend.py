"""The recommended dose, by a stated rule."""

import math
from collections.abc import Sequence

from chaintune.errors import ConfigError
from chaintune.records import Limits, Recommendation, ResultRow, pooled
from chaintune.records.amounts import SHARE, is_share, margin_in
from chaintune.records.mitigations import VARIED
from chaintune.records.results import UPPER_BOUND
from chaintune.records.scales import PERCENT, changes_in

USUAL = Limits()


def recommend(rows: Sequence[ResultRow], limits: Limits = USUAL) -> list[Recommendation]:
    """The recommended dose of every dose curve of a study, or the reason for none; of merges the fraction.

    The rule: the smallest dose whose recovery lies above the target with its whole interval, while the whole interval
    of the price in each kept task lies below the margin. Where several seeds were run their common interval counts.
    The rule looks at several intervals and takes the first that fits, so it errs more often than one interval would;
    measure the chosen checkpoint on fresh examples before relying on its recovery.

    Args:
        rows: of a study.
        limits: what a dose has to reach.

    Raises:
        ConfigError: a target or margin is invalid.
    """
    if not limits.target > 0 or not 0 <= limits.margin <= 1:
        limit = f"target {limits.target:g}, margin {limits.margin:g}"
        raise ConfigError(f"{limit}: expected a target above 0 and a margin from 0 to 1")
    shown = pooled(row for row in rows if row.mitigation)
    doses = [row for row in shown if row.metric in VARIED]
    curves: dict[tuple[str, ...], list[ResultRow]] = {}
    for row in sorted(doses, key=lambda row: row.estimate.value):
        curves.setdefault((row.base, row.variant, row.task, row.reference, row.mitigation), []).append(row)
    return [_choice(curve, shown, limits) for curve in curves.values()]


def shortfall(dose: ResultRow, rows: Sequence[ResultRow], limits: Limits) -> str:
    """Why a mitigation does not reach the target inside the margin; empty when it does.

    Args:
        dose: any row about the mitigated checkpoint.
        rows: of the study, of one seed or of all seeds together.
        limits: what it has to reach.
    """
    beside = [
        row
        for row in rows
        if row.is_whole and row.mitigation == dose.mitigation and row.key._replace(task=dose.task) == dose.key
    ]
    recovery = next((row for row in beside if row.metric == "recovery" and row.task == dose.task), None)
    prices = [row for row in beside if row.metric == "price"]
    highest = {row.task: row.estimate.high for row in beside if row.metric == f"price{UPPER_BOUND}"}
    if recovery is None or math.isnan(recovery.estimate.low):
        return f"its recovery is undefined: {recovery.estimate.reason if recovery else 'it was not measured'}"
    if not recovery.estimate.low > limits.target:
        return f"its recovery, {PERCENT.text(recovery.estimate)}, is not wholly above {PERCENT.amount(limits.target)}"
    if recovery.verdict_reason:
        return f"its recovery, {PERCENT.text(recovery.estimate)}, may be another: {recovery.verdict_reason}"
    if not prices:
        return "no kept task was measured, so its price is not known"
    for row in prices:
        scale, margin = changes_in(row.unit), margin_in(row.unit, limits.margin, row.margin)
        price = scale.text(row.estimate)
        if math.isnan(row.estimate.low):
            price = f"{scale.with_unit(scale.number(row.estimate.value))} without an interval"
        if math.isnan(margin):
            return f"its price in {row.task}, {price}, has no margin in that unit"
        if row.verdict_reason:
            return f"its price in {row.task}, {price}, may hide a loss: {row.verdict_reason}"
        if not row.estimate.high < margin:
            return f"its price in {row.task}, {price}, is not wholly below {scale.exact(margin)}"
        if not highest.get(row.task, row.estimate.high) < margin:
            return (
                f"its price in {row.task}, {price}, may be above {scale.exact(margin)}, as some examples lack a score"
            )
    return ""


def highest_prices(rows: Sequence[ResultRow], usual: float) -> str:
    """What a price has to lie below: `2 points`, with the margin of each kept task that names its own.

    Args:
        rows: of a study.
        usual: margin of tasks in shares that name none.
    """
    prices = [row for row in rows if row.metric == "price" and row.is_whole]
    own = {row.task: changes_in(row.unit).exact(row.margin) for row in prices if not math.isnan(row.margin)}
    of_others = changes_in(SHARE).exact(usual)
    if not own:
        return of_others
    named = ", ".join(f"{margin} in {task}" for task, margin in own.items())
    others = any(math.isnan(row.margin) and is_share(row.unit) for row in prices)
    return f"{of_others} ({named})" if others else named


def _choice(curve: Sequence[ResultRow], rows: Sequence[ResultRow], limits: Limits) -> Recommendation:
    first = curve[0]
    lacks = [shortfall(row, rows, limits) for row in curve]
    smallest = next((row for row, lack in zip(curve, lacks, strict=True) if not lack), None)
    if smallest is None:
        last = curve[-1]
        reason = f"no {first.metric} tested reaches it; of the largest, {last.estimate.value:.4g}: {lacks[-1]}"
    else:
        price = f"every price wholly below {highest_prices(rows, limits.margin)}"
        target = PERCENT.amount(limits.target)
        reason = f"the smallest {first.metric} tested with recovery wholly above {target} and {price}"
    return Recommendation(
        base=first.base,
        variant=first.variant,
        task=first.task,
        after=first.reference,
        dose_curve=first.mitigation,
        tested=tuple(row.chain for row in curve),
        chosen=smallest.chain if smallest else "",
        dose=smallest.estimate.value if smallest else math.nan,
        target=limits.target,
        margin=limits.margin,
        reason=reason,
        varied=first.metric,
    )


def chosen_chain(
    choices: Sequence[Recommendation], rows: Sequence[ResultRow], *, best: bool
) -> tuple[Recommendation, str]:
    """The choice that counts, and the chain whose model is written.

    That is the smallest that was recommended; else, if the best is wanted, that with the largest recovery; else none.

    Args:
        choices: one for each recipe.
        rows: of the results.
        best: write one even if none reaches the target.
    """
    smallest = min(choices, key=lambda choice: choice.dose if choice.chosen else math.inf)
    if smallest.chosen or not best:
        return smallest, smallest.chosen
    tested = {(choice.variant, chain): choice for choice in choices for chain in choice.tested}
    recovery = {
        (row.variant, row.chain): row.estimate.value
        for row in rows
        if row.metric == "recovery" and (row.variant, row.chain) in tested
    }
    known = [place for place, value in recovery.items() if value == value]
    if not known:
        return smallest, ""
    largest = max(known, key=lambda place: recovery[place])
    return tested[largest], largest[1]
