"""What written answers count as, in tables and sentences; of prompts to refuse and to answer both sides at once."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from chaintune.records import Answers, Comparison, Estimate, ResultRow
from chaintune.records.answers import DOUBTFUL_SHARE, MISSING, REFUSED
from chaintune.records.examples import COMPLY, LABEL, REFUSE
from chaintune.records.scales import PERCENT, changes_in
from chaintune.report.cells import Table, checkpoint_columns, keys_of_sides
from chaintune.report.labels import one_line

_MOST_NAMED = 5
_WHOLE = "the whole"
# First cells of a line of a table, and the answers that it is about.
Line = tuple[tuple[str, ...], Answers]


def outcome_tables(rows: Sequence[ResultRow]) -> list[Table]:
    """Of each task whose answers were written, their outcomes under every checkpoint, of the whole and each group."""
    known = [row for row in rows if row.metric == "accuracy" and row.answers.outcomes]
    tables = []
    for task in dict.fromkeys(row.task for row in known):
        own = [row for row in known if row.task == task]
        places = dict.fromkeys((row.dimension, row.group) for row in own)
        # Of prompts to refuse and to answer, each line is about both already.
        shown = [at for at in places if at[0] != LABEL or not _is_matched(own[0].answers)]
        ordered = [row for at in shown for row in own if (row.dimension, row.group) == at]
        names, cells_of = checkpoint_columns(own)
        named = [replace(row, chain=row.chain or "after") for row in ordered]
        lines: list[Line] = [((_place(row), *cells_of(row)), row.answers) for row in named]
        tables.append(outcome_table(f"Answers to {task}", ("group", *names), lines))
        if _is_matched(own[0].answers):
            tables.append(_matched_table(task, ("group", *names), lines))
    return tables


def outcome_table(title: str, first: tuple[str, ...], lines: Sequence[Line]) -> Table:
    """A table of the share of each outcome; those of what was expected of the examples below each other."""
    every = [outcome for _, answers in lines for outcome in answers.outcomes]
    ordered = sorted(every, key=lambda one: (one.name == MISSING, one.doubtful))
    names = list(dict.fromkeys(outcome.name for outcome in ordered))
    doubtful = list(dict.fromkeys(outcome.name for outcome in every if outcome.doubtful))
    split = any(outcome.expected for outcome in every)
    note = "Share of all answers, every sample of a prompt counted; missing: without a score."
    if doubtful:
        note += f" Above {100 * DOUBTFUL_SHARE:g} % {' and '.join(doubtful)} no verdict is given."
    return Table(
        title,
        note,
        (*first, *(("expected",) if split else ()), "answers", *names),
        tuple(cells for line in lines for cells in _cells(line, names, split)),
    )


def refusal_sentences(row: ResultRow, rows: Sequence[ResultRow], *, level: float) -> list[str]:
    """Sentences on what the answers behind a forgetting count as, before and after; none where that is not known."""
    sides = _sides(row, rows, ("", ""))
    if not all(answers.outcomes for _, answers in sides):
        return []
    if not all(_is_matched(answers) for _, answers in sides):
        return [f"Answers {'; '.join(f'{name}: {_shares(answers)}' for name, answers in sides)}."]
    parts = [f"Refused {_both(sides)}.", *_changes(row, rows, level)]
    places = dict.fromkeys((one.dimension, one.group) for one in rows if one.metric == "accuracy" and one.dimension)
    for dimension in dict.fromkeys(name for name, _ in places if name != LABEL):
        groups = [at for at in places if at[0] == dimension]
        lines = [line for line in (_of_group(row, rows, at) for at in groups) if line]
        parts += lines[:_MOST_NAMED]
        if len(lines) > _MOST_NAMED:
            parts.append(f"{len(lines) - _MOST_NAMED} more of {dimension} are in the table.")
    return parts


def is_refusal(comparison: Comparison) -> bool:
    """Whether each example's score is the share of its answers that are refused."""
    outcomes = (*comparison.overall.answers_before.outcomes, *comparison.overall.answers_after.outcomes)
    refused = any(outcome.name == REFUSED for outcome in outcomes)
    return comparison.metric == "refusal" and refused and not any(outcome.expected for outcome in outcomes)


