"""How far a checkpoint answers alike in its chat template and as plain text, as a table and in words."""

from collections.abc import Mapping, Sequence

from chaintune.records import Estimate, ResultRow
from chaintune.records.scales import PERCENT
from chaintune.report.cells import Table, checkpoint_columns

_HEADER = ("n", "clusters", "answered alike")
_NOTE = (
    "Share of examples that a checkpoint answers alike when it is asked in its chat template and as plain text, with "
    "its interval. Where it is low, the scores of one way say little about a model that is served the other way."
)


def agreement_tables(alike: Mapping[str, Mapping[str, Estimate]]) -> list[Table]:
    """The table of the tasks that were asked both ways, a line for each checkpoint; none where none was."""
    rows = [_cells(task, (name,), own) for task, by_name in alike.items() for name, own in by_name.items()]
    return [Table("Asked both ways", _NOTE, ("task", "checkpoint", *_HEADER), tuple(rows))] if rows else []


def agreement_rows_table(rows: Sequence[ResultRow]) -> Table:
    """The same of the rows of a study; without rows where nothing was asked both ways."""
    whole = [row for row in rows if row.metric == "chat_agreement" and row.is_whole]
    names, cells_of = checkpoint_columns(whole)
    lines = tuple(_cells(row.task, cells_of(row), row.estimate) for row in whole)
    return Table("Asked both ways", _NOTE, ("task", *names, *_HEADER), lines)


def agreement_sentence(task: str, alike: Mapping[str, Estimate], *, level: float) -> str:
    """The sentence on a task that two checkpoints were asked both ways; empty where they were not."""
    if not alike:
        return ""
    shares = (f"{name} {PERCENT.text(own, level=level)} of {own.n:,} examples" for name, own in alike.items())
    return f"Asked in the chat template and as plain text, {task} got the same answer: {', '.join(shares)}."


def _cells(task: str, checkpoint: tuple[str, ...], alike: Estimate) -> tuple[str, ...]:
    return (task, *checkpoint, str(alike.n), str(alike.n_clusters), PERCENT.short(alike))
