"""A study's results as one Markdown page."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from chaintune.forgetting.recommend import USUAL
from chaintune.records import Limits, ResultRow
from chaintune.report.tables import Table, study_tables
from chaintune.report.words import paragraphs

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def markdown(
    rows: Sequence[ResultRow],
    *,
    title: str,
    provenance: Mapping[str, Any] | None = None,
    limits: Limits = USUAL,
    level: float,
) -> str:
    """The report: what was found in words, then every table, then where it comes from.

    Args:
        rows: of a study.
        title: heading of the page.
        provenance: command, versions, tasks, as `provenance.json` holds them.
        limits: what a recommended dose has to reach.
        level: of the intervals; one minus it is the error rate of what is called shown.
    """
    parts = [f"# {escape(title)}", *(escape(paragraph.text) for paragraph in paragraphs(rows, limits, level=level))]
    parts += [table_markdown(table) for table in study_tables(rows, limits, level=level)]
    if provenance:
        parts.append(_provenance(provenance))
    return "\n\n".join(parts) + "\n"


def table_markdown(table: Table) -> str:
    """A table with its title and note."""
    lines = [_line(table.header), _line(["---"] * len(table.header)), *(_line(row) for row in table.rows)]
    return "\n\n".join(filter(None, (f"## {escape(table.title)}", escape(table.note), "\n".join(lines))))


def escape(text: str) -> str:
    """Text from data, so that no Markdown reader takes any of it for markup."""
    for mark in "\\`*[]<|":
        text = text.replace(mark, f"\\{mark}")
    return visible(text).replace("\n", " ")


def visible(text: str) -> str:
    """Text from data without characters that a terminal would take for a command."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell if cell == "---" else escape(cell) for cell in cells) + " |"


def _provenance(provenance: Mapping[str, Any]) -> str:
    packages = provenance["packages"]
    named = ", ".join(f"{name} {packages[name]}" for name in ("chaintune", "torch", "transformers") if name in packages)
    lines = [
        "## Where this comes from",
        f"- command: `{' '.join(provenance['command'])}`",
        f"- written {provenance['written_at']} with {named}",
        f"- on Python {provenance['python']}, {escape(provenance['platform'])}",
        f"- precision {', '.join(provenance['precision'])}; seeds {', '.join(map(str, provenance['seeds']))}",
    ]
    for name, task in provenance["tasks"].items():
        sizes = f"{task['train_examples']} to train, {task['test_examples']} to test"
        lines.append(f"- {escape(name)}: {sizes}; {escape(task['source'])}; licence {escape(task['licence'])}")
    return "\n".join(lines)
