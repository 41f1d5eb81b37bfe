"""What rounding alone changed, in words."""

from collections.abc import Sequence

from chaintune.forgetting.rounding import DIFFERENCE, ROUNDING
from chaintune.records import Comparison, Estimate, ResultRow
from chaintune.records.scales import changes_in


def rounding_sentences(rows: Sequence[ResultRow], level: float) -> list[str]:
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


def written_twice(comparison: Comparison) -> str:
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
