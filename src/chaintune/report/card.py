"""The section of a model card that says what was forgotten, what was replayed, and what that brought back."""

from collections.abc import Mapping, Sequence
from typing import Any

from chaintune.records import Choice, Limits, ResultRow
from chaintune.report.cells import pooled_only
from chaintune.report.markdown import escape, table_markdown
from chaintune.report.mitigations import mitigation_tables

_FRONT = "---\nlibrary_name: transformers\ntags:\n- chaintune\n---\n"


def model_card(
    rows: Sequence[ResultRow], choice: Choice, *, written: str, before: str, after: str, recipe: Mapping[str, Any]
) -> str:
    """A model card whose only section is about forgetting; merge it into one that says what the model is for.

    Args:
        rows: of the mitigation.
        choice: of the doses tested.
        written: chain of the model that the card is of.
        before: name of the model that still knew the task.
        after: name of the model that was replayed to.
        recipe: of the replay.
    """
    title = f"# {escape(after.rstrip('/').rpartition('/')[2])}, with {escape(choice.task)} replayed"
    parts = [_FRONT + title, "## Forgetting and mitigation", _made(choice, written, before, after, recipe)]
    parts.append(_rule(choice, written))
    limits = Limits(choice.target, choice.margin)
    parts += [table_markdown(table) for table in mitigation_tables(pooled_only(rows), limits) if table.rows]
    parts.append(
        "These numbers speak about these checkpoints and the examples they were measured on, not about the task as "
        "such, other tasks, or safety in use. The checkpoint was chosen with the same test examples that its recovery "
        "was measured on; measure it on fresh ones before relying on the figure."
    )
    return "\n\n".join(parts) + "\n"


def _made(choice: Choice, written: str, before: str, after: str, recipe: Mapping[str, Any]) -> str:
    told = ", ".join(f"{name} {value}" for name, value in recipe.items())
    step = written.rpartition(">")[2]
    return (
        f"`{after}` had lost part of what `{before}` knew of {escape(choice.task)}. This model is `{after}` after one "
        f"more stage of training on {escape(step)} ({escape(choice.ladder)}; the share is of the task's training "
        f"data). Recipe: {escape(told)}."
    )


def _rule(choice: Choice, written: str) -> str:
    limits = (
        f"Rule: the smallest dose whose recovery lies above {choice.target:.0%} with its whole interval, while the "
        f"price in every kept task lies below {100 * choice.margin:g} points with its whole interval."
    )
    if written == choice.chosen:
        return f"{limits} This dose is {escape(choice.reason)}."
    return f"{limits} **No dose tested reaches it**; this one has the largest recovery. {escape(choice.reason)}."
