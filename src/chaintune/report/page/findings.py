"""The verdict on each task, the answer in words, and what could not have been seen: the top of the page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from chaintune.records import Comparison, Estimate, ResultRow, pooled
from chaintune.report.cells import Table, interval
from chaintune.report.mitigations import without_mitigated
from chaintune.report.page.content import Finding
from chaintune.report.words import Said

_HEADINGS = {
    "forgotten": "What was forgotten, and for whom",
    "order": "Does the order matter?",
    "brought back": "What brings it back, at what price",
    "sure": "How sure this is",
}


def study_findings(rows: Sequence[ResultRow]) -> tuple[Finding, ...]:
    """One finding for each task of each chain that another followed; mitigated chains have figures of their own."""
    plain = without_mitigated(pooled(rows))
    lost = [row for row in plain if row.metric == "forgetting" and not row.dimension]
    limits = {row.key: row.estimate for row in plain if row.metric == "detectable_forgetting" and not row.dimension}
    several = len({row.base for row in lost}) > 1
    return tuple(
        Finding(
            about=_about(row, several),
            verdict=row.verdict,
            change=_change(row.estimate),
            scope=_scope(row.estimate),
            detectable=_detectable(limits.get(row.key)),
        )
        for row in lost
    )


def comparison_findings(comparisons: Sequence[Comparison]) -> tuple[Finding, ...]:
    """One finding a task."""
    return tuple(
        Finding(
            about=found.task,
            verdict=found.overall.verdict,
            change=_change(found.overall.forgetting),
            scope=_scope(found.overall.forgetting),
            detectable=_detectable(Estimate(found.overall.detectable_forgetting)),
        )
        for found in comparisons
    )


def by_heading(paragraphs: Sequence[Said]) -> tuple[tuple[str, tuple[Said, ...]], ...]:
    """The paragraphs under a heading for each topic that there is."""
    found = [
        (heading, tuple(said for said in paragraphs if said.topic == topic)) for topic, heading in _HEADINGS.items()
    ]
    return tuple(part for part in found if part[1])


def study_unseen(rows: Sequence[ResultRow]) -> Table:
    """The smallest changes that a study would have shown, of each whole task and of its groups."""
    plain = without_mitigated(pooled(rows))
    several = len({row.base for row in plain}) > 1
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in plain:
        if row.metric == ("detectable_biased_forgetting" if row.dimension else "detectable_forgetting"):
            found.setdefault((_about(row, several), row.dimension, row.metric), []).append(row.estimate.value)
    return _unseen({(about, dimension): limits for (about, dimension, _), limits in found.items()})


def comparison_unseen(comparisons: Sequence[Comparison]) -> Table:
    """The smallest changes that a comparison would have shown, of each whole task and of its groups."""
    found: dict[tuple[str, str], list[float]] = {}
    for one in comparisons:
        found[one.task, ""] = [one.overall.detectable_forgetting]
        for group in one.groups:
            found.setdefault((one.task, group.dimension), []).append(group.detectable_biased_forgetting)
    return _unseen(found)


def _unseen(found: Mapping[tuple[str, str], Sequence[float]]) -> Table:
    note = (
        "The smallest true change that data like these show in four cases out of five, in percentage points: of the "
        "whole task its forgetting, of groups their biased forgetting, where the median group stands for its "
        "dimension. What is smaller may be there and was most likely not seen."
    )
    return Table(
        "What could not have been detected",
        note,
        ("task", "of", "smallest change", "groups", "too small to judge"),
        tuple(_unseen_row(about, dimension, limits) for (about, dimension), limits in found.items()),
    )


def _unseen_row(about: str, dimension: str, limits: Iterable[float]) -> tuple[str, ...]:
    every = list(limits)
    known = [limit for limit in every if not math.isnan(limit)]
    smallest = f"{100 * median(known):.1f}" if known else "none would show"
    if not dimension:
        return (about, "the whole", smallest, "", "")
    return (about, dimension, smallest, str(len(every)), str(len(every) - len(known)))


def _about(row: ResultRow, several_bases: bool) -> str:
    beside = ", ".join(filter(None, (row.base if several_bases else "", row.variant)))
    return f"{row.task} after {row.chain}" + (f" ({beside})" if beside else "")


def _change(estimate: Estimate) -> str:
    return "undefined" if math.isnan(estimate.value) else f"{interval(estimate)} points"


def _scope(estimate: Estimate) -> str:
    parts = [_count(estimate.n, "example"), _count(estimate.n_clusters, "cluster"), _count(estimate.n_seeds, "seed")]
    return ", ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _detectable(limit: Estimate | None) -> str:
    if limit is None:
        return "not known"
    return "none: too few data" if math.isnan(limit.value) else f"{100 * limit.value:.1f} points"
