"""Groups in plain words: which lost more or less than the whole, and what could have been shown of the others."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from chaintune.errors import number_of
from chaintune.records import Estimate, ResultRow
from chaintune.records.amounts import is_share
from chaintune.records.scales import changes_in, rounded_up
from chaintune.stats.power import POWER

MOST_NAMED = 5
ALIKE = "changed alike, which does not tell how small a change could be shown"
# Rows on a gap of 10 points, which most people would want to see.
_GAP = 0.1
PROSPECTS = ("power_10", "examples_needed", "clusters_needed")


def group_differences(
    dimension: str,
    groups: Mapping[str, Estimate],
    limits: Mapping[str, float],
    reference: str,
    *,
    level: float,
    unit: str,
    best: Mapping[str, float] | None = None,
    prospects: Mapping[str, Mapping[str, float]] | None = None,
    incomplete: bool = False,
    brief: bool = False,
) -> list[str]:
    """Sentences on the groups that lost more or less than the reference, and on what was detectable of the others.

    Args:
        dimension: of the groups.
        groups: biased forgetting of each.
        limits: detectable biased forgetting of each group; one that is absent could show none.
        reference: what biased forgetting is relative to, in words.
        level: of the intervals; one minus it is the error rate of what is called shown.
        unit: of the scores.
        best: the pooled estimate of the biased forgetting of groups that have one.
        prospects: rows of power of each group, by their metric; none where they are not known.
        incomplete: whether scores are missing, for want of which more may be open than for want of examples.
        brief: without what could have been shown.
    """
    clear = [(e, name) for name, e in groups.items() if e.is_shown(level)]
    unknown = [name for name, e in groups.items() if math.isnan(e.p_value)]
    parts = []
    clear.sort(key=lambda item: -abs(item[0].value))
    for estimate, name in clear[:MOST_NAMED]:
        more = "more" if estimate.value > 0 else "less"
        distance = estimate if estimate.value > 0 else -estimate
        size = changes_in(unit).text(distance, sign=False, level=level)
        parts.append(f"{name} ({dimension}) lost {more} than {reference}, by {size}{_picked(best, name, unit)}.")
    if best and any(name in best for _, name in clear[:MOST_NAMED]):
        parts.append("Best estimates allow for these groups having been picked because they lie far off.")
    if left := [estimate.value > 0 for estimate, _ in clear[MOST_NAMED:]]:
        sides = [f"{n} lost {how}" for n, how in ((sum(left), "more"), (len(left) - sum(left), "less")) if n]
        parts.append(f"Of {number_of(len(left), 'other', 'others')} of {dimension} {' and '.join(sides)}.")
    named = {*(name for _, name in clear), *unknown}
    named |= {name for name, e in groups.items() if e.low == e.high}  # both sides are one
    others = [name for name in groups if name not in named]
    if others:
        also = "other " if clear else ""
        of = f"the {len(others)} {also}groups" if len(others) > 1 else f"the one {also}group"
        seen = [(groups[name], limits.get(name, math.nan)) for name in others]
        could = "" if brief else _could_show(seen, [(prospects or {}).get(name, {}) for name in others], unit)
        could = " that holds whatever the missing scores are" if incomplete else could
        parts.append(f"No difference is shown for {of} of {dimension}{could}.")
    if unknown:
        parts.append(f"{len(unknown)} of {dimension} cannot be judged: {_reasons(groups[name] for name in unknown)}.")
    return parts


def _reasons(estimates: Iterable[Estimate]) -> str:
    """The reason that all estimates share, or each kind of reason with its count."""
    reasons = [estimate.reason for estimate in estimates]
    if len(set(reasons)) == 1:
        return reasons[0]
    kinds = Counter(reason.partition(":")[0] for reason in reasons)
    return next(iter(kinds)) if len(kinds) == 1 else "; ".join(f"{n} for {kind}" for kind, n in kinds.items())


def best_differences(whole: ResultRow, pooled_rows: Sequence[ResultRow], *, rest: bool) -> dict[str, float]:
    """Pooled estimate of the biased forgetting of each group that has one, relative to the rest or to the whole."""
    differences = {row.group: (row.estimate, row.estimate.value - whole.estimate.value) for row in pooled_rows}
    return {
        group: value / (1 - one.n / max(whole.estimate.n, one.n + 1) if rest else 1.0)
        for group, (one, value) in differences.items()
        if not math.isnan(value)
    }


def _picked(best: Mapping[str, float] | None, name: str, unit: str) -> str:
    """The best estimate of a group that was picked for its value; empty without one."""
    return f" (best estimate {changes_in(unit).size(abs(best[name]))})" if best and name in best else ""


def _could_show(others: Sequence[tuple[Estimate, float]], prospects: Sequence[Mapping[str, float]], unit: str) -> str:
    """What the typical of groups of which no difference is shown could have shown, and with how many examples."""
    known = sorted(
        (limit, one.n, one.n_clusters, tuple(prospect.items()))
        for (one, limit), prospect in zip(others, prospects, strict=True)
        if not math.isnan(limit)
    )
    if not known:
        return (
            f": all {ALIKE}" if all(one.p_value == 1 for one, _ in others) else ": these data are too few to show any"
        )
    limit, n, clusters, prospect = known[len(known) // 2]
    none = len(others) - len(known)
    but = f"; in {none} of them none of any size could be shown" if none else ""
    scale = changes_in(unit)
    sizes = f"{number_of(n, 'example')} in {number_of(clusters, 'cluster')}"
    typical = f": with {sizes}" + (", as in the typical one" if len(known) > 1 else "")
    size = scale.size(limit, decimals=0)
    often, examples, needed = (dict(prospect).get(name, math.nan) for name in PROSPECTS)
    if not is_share(unit) or math.isnan(often):
        return f"{typical}, 80 % power takes a gap of {size}{but}"
    text = f"{typical}, a gap of 10 points is shown in {round(100 * often)} of 100 such comparisons"
    shown = f"one of {size}"
    if often < POWER and not math.isnan(examples + needed):
        more = f"with about {rounded_up(examples):,} examples in {rounded_up(needed):,} clusters"
        at_ten = size == scale.size(_GAP, decimals=0)
        shown = more.removeprefix("with ") if at_ten else f"{shown}, or one of 10 {more}"
    return f"{text}, and 80 % power takes {shown}{but}"
