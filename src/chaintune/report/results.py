"""What a report is made of: the rows of a study or of comparisons, and what is known beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from chaintune.forgetting.recommend import USUAL
from chaintune.records import Comparison, Gate, Limits, ResultRow, Series, pooled
from chaintune.records.checkpoint import named_variant
from chaintune.records.results import VARIANT_METRICS


@dataclass(frozen=True)
class Results:
    """A study or comparisons; a report of either has the sections that there are data for.

    Attributes:
        title: heading of the report.
        rows: of the study, or of every comparison.
        level: of the intervals; one minus it is the error rate of what is called shown.
        limits: what a recommended dose has to reach.
        comparisons: one a task, or one a task and pair of a series; none of a study.
        gate: what a policy says of the comparisons.
        provenance: as `provenance.json` holds it; empty of comparisons.
        command: that made the results, as it was typed.
        folder: of the study's run, with its files beside the results; None without one.
        variant: the only one of the study that is shown; empty where all are.
    """

    title: str
    rows: Sequence[ResultRow]
    level: float
    limits: Limits = USUAL
    comparisons: Sequence[Comparison] = ()
    gate: Gate | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    command: Sequence[str] = ()
    folder: Path | None = None
    variant: str = ""

    @classmethod
    def of(
        cls, comparisons: Sequence[Comparison], gate: Gate | None = None, *, command: Sequence[str] = ()
    ) -> "Results":
        """The results of comparisons, one a task, or one a task and pair of a series, all at one level."""
        rows = tuple(row for one in comparisons for row in one.named_rows)
        level = comparisons[0].level if comparisons else 0.95
        return cls(_title(comparisons), rows, level, comparisons=comparisons, gate=gate, command=command)

    def of_variant(self, part: str) -> "Results":
        """The same of the one variant with this in its name, which the title names and nothing else.

        Raises:
            ConfigError: no variant or several have it in their name; the message lists them.
        """
        name = named_variant(part, (row.variant for row in self.rows if row.metric == "accuracy"))
        own = [replace(row, variant="") for row in self.rows if row.variant in ("", name)]
        rows = [row for row in own if row.metric not in VARIANT_METRICS]
        return replace(self, title=f"{self.title}: {name}", rows=rows, variant=name)

    @cached_property
    def series(self) -> Series | None:
        """The comparisons as a series, where they are of more than two checkpoints."""
        return Series(tuple(self.comparisons)) if any(one.end for one in self.comparisons) else None

    @cached_property
    def leading(self) -> "Results":
        """The same, of a series with the comparisons of the first checkpoint and the last, or of all rivals, alone."""
        if self.series is None:
            return self
        own = Results.of(self.series.at(self.series.whole), self.gate, command=self.command)
        return replace(own, title=self.title)

    @property
    def parts(self) -> "list[Results]":
        """Each task's comparisons, or the whole study; without the gate, and with each kind of caution once."""
        if not self.comparisons:
            return [self]
        earlier: set[str] = set()
        parts: dict[str, list[Comparison]] = {}
        for one in self.comparisons:
            new = {kind: text for kind, text in one.cautions.items() if kind not in earlier}
            earlier |= new.keys()
            parts.setdefault(one.task, []).append(replace(one, cautions=new))
        return [Results.of(several) for several in parts.values()]

    @cached_property
    def shown(self) -> list[ResultRow]:
        """Rows of all seeds together where there are several, else of the one seed; variants of a chain together."""
        rows = pooled(self.rows)
        if not any(row.variant for row in rows):
            return rows
        places = {place: number for number, place in enumerate(dict.fromkeys((row.base, row.chain) for row in rows))}
        return sorted(rows, key=lambda row: places[row.base, row.chain])

    @cached_property
    def plain(self) -> list[ResultRow]:
        """Those of `shown` that are not about mitigated checkpoints."""
        return without_mitigated(self.shown)


def _title(comparisons: Sequence[Comparison]) -> str:
    where = "between two checkpoints"
    if any(one.end for one in comparisons):
        series = Series(tuple(comparisons))
        first, *others = series.names
        where = (
            f"of {', '.join(others)} against {first}" if series.against_first else f"along {', '.join(series.names)}"
        )
    return f"Forgetting {where}: {', '.join(dict.fromkeys(one.task for one in comparisons))}"


def without_mitigated(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The rows but those about mitigated checkpoints."""
    mitigated = {(one.base, one.chain, one.variant) for one in rows if one.mitigation}
    return [row for row in rows if (row.base, row.chain, row.variant) not in mitigated]
