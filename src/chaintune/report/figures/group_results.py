"""What figures of groups are made of, from a study's rows and from comparisons alike."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaintune.records import Comparison, Estimate, GroupComparison, ResultRow, RowKey, Verdict
from chaintune.report.cells import checkpoint
from chaintune.report.words import overall, verdict_sentence

Statistic = tuple[RowKey, str, str, str]


@dataclass(frozen=True, slots=True)
class Member:
    """One group.

    Attributes:
        group: its name.
        forgetting, biased: of the group; biased is undefined where it was not measured.
        verdict: on the forgetting.
        detectable, detectable_biased: smallest true value that data like these show in four cases out of five; NaN for
            none.
    """

    group: str
    forgetting: Estimate
    biased: Estimate
    verdict: Verdict
    detectable: float
    detectable_biased: float


@dataclass(frozen=True, slots=True)
class Place:
    """The groups of one dimension of one task under two checkpoints.

    Attributes:
        task, dimension: of the groups.
        checkpoint: the later one, in words; empty where there is but one pair.
        tag: what of that the figure's name needs; empty where this place is the task's only one.
        whole: forgetting of the task.
        said: one sentence about the whole task, as its verdict allows.
        reference: what biased forgetting is relative to, in words.
        error_rate: of what is called shown.
        members: the groups.
    """

    task: str
    dimension: str
    checkpoint: str
    tag: str
    whole: Estimate
    said: str
    reference: str
    error_rate: float
    members: tuple[Member, ...]

    @property
    def where(self) -> str:
        """For titles: `bbq by category, bbq>csqa`."""
        return f"{self.task} by {self.dimension}" + (f", {self.checkpoint}" if self.checkpoint else "")


def places_of_rows(rows: Sequence[ResultRow], error_rate: float = 0.05) -> list[Place]:
    """Of a study: one for each task that a checkpoint may have forgotten, and each dimension of its groups.

    Args:
        rows: of all seeds together where there are several, else of the one seed; without mitigated checkpoints.
        error_rate: of what is called shown.
    """
    lost = [row for row in rows if row.metric == "forgetting"]
    found: dict[tuple[RowKey, str], list[ResultRow]] = {}
    for row in lost:
        if row.dimension:
            found.setdefault((row.key, row.dimension), []).append(row)
    beside = {(row.key, row.metric, row.dimension, row.group): row.estimate for row in rows}
    wholes = {row.key: row for row in lost if not row.dimension}
    return [_place(members, wholes[members[0].key], beside, lost, error_rate) for members in found.values()]


def places_of(comparison: Comparison) -> list[Place]:
    """Of a comparison: one for each dimension of its groups."""
    said = f"{comparison.task}: {verdict_sentence(comparison.overall, comparison.margin)}"
    reference = "the whole" if comparison.reference == "overall" else "the rest"
    found: dict[str, list[GroupComparison]] = {}
    for row in comparison.groups:
        found.setdefault(row.dimension, []).append(row)
    return [
        Place(
            comparison.task,
            dimension,
            "",
            "",
            comparison.overall.forgetting,
            said,
            reference,
            1 - comparison.level,
            tuple(map(_compared, rows)),
        )
        for dimension, rows in found.items()
    ]


def kept_in_view(members: Iterable[Member], most: int, error_rate: float) -> list[Member]:
    """Of many groups those that differ from the whole, then those with the most clusters.

    The largest values are no criterion: among many small groups they are chance.
    """

    def rank(member: Member) -> tuple[bool, bool, int, int, str]:
        differs = member.biased.p_adjusted <= error_rate or member.verdict in {"forgot", "gained"}
        known = not math.isnan(member.forgetting.value)
        return (not differs, not known, -member.forgetting.n_clusters, -member.forgetting.n, member.group)

    return sorted(members, key=rank)[:most]


def _place(
    members: Sequence[ResultRow],
    whole: ResultRow,
    beside: Mapping[Statistic, Estimate],
    lost: Sequence[ResultRow],
    error_rate: float,
) -> Place:
    pairs = {row.key for row in lost if row.dimension and row.task == whole.task}
    return Place(
        whole.task,
        members[0].dimension,
        checkpoint(whole, lost),
        checkpoint(whole, lost) if len(pairs) > 1 else "",
        whole.estimate,
        overall(whole),
        "the whole",
        error_rate,
        tuple(_member(row, beside) for row in members),
    )


def _member(row: ResultRow, beside: Mapping[Statistic, Estimate]) -> Member:
    def of(metric: str) -> Estimate:
        return beside.get((row.key, metric, row.dimension, row.group), Estimate.undefined("not measured"))

    limits = (of(f"detectable_{name}").value for name in ("forgetting", "biased_forgetting"))
    return Member(row.group, row.estimate, of("biased_forgetting"), row.verdict or "inconclusive", *limits)


def _compared(row: GroupComparison) -> Member:
    return Member(
        row.group,
        row.forgetting,
        row.biased_forgetting,
        row.verdict,
        row.detectable_forgetting,
        row.detectable_biased_forgetting,
    )
