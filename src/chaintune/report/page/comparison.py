"""The page of two checkpoints compared."""

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from chaintune.records import Comparison, Gate, Metric, Task
from chaintune.records.figures import Figure
from chaintune.report.comparison import comparison_tables
from chaintune.report.gate import gate_sentence, gate_table
from chaintune.report.page.content import Page
from chaintune.report.page.facts import comparison_facts
from chaintune.report.page.findings import by_heading, findings, minimum_detectable
from chaintune.report.page.flips import Step, examples_data
from chaintune.report.words import Paragraph, comparison_text, definition


def comparison_page(
    comparisons: Sequence[Comparison],
    *,
    figures: Sequence[Figure],
    steps: Iterable[Step] = (),
    tasks: Mapping[str, Task] | None = None,
    gate: Gate | None = None,
    command: Sequence[str] = (),
) -> Page:
    """The page of a comparison or an audit.

    Args:
        comparisons: one a task.
        figures: of the comparisons.
        steps: both sides' scores of each task, for the items that flipped.
        tasks: name -> task, where the texts of the examples are known.
        gate: what a policy says.
        command: as it was typed.
    """
    names = ", ".join(one.task for one in comparisons)
    tables = [table for one in comparisons for table in comparison_tables(one)]
    texts = {name: {example.id: example for example in task.test} for name, task in (tasks or {}).items()}
    rows = [row for one in comparisons for row in one.rows]
    answer = [Paragraph("forgotten", gate_sentence(gate))] if gate else []
    answer += [Paragraph("forgotten", "", comparison_text(one)) for one in comparisons]
    return Page(
        title=f"Forgetting between two checkpoints: {names}",
        subtitle=" · ".join(f"{one.task}, {one.overall.forgetting.n:,} examples" for one in comparisons),
        findings=findings(rows),
        answer=by_heading(answer),
        unseen=minimum_detectable(rows),
        definition=definition(rows),
        figures=tuple(figures),
        tables=tuple([gate_table(gate), *tables] if gate else tables),
        examples=examples_data(steps, texts, metric=_metric(comparisons)),
        facts=comparison_facts(comparisons, command),
    )


def _metric(comparisons: Sequence[Comparison]) -> Metric:
    """By which answers of our own scores count as right; other logs hold scores alone."""
    return next((name for name in get_args(Metric) for one in comparisons if one.metric == name), "accuracy")
