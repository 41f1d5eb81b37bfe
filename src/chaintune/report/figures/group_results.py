"""What figures of groups are made of: the results of the groups of a dimension."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaintune.records import Estimate, ResultRow, RowKey, Verdict
from chaintune.records.comparison import LOWER
from chaintune.records.scales import Scale, changes_in
from chaintune.report.cells import Beside, biased_only_note, checkpoint, joint_name, rows_beside
from chaintune.report.forgetting_words import reference_text
from chaintune.report.labels import slug
from chaintune.report.results import Results


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One group.

    Attributes:
        group: its name, with those of groups that have the very same examples.
        forgetting, biased: of the group; biased is undefined where it was not measured.
        verdict: on the forgetting.
        detectable, detectable_biased: minimum detectable difference at a power of 80 %; NaN for none.
        pooled: the best estimate of the forgetting; undefined where there is none.
    """

    group: str
    forgetting: Estimate
    biased: Estimate
    verdict: Verdict
    detectable: float
    detectable_biased: float
    pooled: Estimate

    @property
    def is_biased_only(self) -> bool:
        """Whether the group is held against the others, but has no forgetting and so no verdict of its own."""
        return math.isnan(self.forgetting.value) and not math.isnan(self.biased.value)


@dataclass(frozen=True, slots=True)
class GroupResults:
    """The groups of one dimension of one task under two checkpoints.

    Attributes:
        whole: row of the forgetting of the task.
        dimension: of the groups.
        checkpoint: the later one, in words; empty where there is but one pair.
        tag: what of that the figure's name needs; empty where these are the task's only ones.
        reference: what biased forgetting is relative to, in words.
        level: of the intervals; one minus it is the error rate of what is called shown.
        members: the groups.
        incomplete: whether scores are missing.
    """

    whole: ResultRow
    dimension: str
    checkpoint: str
    tag: str
    reference: str
    level: float
    members: tuple[GroupResult, ...]
    incomplete: bool = False

    @property
    def judged(self) -> tuple[GroupResult, ...]:
        """The groups that have a forgetting, or could have one with more examples."""
        return tuple(one for one in self.members if not one.is_biased_only)

    @property
    def biased_only(self) -> list[str]:
        """A sentence on the other groups; none where there are none."""
        return biased_only_note([one.group for one in self.members if one.is_biased_only])

    @property
    def scale(self) -> Scale:
        """Of a forgetting."""
        return changes_in(self.whole.unit)

    @property
    def where(self) -> str:
        """For titles: `bbq by category, bbq>csqa`."""
        return f"{self.whole.task} by {self.dimension}" + (f", {self.checkpoint}" if self.checkpoint else "")

    def name(self, figure: str) -> str:
        """Of a figure of them."""
        return slug(figure, self.whole.task, self.dimension, self.tag)


def group_results(results: Results) -> list[GroupResults]:
    """One for each task that a checkpoint may have forgotten, and each dimension of its groups."""
    lost = [row for row in results.plain if row.metric == "forgetting"]
    by_dimension: dict[tuple[RowKey, str], list[ResultRow]] = {}
    for row in lost:
        if row.dimension:
            by_dimension.setdefault((row.key, row.dimension), []).append(row)
    beside = rows_beside(results.plain)
    wholes = {row.key: row for row in lost if row.is_whole}
    every = by_dimension.values()
    return [_results(members, wholes[members[0].key], beside, lost, results.level) for members in every]


def kept_in_view(members: Iterable[GroupResult], most: int, level: float) -> list[GroupResult]:
    """Of many groups those that differ from the whole, then those with the most clusters.

    The largest values are no criterion: among many small groups they are chance.
    """

    def rank(member: GroupResult) -> tuple[bool, bool, int, int, str]:
        differs = member.biased.is_shown(level) or member.verdict in {"forgot", "gained"}
        known = member.is_biased_only or not math.isnan(member.forgetting.value)
        return (not differs, not known, -member.forgetting.n_clusters, -member.forgetting.n, member.group)

    return sorted(members, key=rank)[:most]


def _results(
    members: Sequence[ResultRow],
    whole: ResultRow,
    beside: Beside,
    lost: Sequence[ResultRow],
    level: float,
) -> GroupResults:
    pairs = {row.key for row in lost if row.dimension and row.task == whole.task}
    bias = beside.get((whole.key, "biased_forgetting", members[0].dimension, members[0].group))
    return GroupResults(
        whole,
        members[0].dimension,
        checkpoint(whole, lost),
        checkpoint(whole, lost) if len(pairs) > 1 else "",
        reference_text(bias.bf_reference if bias else ""),
        level,
        tuple(_result(row, beside) for row in members if joint_name(row)),
        (whole.key, LOWER, "", "") in beside,
    )


def _result(row: ResultRow, beside: Beside) -> GroupResult:
    def of(metric: str) -> Estimate:
        other = beside.get((row.key, metric, row.dimension, row.group))
        return other.estimate if other else Estimate.undefined("not measured")

    least, least_biased = (of(f"detectable_{name}").value for name in ("forgetting", "biased_forgetting"))
    verdict, name = row.verdict or "inconclusive", joint_name(row)
    return GroupResult(
        name, row.estimate, of("biased_forgetting"), verdict, least, least_biased, of("pooled_forgetting")
    )
