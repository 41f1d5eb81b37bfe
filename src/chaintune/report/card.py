"""Sections of a model card: what was forgotten, by whom, what was replayed, and what that brought back."""

from collections.abc import Mapping, Sequence
from typing import Any

from chaintune.records import Comparison, Gate, Limits, Recommendation, ResultRow, pooled
from chaintune.records.metrics import SHARE
from chaintune.records.scales import changes_in
from chaintune.report.cells import Table, change, score
from chaintune.report.comparison import comparison_tables
from chaintune.report.gate import gate_sentence, gate_table
from chaintune.report.markdown import escape, table_markdown
from chaintune.report.mitigations import mitigation_tables
from chaintune.report.model_index import card_results, model_index
from chaintune.report.readme import merged
from chaintune.report.tables import group_tables
from chaintune.report.words import comparison_text, definition

_FRONT = "---\nlibrary_name: transformers\ntags:\n- chaintune\n---\n"
_SCOPE = (
    "These numbers speak about these checkpoints and the examples they were measured on, not about the task as such, "
    "other tasks, or safety in use."
)
_CHOSEN_ON_TEST = (
    "The checkpoint was chosen with the same test examples that its recovery was measured on; measure it on fresh ones "
    "before relying on the figure."
)


def comparison_section(comparisons: Sequence[Comparison], *, before: str, gate: Gate | None = None) -> str:
    """What a comparison found, as the section of the later model's card.

    Args:
        comparisons: one a task.
        before: what the earlier checkpoint is called.
        gate: what a policy says of them.
    """
    lead = (
        f"What this model forgot since {escape(before)}: both answered the same examples. "
        f"{definition(row for comparison in comparisons for row in comparison.rows)}"
    )
    parts = ["## Forgetting", lead]
    if gate:
        parts += [f"By the budgets of {escape(gate.policy)}: {escape(gate_sentence(gate))}", _nested(gate_table(gate))]
    for comparison in comparisons:
        parts.append(escape(comparison_text(comparison)))
        parts += [_nested(table) for table in comparison_tables(comparison)]
    return "\n\n".join([*parts, _SCOPE]) + "\n"


def study_section(rows: Sequence[ResultRow], *, chain: str, level: float) -> str:
    """What a study found of one of its checkpoints, as the section of that model's card.

    Args:
        rows: of the study, all of one base and one variant.
        chain: the checkpoint's.
        level: of the intervals.
    """
    own = [row for row in pooled(rows) if row.chain == chain]
    lost = [row for row in own if row.metric == "forgetting" and not row.dimension]
    lead = (
        f"This model is the checkpoint {escape(chain)} of the study {escape(own[0].study)}: tuned on these tasks in "
        f"this order. {definition(own)} Before is the earlier checkpoint named, after is this model. Intervals have "
        f"level {level:g}."
    )
    parts = ["## Forgetting", lead]
    parts += [_nested(_lost(lost, own, rows))] if lost else ["No task was followed by another, so none was forgotten."]
    parts += [_nested(table) for table in group_tables(own)]
    seeds = max((row.estimate.n_seeds for row in lost), default=1)
    return "\n\n".join([*parts, *([f"Over {seeds} seeds."] if seeds > 1 else []), _SCOPE]) + "\n"


def model_card(
    rows: Sequence[ResultRow],
    choice: Recommendation,
    *,
    written: str,
    before: str,
    after: str,
    recipe: Mapping[str, Any],
    level: float,
) -> str:
    """A model card whose only section is about forgetting; merge it into one that says what the model is for.

    Args:
        rows: of the mitigation.
        choice: of the doses tested.
        written: chain of the model that the card is of.
        before: name of the model that still knew the task.
        after: name of the model that was replayed to.
        recipe: of the replay.
        level: of the intervals.
    """
    title = f"# {escape(after.rstrip('/').rpartition('/')[2])}, with {escape(choice.task)} replayed"
    step = next((row.steps[-1] for row in rows if row.chain == written and row.steps), written)
    parts = ["## Forgetting and mitigation", _made(choice, step, before, after, recipe), _rule(choice, written)]
    limits = Limits(choice.target, choice.margin)
    parts += [_nested(table) for table in mitigation_tables(pooled(rows), limits, level=level) if table.rows]
    section = "\n\n".join([*parts, f"{_SCOPE} {_CHOSEN_ON_TEST}"])
    own = [row for row in rows if row.chain == written]
    name = after.rstrip("/").rpartition("/")[2]
    index = model_index(name, card_results(own, level=level))
    return merged(f"{_FRONT}\n{title}\n", name="mitigation", section=section, index=index, where="README.md")


def _nested(table: Table) -> str:
    """A table under the section's own heading."""
    return f"#{table_markdown(table)}"


def _lost(lost: Sequence[ResultRow], own: Sequence[ResultRow], rows: Sequence[ResultRow]) -> Table:
    return Table(
        "Every task that another followed",
        "",
        (
            "task",
            "n",
            "clusters",
            "seeds",
            "earlier checkpoint",
            "score then",
            "score now",
            "forgetting",
            "verdict",
        ),
        tuple(_lost_cells(row, own, rows) for row in lost),
    )


def _lost_cells(row: ResultRow, own: Sequence[ResultRow], rows: Sequence[ResultRow]) -> tuple[str, ...]:
    now = _score(own, row.task, row.chain)
    before = _score(pooled(rows), row.task, row.reference)
    counts = (row.estimate.n, row.estimate.n_clusters, row.estimate.n_seeds)
    return (row.task, *map(str, counts), row.reference, before, now, change(row, named=True), row.verdict)


def _score(rows: Sequence[ResultRow], task: str, chain: str) -> str:
    place = ("accuracy", task, chain, "")
    return score(
        next((row for row in rows if (row.metric, row.task, row.chain, row.dimension) == place), None), named=True
    )


def _made(choice: Recommendation, step: str, before: str, after: str, recipe: Mapping[str, Any]) -> str:
    fields = ", ".join(f"{name} {value}" for name, value in recipe.items())
    return (
        f"`{after}` had lost part of what `{before}` knew of {escape(choice.task)}. This model is `{after}` after one "
        f"more stage of training on {escape(step)} ({escape(choice.dose_curve)}; the share is of the task's training "
        f"data). Recipe: {escape(fields)}."
    )


def _rule(choice: Recommendation, written: str) -> str:
    limits = (
        f"Rule: the smallest dose whose recovery lies above {choice.target:.0%} with its whole interval, while the "
        f"price in every kept task lies below {changes_in(SHARE).exact(choice.margin)} with its whole interval."
    )
    if written == choice.chosen:
        return f"{limits} This dose is {escape(choice.reason)}."
    return f"{limits} **No dose tested reaches it**; this one has the largest recovery. {escape(choice.reason)}."
