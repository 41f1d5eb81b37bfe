"""Cells of tables: numbers of rows, checkpoints and p-values as text."""

import math
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from chaintune.errors import number_of
from chaintune.records import Estimate, ResultRow, RowKey
from chaintune.records.amounts import is_share
from chaintune.records.checkpoint import BASE
from chaintune.records.choice import BALANCED
from chaintune.records.comparison import AUC
from chaintune.records.scales import PERCENT, Scale, changes_in, levels_in
from chaintune.report.labels import listed, one_line

_SENTENCE = re.compile(r"(?<=\.) (?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows and columns.

    Attributes:
        title: what it shows.
        note: one sentence on how to read it; may be empty.
        header: a name for each column.
        rows: as many cells each.
        first: whether it is printed where most tables are only named.
    """

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    first: bool = False

    def without_empty(self, names: Container[str]) -> "Table":
        """The table without those of some columns that are empty throughout."""
        columns = [(name, [row[place] for row in self.rows]) for place, name in enumerate(self.header)]
        kept = [place for place, (name, cells) in enumerate(columns) if name not in names or any(cells)]
        header, *rows = (tuple(line[place] for place in kept) for line in (self.header, *self.rows))
        return replace(self, header=header, rows=tuple(rows))


def side_by_side(tables: Mapping[tuple[str, str], Sequence[Table]]) -> list[Table]:
    """Tables of one title under several pairs of checkpoints as one, what is alike in the first column together."""
    by_title: dict[str, list[tuple[tuple[str, str], Table]]] = {}
    for pair, several in tables.items():
        for table in several:
            by_title.setdefault(table.title, []).append((pair, table))
    return [_joined(several) for several in by_title.values()]


def _joined(tables: Sequence[tuple[tuple[str, str], Table]]) -> Table:
    every = [tables[-1][1], *(table for _, table in tables)]
    first, *others = dict.fromkeys(name for table in every for name in table.header)
    order = list(dict.fromkeys(row[0] for table in every for row in table.rows))
    lines = [(pair, dict(zip(table.header, row, strict=True))) for pair, table in tables for row in table.rows]
    lines.sort(key=lambda line: order.index(line[1][first]))
    return Table(
        every[0].title,
        " ".join(_notes([(pair, table.note) for pair, table in tables])),
        (first, "from", "to", *others),
        tuple((row[first], *pair, *(row.get(name, "") for name in others)) for pair, row in lines),
        first=every[0].first,
    )


def _notes(notes: Sequence[tuple[tuple[str, str], str]]) -> Iterator[str]:
    """The sentences of all notes, each once; those that not all have with the pairs that they are of."""
    pairs: dict[str, list[str]] = {}
    for (start, end), note in notes:
        for sentence in _SENTENCE.split(note):
            pairs.setdefault(sentence, []).append(f"{start} to {end}")
    for sentence, of in pairs.items():
        yield sentence if len(of) == len(notes) else f"{listed(of)}: {sentence}"


def change(row: ResultRow | None, *, named: bool = False) -> str:
    """The cell of a difference of scores, with its interval, its unit only if `named`; empty without a row."""
    return changes_in(row.unit).short(row.estimate, named=named) if row else ""


def score(row: ResultRow | None, *, named: bool = False) -> str:
    """The cell of a mean score, with its interval, its unit only if `named`; empty without a row."""
    return levels_in(row.unit).short(row.estimate, named=named) if row else ""


def perplexity(level: Estimate) -> str:
    """The cell of the perplexity of a mean log-probability a token in nats, exp of minus it, with its interval."""
    # A token that is less likely than this has no finite one.
    value, high, low = (math.inf if nats < -700 else math.exp(-nats) for nats in (level.value, level.low, level.high))
    return Scale("").short(Estimate(value, low, high))


def percent(row: ResultRow | None) -> str:
    """The cell of a share of something else than answers, such as a recovery; empty without a row."""
    return PERCENT.short(row.estimate) if row else ""


def score_name(rows: Sequence[ResultRow]) -> str:
    """Name of mean scores in one unit: `accuracy`, the name of another item metric, or `score` for several."""
    names = {
        "accuracy" if row.is_accuracy and row.item_metric != BALANCED else row.item_metric.replace("_", " ")
        for row in rows
    }
    return names.pop() if len(names) == 1 else "score"


# Rows by key, metric, dimension and group.
Beside = Mapping[tuple[RowKey, str, str, str], ResultRow]


def rows_beside(rows: Iterable[ResultRow]) -> Beside:
    """The rows of a study or comparison, to be looked up."""
    return {(row.key, row.metric, row.dimension, row.group): row for row in rows}


def largest_first(estimate: Estimate, name: str) -> tuple[bool, float, str]:
    """The rank of an estimate among others: the largest first, equal ones by name, those without an interval last."""
    return (math.isnan(estimate.low), 0.0 if math.isnan(estimate.value) else -estimate.value, name)


def most_forgotten_first(members: Sequence[ResultRow], beside: Beside) -> list[ResultRow]:
    """Rows of groups' forgetting in order of the best estimate of it; those without an interval last.

    Where there is none, a group counts with its own forgetting, else with the whole task's and its difference from it.
    """

    def rank(row: ResultRow) -> tuple[bool, float, str]:
        own, at = row.estimate, (row.dimension, row.group)
        best = beside.get((row.key, "pooled_forgetting", *at))
        if best and not math.isnan(best.estimate.value):
            return (False, -best.estimate.value, row.group)
        whole, bias = (beside.get((row.key, *place)) for place in (("forgetting", "", ""), ("biased_forgetting", *at)))
        if math.isnan(own.value) and whole and bias:
            own = replace(bias.estimate, value=whole.estimate.value + bias.estimate.value)
        return largest_first(own, row.group)

    return sorted(members, key=rank)


def biased_only(members: Sequence[ResultRow], beside: Beside) -> list[str]:
    """The groups that are held against the whole, or the rest, but have no forgetting of their own."""
    bias = [beside.get((row.key, "biased_forgetting", row.dimension, row.group)) for row in members]
    return [
        row.group
        for row, other in zip(members, bias, strict=True)
        if math.isnan(row.estimate.value) and other and not math.isnan(other.estimate.value)
    ]


def biased_only_note(groups: Sequence[str]) -> list[str]:
    """A sentence on the groups of a labelling task that have no forgetting of their own; none without any."""
    if not groups:
        return []
    who = number_of(len(groups), "group has", "groups have")
    return [
        f"{who} a biased forgetting only, as not every label has the clusters that an interval needs: {listed(groups)}."
    ]


def metric_notes(scored: Mapping[str, ResultRow]) -> list[str]:
    """Sentences that name the tasks whose score is no plain share of right answers, and what it is."""
    notes: dict[str, list[str]] = {}
    for task, row in scored.items():
        if row.item_metric == BALANCED:
            notes.setdefault("it is balanced accuracy, the mean over labels of the share right", []).append(task)
        elif row.item_metric == AUC:
            notes.setdefault("it is the share of pairs of unlike labels that are ranked rightly", []).append(task)
        elif is_share(row.unit) and not row.is_accuracy:
            less = ", and less is better" if row.direction == "less" else ""
            notes.setdefault(f"it is {one_line(row.item_metric)}{less}", []).append(task)
    return [f"Of {listed(tasks)} {what}." for what, tasks in notes.items()]


def p_text(value: float) -> str:
    """A p-value in the usual short form; empty when no test was made."""
    if math.isnan(value):
        return ""
    return "<.001" if value < 0.001 else "1" if value > 0.9995 else f"{value:.3f}".removeprefix("0")


def family_note(families: Iterable[str]) -> list[str]:
    """A sentence on tasks whose verdicts are corrected as one family; none where there is none."""
    known = [family for family in dict.fromkeys(families) if family]
    return (
        [f"p, intervals and verdicts are corrected over {over_what(known)} as one family: {listed(known)}."]
        if known
        else []
    )


def over_what(families: Iterable[str]) -> str:
    """What the tests of families are of: tasks, pairs of checkpoints, or both."""
    named = " ".join(families)
    return " and ".join(what for what in ("pairs of checkpoints", "tasks") if what in named)


def p_cell(estimate: Estimate) -> str:
    """The cell of an estimate's p-value, corrected where its test is one of several."""
    return p_text(estimate.p_judged)


def joint_name(row: ResultRow) -> str:
    """The name of a row's group, with those that have the very same examples; empty where one of them stands for it."""
    names = sorted((row.group, *row.same_examples))
    return " = ".join(names) if names[0] == row.group else ""


def keys_of_sides(row: ResultRow) -> list[RowKey]:
    """Keys of the scores of the checkpoint that a row is compared with, and of its own; the base has no variant."""
    before = "" if row.reference == BASE else row.variant
    return [row.key._replace(chain=row.reference, variant=before, reference=""), row.key._replace(reference="")]


def gain_key(row: ResultRow) -> RowKey:
    """Key of the gain of a row's task at the checkpoint that the row is compared with."""
    return row.key._replace(chain=row.reference, reference=BASE)


def statistic(
    rows: Sequence[ResultRow],
    like: ResultRow,
    metric: str,
    *,
    chain: str = "",
    reference: str = "",
    dimension: str = "",
) -> ResultRow | None:
    """The first row of a statistic about the base, variant and task of another row; None without one.

    By default at the other row's chain, against any reference, and of the whole task.
    """
    for row in rows:
        key = like.key._replace(chain=chain or like.chain, reference=reference or row.reference)
        if (row.key, row.metric, row.dimension) == (key, metric, dimension):
            return row
    return None


def checkpoint_columns(
    rows: Sequence[ResultRow], chain: str = "checkpoint"
) -> tuple[tuple[str, ...], Callable[[ResultRow], tuple[str, ...]]]:
    """Header and cells of the columns that tell checkpoints apart: base and variant where there are several."""
    several = {"base": len({row.base for row in rows}) > 1, "variant": any(row.variant for row in rows)}
    further = [name for name, are_several in several.items() if are_several]
    return (chain, *further), lambda row: (row.chain, *(getattr(row, name) for name in further))


def checkpoint(row: ResultRow, rows: Sequence[ResultRow]) -> str:
    """A checkpoint's name in titles and sentences, with its base and its variant where several occur."""
    parts = [row.chain] if row.chain else []
    if len({other.base for other in rows}) > 1:
        parts.append(row.base)
    if row.variant:
        parts.append(row.variant)
    return ", ".join(parts)


def checkpoint_name(row: ResultRow) -> str:
    """The chain of a row's checkpoint, with the variant where there is one."""
    name = row.chain or "the later checkpoint"
    return f"{name} ({row.variant})" if row.variant else name