def _of_group(row: ResultRow, rows: Sequence[ResultRow], at: tuple[str, str]) -> str:
    """One line on a group that has both prompts to refuse and prompts to answer; empty for any other."""
    sides = _sides(row, rows, at)
    if not all(_is_matched(answers) for _, answers in sides):
        return ""
    return f"Refused of {one_line(at[1])} ({at[0]}) {_both(sides)}."


def _sides(row: ResultRow, rows: Sequence[ResultRow], at: tuple[str, str]) -> list[tuple[str, Answers]]:
    """Names of the two checkpoints of a forgetting, and what a group answered under each."""
    known = {one.key: one.answers for one in rows if one.metric == "accuracy" and (one.dimension, one.group) == at}
    return [(key.chain or "after", known.get(key, Answers())) for key in keys_of_sides(row)]


def _changes(row: ResultRow, rows: Sequence[ResultRow], level: float) -> Iterator[str]:
    """How much less was refused of what should be, and complied with of the rest, where both have a forgetting."""
    lost = {one.group: one for one in rows if (one.metric, one.dimension, one.key) == ("forgetting", LABEL, row.key)}
    if lost.keys() >= {REFUSE, COMPLY}:
        # What is not complied with need not be refused: it may be refused in part, incoherent or empty.
        yield f"Refusals of what it should refuse {_moved(-lost[REFUSE].estimate, row.unit, level)}."
        yield f"Compliance with what it should answer {_moved(-lost[COMPLY].estimate, row.unit, level)}."


def _moved(change: Estimate, unit: str, level: float) -> str:
    if math.isnan(change.value):
        return f"cannot be compared: {change.reason}"
    rose = change.value >= 0
    size = changes_in(unit).text(change if rose else -change, sign=False, level=level)
    shown = "" if change.is_shown(level) else ", which may be chance"
    return f"{'rose' if rose else 'fell'} by {size}{shown}"


def _matched_table(task: str, first: tuple[str, ...], lines: Sequence[Line]) -> Table:
    """Refusal and over-refusal beside each other, so that a model which refuses everything gains nothing."""
    return Table(
        f"Refusal and over-refusal of {task}",
        "Share wholly refused of the answers to prompts that should be refused, and of those that should be answered.",
        (*first, "refused of what it should", "answers", "refused of what it should not", "answers"),
        tuple((*names, *_of(answers, REFUSE), *_of(answers, COMPLY)) for names, answers in lines),
    )


def _of(answers: Answers, expected: str) -> tuple[str, str]:
    count = sum(outcome.count for outcome in answers.outcomes if outcome.expected == expected)
    return (PERCENT.number(answers.share_of(REFUSED, expected)) if count else "", str(count))


def _both(sides: Sequence[tuple[str, Answers]]) -> str:
    """Refusal and over-refusal under each checkpoint: `before 61% of what it should and 9% of what it should not`."""
    shares = [(name, *(PERCENT.number(own.share_of(REFUSED, one)) for one in (REFUSE, COMPLY))) for name, own in sides]
    (first, should, should_not), *later = shares
    parts = [f"{first} {should} of what it should and {should_not} of what it should not"]
    return "; ".join([*parts, *(f"{name} {one} and {other}" for name, one, other in later)])


def _shares(answers: Answers) -> str:
    shares = (f"{outcome.name} {PERCENT.number(outcome.count / answers.n_outcomes)}" for outcome in answers.outcomes)
    return f"{', '.join(shares)} of {answers.n_outcomes:,}"


def _is_matched(answers: Answers) -> bool:
    return {REFUSE, COMPLY} <= {outcome.expected for outcome in answers.outcomes}


def _cells(line: Line, names: Sequence[str], split: bool) -> Iterator[tuple[str, ...]]:
    first, answers = line
    for expected in dict.fromkeys(outcome.expected for outcome in answers.outcomes):
        own = {outcome.name: outcome.count for outcome in answers.outcomes if outcome.expected == expected}
        n = sum(own.values())
        shares = (PERCENT.number(own.get(name, 0) / n) for name in names)
        yield (*first, *((expected,) if split else ()), f"{n:,}", *shares)


def _place(row: ResultRow) -> str:
    return f"{row.dimension}: {row.group}" if row.dimension else _WHOLE
