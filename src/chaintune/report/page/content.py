"""What a page is made of, before it is HTML: everything in it is text, none of it is markup."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chaintune.records import Verdict
from chaintune.records.figures import Figure
from chaintune.report.cells import Table
from chaintune.report.forgetting_words import Paragraph


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one task: one line at the top of the page.

    Attributes:
        about: the task and what was done after it was learned.
        verdict: empty where none is due.
        change: forgetting with its interval.
        scope: examples, clusters and seeds that it speaks about.
        detectable: minimum detectable difference at a power of 80 %, in words.
        reason: why the scores cannot show a loss; empty where they can.
    """

    about: str
    verdict: Verdict | str
    change: str
    scope: str
    detectable: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of provenance: a name and what belongs to it; `long` ones are folded away."""

    name: str
    values: tuple[str, ...]
    long: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A report before it is HTML.

    Attributes:
        title: heading of the page.
        subtitle: what was measured, in a line.
        findings: the verdict of each task.
        answer: the answer in plain words: a heading and its paragraphs, in reading order.
        definition: what a forgetting is, and in which unit.
        unseen: how large a change must be for data like these to show it.
        figures: in reading order.
        tables: every table that is not a figure's own.
        examples: items that flipped, as `flips.examples_data` makes them; empty where there are none to show.
        written: texts that were written, as `written.written_data` makes them; empty where there are none to show.
        facts: where the numbers come from.
        assumptions: what a reader should know was chosen by us.
    """

    title: str
    subtitle: str
    findings: tuple[Finding, ...]
    answer: tuple[tuple[str, tuple[Paragraph, ...]], ...]
    unseen: Table
    definition: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    examples: Mapping[str, Any] = field(default_factory=dict)
    written: Mapping[str, Any] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()
    assumptions: str = ""
