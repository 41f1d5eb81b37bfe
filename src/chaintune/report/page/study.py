"""The page of a study, from the folder of its run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.forgetting.recommend import USUAL
from chaintune.records import Limits, ResultRow, Task
from chaintune.records.figures import Figure
from chaintune.report.page.content import Page
from chaintune.report.page.facts import ASSUMPTIONS, study_facts
from chaintune.report.page.findings import by_heading, findings, minimum_detectable
from chaintune.report.page.flips import examples_data
from chaintune.report.page.steps import study_steps
from chaintune.report.tables import study_tables
from chaintune.report.words import definition, paragraphs


def study_page(
    folder: Path,
    rows: Sequence[ResultRow],
    *,
    provenance: Mapping[str, Any],
    tasks: Mapping[str, Task],
    figures: Sequence[Figure],
    limits: Limits = USUAL,
    level: float,
) -> Page:
    """The page of a finished run.

    Args:
        folder: of the run.
        rows: of its results.
        provenance: as `provenance.json` holds it.
        tasks: name -> task, for the texts of its examples; only those whose test examples are the ones scored count.
        figures: of the study.
        limits: what a recommended dose has to reach.
        level: of the intervals; one minus it is the error rate of what is called shown.
    """
    known = {
        name: {example.id: example for example in task.test}
        for name, task in tasks.items()
        if task.test_digest == provenance["tasks"].get(name, {}).get("test_digest")
    }
    resolved = folder / "study.resolved.yaml"
    return Page(
        title=f"Forgetting in the study {provenance['study']}",
        subtitle=_subtitle(provenance),
        findings=findings(rows),
        answer=by_heading(paragraphs(rows, limits, level=level)),
        unseen=minimum_detectable(rows),
        definition=definition(rows),
        figures=tuple(figures),
        tables=tuple(study_tables(rows, limits, level=level)),
        examples=examples_data(study_steps(folder, rows), known),
        facts=study_facts(provenance, resolved.read_text(encoding="utf-8") if resolved.is_file() else ""),
        assumptions=ASSUMPTIONS,
    )


def _subtitle(provenance: Mapping[str, Any]) -> str:
    """`smollm2-135m; bbq, csqa; 1 seed; 23 November 2026` in the words of the provenance."""
    seeds = len(provenance["seeds"])
    parts = [
        ", ".join(provenance["bases"]),
        ", ".join(f"{name} ({task['role']})" for name, task in provenance["tasks"].items()),
        f"{seeds} seed{'' if seeds == 1 else 's'}",
        str(provenance["written_at"])[:10],
    ]
    return " · ".join(parts)
