"""What stands beside the metric that decides, and has no verdict: lines of tables, and sentences on scaled margins."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from chaintune.errors import number_of
from chaintune.records import Auc, Comparison, ResultRow, RowKey, SecondLine, pooled
from chaintune.records.comparison import AUC
from chaintune.records.margins import SCALED_MARGIN
from chaintune.records.scales import changes_in, levels_in
from chaintune.report.cells import Table, change, checkpoint_columns, joint_name, p_text
from chaintune.report.group_words import MOST_NAMED
from chaintune.report.results import Results, without_mitigated


def whole_lines(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """A line of the whole task by each metric that stands beside: before, after and forgetting, without a verdict."""
    ranked = [(AUC.upper(), comparison.unit, one) for one in comparison.auc]
    others = [(one.metric, one.unit, one) for one in comparison.second_lines]
    lines: list[tuple[str, str, Auc | SecondLine]] = [*ranked, *others]
    for name, unit, one in (line for line in lines if not line[2].dimension):
        sides = (levels_in(unit).short(side) for side in (one.before, one.after))
        lost = one.forgetting
        counts, moved = (str(lost.n), str(lost.n_clusters)), changes_in(unit).short(lost, named=True)
        yield (f"{comparison.task} by {name}", *counts, *sides, moved, p_text(lost.p_value), "", "", "")


def by_name(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Rows of the further metrics that were named, no scaled margins, as of tasks that bear the metric's name."""
    named = [row for row in rows if row.item_metric != SCALED_MARGIN]
    return [replace(row, task=f"{row.task} by {row.item_metric}") for row in named]


def margins_rows(results: Results) -> list[ResultRow]:
    """The rows of scaled margins, without those of mitigated checkpoints."""
    several = [row for one in results.comparisons for row in one.named_further]
    # Rows of recovery, which decide, tell which checkpoints are mitigated.
    rows = several or without_mitigated([*results.shown, *pooled(results.rows, further=True)])
    return [row for row in rows if row.item_metric == SCALED_MARGIN]


def margins_table(rows: Sequence[ResultRow], level: float) -> Table:
    """The scaled margins of whole tasks, and of the groups whose margins are shown to part from the whole's."""
    lost = [row for row in rows if row.item_metric == SCALED_MARGIN and row.metric == "forgetting"]
    bias: dict[RowKey, list[ResultRow]] = {}
    for row in rows:
        if row.item_metric == SCALED_MARGIN and row.metric == "biased_forgetting":
            bias.setdefault(row.key, []).append(row)
    groups = {(row.key, row.dimension, row.group): row for row in lost}
    names, cells_of = checkpoint_columns(lost, "chain")
    of_chains = int(any(row.chain for row in lost))
    lines: list[tuple[str, ...]] = []
    for row in lost:
        if row.dimension:
            continue
        name = (*cells_of(row)[1 - of_chains :], row.task)
        lines.append((*name, "", change(row), "", p_text(row.estimate.p_value)))
        for one in _apart(bias.get(row.key, ()), level):
            own = groups[row.key, one.dimension, one.group]
            lines.append(
                (
                    *name,
                    f"{one.dimension}: {joint_name(one)}",
                    change(own),
                    change(one),
                    p_text(one.estimate.p_adjusted),
                )
            )
    return Table(
        "Scaled margins",
        "A secondary metric without a verdict: how far the right choice lies ahead of the best other one, over the "
        "checkpoint's own median absolute deviation, through the normal distribution function. Positive: margins fell. "
        "A group stands here where its biased forgetting is shown; its margins fall as well where other examples get "
        "surer.",
        (*names[1 - of_chains :], "task", "group", "forgetting", "biased forgetting", "p"),
        tuple(lines),
    )


def margins_sentence(row: ResultRow, further: Sequence[ResultRow], *, level: float) -> list[str]:
    """The sentence on the scaled margins beside a task's forgetting; none where they are not known."""
    own = [one for one in further if one.item_metric == SCALED_MARGIN and one.key == row.key]
    whole = next((one for one in own if one.metric == "forgetting" and one.is_whole), None)
    if whole is None or math.isnan(whole.estimate.low):
        return []
    groups = [one for one in own if one.metric == "biased_forgetting"]
    text = f"Scaled margins, a secondary metric without a verdict, {_moved(whole, level)}"
    apart = _apart(groups, level)
    if apart:
        named = (f"{_moved(one, level)} for {joint_name(one)} ({one.dimension})" for one in apart[:MOST_NAMED])
        left = len(apart) - MOST_NAMED
        more = f"; {number_of(left, 'more group differs', 'more groups differ')} from it" if left > 0 else ""
        reference = "rest" if apart[0].bf_reference == "rest" else "whole"
        text += f"; relative to the {reference} they {'; they '.join(named)}{more}"
    elif groups:
        text += "; no group is shown to part from the whole"
    return [f"{text}."]


def _moved(row: ResultRow, level: float) -> str:
    estimate, scale = row.estimate, changes_in(row.unit)
    if row.is_whole and estimate.low <= 0 <= estimate.high:
        return f"are not shown to have changed: {scale.text(estimate, level=level)}"
    fell = estimate.value > 0
    size = scale.text(estimate if fell else -estimate, sign=False, level=level)
    return f"{'fell' if fell else 'rose'} by {size}"


def _apart(bias: Sequence[ResultRow], level: float) -> list[ResultRow]:
    """The groups whose biased forgetting is shown, the largest first; of those with the very same examples one."""
    shown = [row for row in bias if row.estimate.is_shown(level) and joint_name(row)]
    return sorted(shown, key=lambda row: -abs(row.estimate.value))
