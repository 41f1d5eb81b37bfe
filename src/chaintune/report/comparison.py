"""Two checkpoints compared: tables, one Markdown page, and JSON by a published schema."""

import json
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from chaintune.records import Comparison, Disparity, Gate, GroupComparison
from chaintune.records.scales import changes_in, levels_in_tables, units_in_words
from chaintune.report.cells import Table, p_text
from chaintune.report.gate import gate_sentence, gate_table
from chaintune.report.markdown import escape, table_markdown
from chaintune.report.tables import group_tables
from chaintune.report.words import comparison_text

FORMAT = 1
_MOST_LISTED = 15
_HEADER = ("n", "clusters", "before", "after", "forgetting", "p", "verdict", "forgot", "learned")


def comparison_tables(comparison: Comparison) -> list[Table]:
    """The whole task, then each dimension's groups, most forgotten first, then the spread over groups."""
    tables = [_whole(comparison), *group_tables(comparison.rows, scores=True)]
    return tables if not comparison.disparities else [*tables, _spread(comparison)]


def comparison_markdown(comparisons: Sequence[Comparison], gate: Gate | None = None) -> str:
    """What was found of every task in words and tables, for a pull request; what a policy says comes first."""
    parts = [f"**{gate_sentence(gate)}**", table_markdown(gate_table(gate))] if gate else []
    for comparison in comparisons:
        parts.append(escape(comparison_text(comparison)))
        parts += [table_markdown(table) for table in comparison_tables(comparison)]
    return "\n\n".join(parts) + "\n"


def comparison_json(comparisons: Sequence[Comparison], gate: dict[str, Any] | None = None) -> str:
    """Everything about every task as JSON that fits `comparison_schema`; what is undefined is null.

    Args:
        comparisons: one a task.
        gate: what a policy says about them.
    """
    content = {"format": FORMAT, "comparisons": [comparison.to_dict() for comparison in comparisons], "gate": gate}
    return json.dumps(content, indent=2, allow_nan=False)


def comparison_schema() -> dict[str, Any]:
    """The JSON Schema of `comparison_json`."""
    text = resources.files("chaintune.report").joinpath("comparison.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _whole(comparison: Comparison) -> Table:
    flips = "right, then wrong; learned: wrong, then right"
    if comparison.graded:
        flips = "fell; learned: rose" if comparison.direction == "more" else "rose; learned: fell"
    note = (
        f"Forgetting in {units_in_words([comparison.unit])}, with an interval of level {comparison.level:g}; positive "
        f"is worse. Forgot: {flips}."
    )
    return Table(
        f"{comparison.task}: {comparison.metric} before and after",
        " ".join([note, *_left_out(comparison)]),
        ("task", *_HEADER),
        ((comparison.task, *_cells(comparison.overall, comparison.unit)),),
    )


def _left_out(comparison: Comparison) -> Iterator[str]:
    """What vanished whole, which no row of a table tells."""
    groups = [f"{dimension} {group}" for dimension, group in comparison.groups_left_out]
    if groups:
        yield f"Left out, as no example is on both sides: {_listed(groups)}."
    if comparison.tasks_left_out:
        yield f"Tasks left out, as only one side has them: {_listed(comparison.tasks_left_out)}."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f", and {more} more; the JSON format has all" if more > 0 else "")


def _cells(row: GroupComparison, unit: str) -> tuple[str, ...]:
    scores = levels_in_tables(unit)
    return (
        str(row.forgetting.n),
        str(row.forgetting.n_clusters),
        scores.short(row.before),
        scores.short(row.after),
        changes_in(unit).short(row.forgetting),
        p_text(row.forgetting.p_value),
        row.verdict,
        str(row.forgot),
        str(row.learned),
    )


def _spread(comparison: Comparison) -> Table:
    return Table(
        f"Spread over the groups of {comparison.task}",
        "Disparity: largest minus smallest forgetting among groups with enough clusters, in "
        f"{units_in_words([comparison.unit])}; it is positive even where all groups forget alike, then on average as "
        "large as expected.",
        ("dimension", "groups", "disparity", "expected if all alike", "p"),
        tuple(_spread_cells(spread, comparison.unit) for spread in comparison.disparities),
    )


def _spread_cells(spread: Disparity, unit: str) -> tuple[str, ...]:
    numbers = (changes_in(unit).number(value).lstrip("+") for value in (spread.estimate.value, spread.null_expectation))
    return (spread.dimension, str(spread.n_groups), *numbers, p_text(spread.estimate.p_value))
