"""The verdict on each task, the answer in words, and what could not have been seen: the top of the page."""

import math
from collections.abc import Sequence
from statistics import median

from chaintune.errors import number_of
from chaintune.records import ResultRow
from chaintune.records.scales import changes_in, units_in_words
from chaintune.report.cells import Table, checkpoint_columns
from chaintune.report.forgetting_words import Paragraph
from chaintune.report.page.content import Finding

_HEADINGS = {
    "forgotten": "What was forgotten, and for whom",
    "order": "Does the order matter?",
    "variant": "Does the variant matter?",
    "brought back": "What brings it back, at what price",
    "sure": "How sure this is",
}


def findings(plain: Sequence[ResultRow]) -> tuple[Finding, ...]:
    """One for each task of each chain that another followed; mitigated chains have figures of their own."""
    lost = [row for row in plain if row.metric == "forgetting" and row.is_whole]
    limits = {row.key: row for row in plain if row.metric == "detectable_forgetting" and row.is_whole}
    several = len({row.base for row in lost}) > 1
    return tuple(
        Finding(
            about=_about(row, several),
            verdict=row.verdict,
            change=_change(row),
            scope=_scope(row),
            detectable=_detectable(limits.get(row.key)),
            reason=row.verdict_reason,
        )
        for row in lost
    )


def by_heading(paragraphs: Sequence[Paragraph]) -> tuple[tuple[str, tuple[Paragraph, ...]], ...]:
    """The paragraphs under a heading for each topic that there is."""
    parts = [(heading, tuple(one for one in paragraphs if one.topic == topic)) for topic, heading in _HEADINGS.items()]
    return tuple(part for part in parts if part[1])


def minimum_detectable(plain: Sequence[ResultRow]) -> Table:
    """The smallest changes that data like these show, of each whole task and of its groups."""
    known = [
        row
        for row in plain
        if row.metric == ("detectable_biased_forgetting" if row.dimension else "detectable_forgetting")
    ]
    names, cells_of = checkpoint_columns(known, "after")
    of_chains = int(any(row.chain for row in known))
    limits: dict[tuple[str, ...], list[ResultRow]] = {}
    for row in known:
        limits.setdefault((row.task, *cells_of(row)[1 - of_chains :], row.dimension), []).append(row)
    unit = units_in_words(row.unit for several_rows in limits.values() for row in several_rows)
    note = (
        f"Minimum detectable difference at a power of 80 %, in {unit}: of the whole task its forgetting, of groups "
        "their biased forgetting, where the median group stands for its dimension. What is smaller may be there and "
        "was most likely not seen."
    )
    return Table(
        "What could not have been detected",
        note,
        ("task", *names[1 - of_chains :], "of", "minimum detectable", "groups", "too small to judge"),
        tuple((*about, *_unseen_cells(dimension, several)) for (*about, dimension), several in limits.items()),
    )


def _unseen_cells(dimension: str, rows: Sequence[ResultRow]) -> tuple[str, ...]:
    known = [row.estimate.value for row in rows if not math.isnan(row.estimate.value)]
    smallest = changes_in(rows[0].unit).number(median(known), named=True).lstrip("+") if known else "none"
    if not dimension:
        return ("the whole", smallest, "", "")
    return (dimension, smallest, str(len(rows)), str(len(rows) - len(known)))


def _about(row: ResultRow, several_bases: bool) -> str:
    beside = ", ".join(filter(None, (row.base if several_bases else "", row.variant)))
    after = f" after {row.chain}" if row.chain else ""
    return f"{row.task}{after}" + (f" ({beside})" if beside else "")


def _change(row: ResultRow) -> str:
    scale = changes_in(row.unit)
    return "undefined" if math.isnan(row.estimate.value) else scale.with_unit(scale.short(row.estimate))


def _scope(row: ResultRow) -> str:
    estimate = row.estimate
    parts = [number_of(estimate.n, "example"), number_of(estimate.n_clusters, "cluster")]
    seeds = [number_of(estimate.n_seeds, "seed")] if row.chain else []  # two checkpoints alone have none
    return ", ".join([*parts, *seeds])


def _detectable(limit: ResultRow | None) -> str:
    if limit is None:
        return "not known"
    value = limit.estimate.value
    return "none: too few data" if math.isnan(value) else changes_in(limit.unit).size(value)
