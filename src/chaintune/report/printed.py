"""What is printed of results: their first tables, the names of the others, and each sentence once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chaintune.report.cells import Table
from chaintune.report.closing import closing
from chaintune.report.forgetting_words import Paragraph
from chaintune.report.layout import POINT
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from chaintune.report.words import paragraphs

TableChoice = Literal["few", "all", "none"]

_MOST_LINES, _MOST_NAMED, _MOST_ALIKE = 24, 16, 4


@dataclass(frozen=True, slots=True)
class Printout:
    """What is printed of results.

    Attributes:
        tables: in reading order.
        others: names of the tables that are not among them.
        texts: paragraphs, without what the closing sentences say.
        closing: a sentence on each question that a study answers; none of comparisons.
    """

    tables: Sequence[Table]
    others: Sequence[str] = ()
    texts: Sequence[str] = ()
    closing: Sequence[str] = ()

    def others_line(self, where: str = "") -> str:
        """One line that names the other tables, and where else they stand; empty where there are none."""
        if not self.others:
            return ""
        more = len(self.others) - _MOST_NAMED
        names = "; ".join(self.others[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
        return f"Also {f'in {where}, and ' if where else ''}with --tables all: {names}."


def printout(results: Results, choice: TableChoice = "few") -> Printout:
    """What is printed of a study, or of one part of several comparisons.

    Args:
        results: of the study or of the part.
        choice: `few` leaves tables to the page, and of a long one its end; `none` leaves the sentences.
    """
    last = [] if results.comparisons else closing(results)
    told = [sentence.partition(": ")[2] for sentence in last]
    whole = choice == "all" or bool(results.comparisons)
    texts = [_without(text, told) for text in _texts(paragraphs(results), whole=whole)]
    return replace(chosen(result_tables(results), choice), texts=list(filter(None, texts)), closing=last)


def chosen(tables: Sequence[Table], choice: TableChoice) -> Printout:
    """Those of some tables that are printed, and the names of the others where some are."""
    if choice != "few":
        return Printout(tables if choice == "all" else ())
    first = [_shortened(table) for table in tables if table.first]
    return Printout(first, _names([table for table in tables if not table.first]))


def _texts(several: Sequence[Paragraph], *, whole: bool) -> list[str]:
    """The paragraphs, of each topic the first ones unless the whole is wanted."""
    texts, counts = list[str](), dict[str, int]()
    for one in several:
        counts[one.topic] = counts.get(one.topic, 0) + 1
        if whole or one.topic == "sure" or counts[one.topic] <= _MOST_ALIKE:
            texts.append("\n".join([one.head, *(f"{POINT}{point}" for point in one.points)]))
    left = sum(max(count - _MOST_ALIKE, 0) for topic, count in counts.items() if topic != "sure") * (not whole)
    return [*texts, f"{left} more paragraphs are in the report."] if left else texts


def _without(text: str, told: Sequence[str]) -> str:
    for sentence in told:
        text = text.replace(sentence, "").replace("  ", " ")
    lines = (line.rstrip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line not in ("", POINT.rstrip()))


def _shortened(table: Table) -> Table:
    left = len(table.rows) - _MOST_LINES
    if left <= 0:
        return table
    note = f"{table.note} {left} more lines are left out here."
    return replace(table, rows=table.rows[:_MOST_LINES], note=note.strip())


def _names(tables: Sequence[Table]) -> list[str]:
    """The titles; those that tell dimensions and checkpoints of one subject apart as one."""
    subjects: dict[str, dict[str, None]] = {}
    for table in tables:
        subject, _, rest = table.title.partition(": ")
        subjects.setdefault(subject, {})[rest.partition(", ")[0]] = None
    return [subject + (f" by {', '.join(own)}" if any(own) else "") for subject, own in subjects.items()]
