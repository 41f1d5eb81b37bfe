"""The page of a study or of comparisons: the sections that there are data for."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, get_args

from chaintune.errors import number_of
from chaintune.records import Comparison, Figure, Metric, Task
from chaintune.report.page.content import Page
from chaintune.report.page.facts import ASSUMPTIONS, facts
from chaintune.report.page.findings import by_heading, findings, minimum_detectable
from chaintune.report.page.flips import examples_data
from chaintune.report.page.items import Step
from chaintune.report.page.steps import run_steps
from chaintune.report.page.written import written_data
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from chaintune.report.words import definition, paragraphs


def results_page(
    results: Results,
    *,
    figures: Sequence[Figure] = (),
    steps: Iterable[Step] = (),
    tasks: Mapping[str, Task] | None = None,
) -> Page:
    """The page of results.

    Args:
        results: of a study or of comparisons.
        figures: of the results.
        steps: scores of both sides, for the items that flipped and what was written; those of a run's folder are read
            from there.
        tasks: name -> task, for the texts of its examples; of a study only those whose test examples were scored.
    """
    scored = results.provenance.get("tasks", {})
    texts = {
        name: {example.id: example for example in task.test}
        for name, task in (tasks or {}).items()
        if not results.provenance or task.test_digest == scored.get(name, {}).get("test_digest")
    }
    given = list(steps)
    flipped = (step for step in chain(given, run_steps(results, written=False)) if not step.is_written)
    return Page(
        title=results.title,
        subtitle=_subtitle(results),
        findings=findings(results.leading.plain),
        answer=by_heading(paragraphs(results)),
        unseen=minimum_detectable(results.leading.plain),
        definition=definition(results.shown),
        figures=tuple(figures),
        tables=tuple(result_tables(results)),
        examples=examples_data(flipped, texts, metric=_metric(results.comparisons)),
        written=written_data(chain(given, run_steps(results, written=True)), texts),
        facts=facts(results),
        assumptions=ASSUMPTIONS if results.provenance else "",
    )


def _metric(comparisons: Sequence[Comparison]) -> Metric | None:
    """The item metric of comparisons of our own scores; None for studies, whose scores name theirs."""
    if not comparisons:
        return None
    return next((name for name in get_args(Metric) for one in comparisons if one.metric == name), "accuracy")


def _subtitle(results: Results) -> str:
    """`smollm2-135m · bbq, csqa · 1 seed · 2026-11-23` of a study, `bbq, 440 examples` of a comparison."""
    sizes = {one.task: number_of(one.overall.forgetting.n, "example") for one in results.comparisons}
    compared = [f"{task}, {size}" for task, size in sizes.items()]
    return " · ".join([*compared, *(_run(results.provenance) if results.provenance else [])])


def _run(provenance: Mapping[str, Any]) -> list[str]:
    return [
        ", ".join(provenance["bases"]),
        ", ".join(f"{name} ({task['role']})" for name, task in provenance["tasks"].items()),
        number_of(len(provenance["seeds"]), "seed"),
        str(provenance["written_at"])[:10],
    ]
