"""The report of an audit: Markdown, JSON, one HTML page, and its figures as files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from chaintune.records import Audit, Task
from chaintune.report.comparison import comparison_json, comparison_markdown
from chaintune.report.figures import comparison_figures, save
from chaintune.report.folder import PAGE, write_whole
from chaintune.report.page import Step, comparison_page, render


def write_audit_report(
    audited: Audit, folder: Path, *, tasks: Mapping[str, Task] | None = None, command: Sequence[str] = ()
) -> None:
    """Write `report.md`, `comparison.json`, `report.html` and `figures/` into a folder, each file whole or not at all.

    Args:
        audited: what was found.
        folder: which is there.
        tasks: name -> task, whose texts stand beside the examples on the page; without them ids do.
        command: as it was typed.
    """
    gate, comparisons = audited.gate, audited.comparisons
    write_whole(folder / "report.md", comparison_markdown(comparisons, gate))
    write_whole(folder / "comparison.json", comparison_json(comparisons, gate.to_dict() if gate else None) + "\n")
    figures = comparison_figures(comparisons)
    steps = [Step(task, before, audited.after[task]) for task, before in audited.before.items()]
    page = comparison_page(comparisons, figures=figures, steps=steps, tasks=tasks, gate=gate, command=command)
    write_whole(folder / PAGE, render(page, save(figures, folder / "figures")))
