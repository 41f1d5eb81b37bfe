"""Results as one Markdown page."""

from collections.abc import Mapping, Sequence
from typing import Any

from chaintune.errors import visible
from chaintune.report.cells import Table
from chaintune.report.external import external_lines, external_stages
from chaintune.report.gate import gate_sentence, gate_table
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from chaintune.report.words import paragraphs


def markdown(results: Results) -> str:
    """The report: results in words, then every table, then where they come from.

    Of comparisons, which go into a pull request, there is no title, and what a policy says comes first.
    """
    parts = [] if results.comparisons else [f"# {escape(results.title)}"]
    if results.gate:
        parts += [f"**{gate_sentence(results.gate)}**", table_markdown(gate_table(results.gate))]
    for part in results.parts:
        for paragraph in paragraphs(part):
            parts += [escape(paragraph.head), "\n".join(f"- {escape(point)}" for point in paragraph.points)]
        parts += [table_markdown(table) for table in result_tables(part)]
    if results.provenance:
        parts.append(_provenance(results.provenance))
    return "\n\n".join(filter(None, parts)) + "\n"


def table_markdown(table: Table) -> str:
    """A table with its title and note."""
    lines = [_line(table.header), _line(["---"] * len(table.header)), *(_line(row) for row in table.rows)]
    return "\n\n".join(filter(None, (f"## {escape(table.title)}", escape(table.note), "\n".join(lines))))


def escape(text: str) -> str:
    """Text from data, so that no Markdown reader takes any of it for markup."""
    for mark in "\\`*[]<|":
        text = text.replace(mark, f"\\{mark}")
    return visible(text).replace("\n", " ")


def code(text: str) -> str:
    """Text from data as code, on one line."""
    return f"`{visible(text).replace('`', '').replace(chr(10), ' ')}`"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell if cell == "---" else escape(cell) for cell in cells) + " |"


def _provenance(provenance: Mapping[str, Any]) -> str:
    packages = provenance["packages"]
    named = ", ".join(f"{name} {packages[name]}" for name in ("chaintune", "torch", "transformers") if name in packages)
    lines = [
        "## Where this comes from",
        f"- command: {code(' '.join(provenance['command']))}",
        *map(
            escape,
            (
                f"- written {provenance['written_at']} with {named}",
                f"- on Python {provenance['python']}, {provenance['platform']}",
                f"- precision {', '.join(provenance['precision'])}; seeds {', '.join(map(str, provenance['seeds']))}",
            ),
        ),
    ]
    for name, task in provenance["tasks"].items():
        sizes = f"{task['train_examples']} to train, {task['test_examples']} to test"
        lines.append(f"- {escape(name)}: {sizes}; {escape(task['source'])}; licence {escape(task['licence'])}")
    for label, about in external_stages(provenance).items():
        lines.append(f"- stage {escape(label)}: {escape('; '.join(external_lines(about)))}")
    return "\n".join(lines)
