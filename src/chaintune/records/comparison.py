"""Two checkpoints on the same examples: what was forgotten, and who was."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

from chaintune.records.results import Estimate, Verdict

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """One group of examples under two checkpoints; `dimension` and `group` are empty for the whole task.

    Attributes:
        before, after: mean item score under each checkpoint.
        forgetting: before minus after; positive is worse.
        biased_forgetting: forgetting of the group minus that of the comparison's reference; positive
            means that this group loses more. Undefined for the whole task.
        forgot: examples right before and wrong after; of graded scores, those that fell.
        learned: examples wrong before and right after; of graded scores, those that rose.
        mcnemar_p: exact McNemar test of the flips, which takes every example for independent; of graded scores,
            the sign test.
        detectable_forgetting, detectable_biased_forgetting: smallest true value that data like these
            show with 80 % probability; NaN when they cannot show any.
        verdict: on the forgetting.
    """

    dimension: str
    group: str
    before: Estimate
    after: Estimate
    forgetting: Estimate
    biased_forgetting: Estimate
    forgot: int
    learned: int
    mcnemar_p: float
    detectable_forgetting: float
    detectable_biased_forgetting: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Disparity:
    """Largest minus smallest forgetting among the groups of a dimension.

    Attributes:
        estimate: the disparity; its p-value tests that all groups forget alike. It has no interval.
        null_expectation: its mean if all groups forgot alike; a maximum over noisy groups is never 0.
        n_groups: groups large enough to take part.
    """

    dimension: str
    estimate: Estimate
    null_expectation: float
    n_groups: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two checkpoints on the same examples of one task: what was forgotten, and who was.

    Attributes:
        metric: how an example is scored.
        reference: what biased forgetting is relative to, `overall` or `rest`.
        level: of every interval; `1 - level` is the error rate of every verdict.
        margin: a change whose whole interval lies within it counts as `kept`.
        n_left_out: examples that only one of the two checkpoints answered.
        groups: every group of every dimension asked for, then the intersections.
        provenance_before, provenance_after: what made the two scores.
        graded: scores other than 0 and 1 occur.
        forced: why the two should not be compared, where it was done all the same.
        groups_left_out: dimension and group of each group asked for none of whose examples both checkpoints answered.
        tasks_left_out: tasks that only one side of the comparison has, the same ones for every task compared with it.
    """

    task: str
    metric: str
    reference: Literal["overall", "rest"]
    level: float
    margin: float
    adjust: Literal["holm", "bh"]
    resamples: int
    seed: int
    n_left_out: int
    overall: GroupComparison
    groups: tuple[GroupComparison, ...]
    disparities: tuple[Disparity, ...]
    provenance_before: Mapping[str, str] = field(default_factory=dict)
    provenance_after: Mapping[str, str] = field(default_factory=dict)
    graded: bool = False
    forced: tuple[str, ...] = ()
    groups_left_out: tuple[tuple[str, str], ...] = ()
    tasks_left_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Nested plain data that JSON can hold; what is undefined is None."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def to_polars(self) -> "pl.DataFrame":
        """One row a group, the whole task first; estimates spread over columns (`forgetting_low`, ...)."""
        import polars as pl  # not needed to compare, only to hand over a frame

        rows = [{"task": self.task} | _flat(row) for row in (self.overall, *self.groups)]
        return pl.DataFrame(rows, infer_schema_length=None)

    def to_pandas(self) -> "pd.DataFrame":
        """The table of `to_polars` for pandas."""
        import pandas as pd  # a quarter of a second to import, and few ask for it

        return pd.DataFrame(self.to_polars().to_dicts())


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _flat(row: GroupComparison) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in (f.name for f in fields(row)):
        value = getattr(row, name)
        if not isinstance(value, Estimate):
            flat[name] = value
            continue
        flat[name] = value.value
        flat |= {f"{name}_{f.name}": getattr(value, f.name) for f in fields(value) if f.name != "value"}
    return flat
