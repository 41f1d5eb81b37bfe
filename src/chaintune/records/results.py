"""Numbers with their uncertainty, and what a study says with them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from chaintune.errors import DataError
from chaintune.records.mitigations import MitigationRef
from chaintune.records.scores import Scores

if TYPE_CHECKING:
    import polars as pl

Verdict = Literal["forgot", "kept", "gained", "inconclusive"]
Taught = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its uncertainty.

    Attributes:
        value: the estimate; NaN when undefined.
        low, high: ends of the confidence interval; NaN when there is none.
        p_value: of the test that the true value is 0 (or as `method` states); NaN when none was made.
        p_adjusted: after correction for the other groups of the dimension; NaN when none was made.
        n: examples that the value speaks about.
        n_clusters: clusters among them.
        n_seeds: seeds; 1 says that the number speaks about this pair of checkpoints only.
        method: how interval and p-value were made.
        reason: why the value, or its interval, is undefined; empty when it is defined.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan
    p_adjusted: float = math.nan
    n: int = 0
    n_clusters: int = 0
    n_seeds: int = 1
    method: str = ""
    reason: str = ""

    @classmethod
    def undefined(cls, reason: str, *, n: int = 0, n_clusters: int = 0, n_seeds: int = 1) -> "Estimate":
        """NaN with a reason, never 0."""
        return cls(math.nan, n=n, n_clusters=n_clusters, n_seeds=n_seeds, reason=reason)


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One row of `results.parquet`: what an estimate is about, and the estimate.

    Attributes:
        study: name of the study file.
        base: name of the base model as the study writes it.
        chain: tasks in order joined by `>` (`base` when nothing was tuned).
        variant: the varied knobs, seed apart, as `name=value` joined by `, `; empty when nothing is varied.
        stage: number of stages done at the checkpoint that is measured (0 is the base).
        reference: chain of the checkpoint it is compared with; empty when none.
        task: the task measured.
        metric: what the value is (`accuracy`, `forgetting`, `biased_forgetting`, `gain`, ...).
        dimension, group: empty for the whole task.
        seed: a number as text, or `all`.
        verdict: `forgot`, `kept`, `gained`, `inconclusive`, or empty where no verdict is due.
        mitigation: kind of the mitigation that the row is about, its dose or strength apart; empty where none is.
    """

    study: str
    base: str
    chain: str
    variant: str
    stage: int
    reference: str
    task: str
    metric: str
    dimension: str
    group: str
    seed: str
    estimate: Estimate
    verdict: Verdict | Literal[""] = ""
    mitigation: str = ""

    def to_dict(self) -> dict[str, Any]:
        """One flat mapping that JSON can hold: the row's own fields, then the estimate's; what is undefined is None."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in _flat(self).items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One checkpoint of a study and what it scored: the input of study-level statistics.

    Attributes:
        base: the base model's name.
        chain: labels of the steps so far, in order; empty for the base itself. Names, which nothing is read out of.
        variant: varied knobs, seed apart, in the order of the study file.
        seed: of the chain.
        scores: task name -> scores.
        mitigates: the chains that lost a task and that this one is held against; none for a plain chain.
        train_tokens, train_seconds: that the last stage took; NaN when not known.
        taught: of each step of the chain, the tasks that it teaches whole: one, several at once, or none, as a dose
            or a blend does. None where every step is a plain stage on the task that it is named by.

    Raises:
        DataError: not as many steps are described as the chain has.
    """

    base: str
    chain: tuple[str, ...]
    variant: tuple[tuple[str, str], ...]
    seed: int
    scores: Mapping[str, Scores]
    mitigates: tuple[MitigationRef, ...] = ()
    train_tokens: float = math.nan
    train_seconds: float = math.nan
    taught: Taught | None = None

    def __post_init__(self) -> None:
        if self.taught is not None and len(self.taught) != len(self.chain):
            raise DataError(
                f"chain {'>'.join(self.chain)}: {len(self.taught)} of its {len(self.chain)} steps described"
            )


def rows_to_polars(rows: Sequence[ResultRow]) -> "pl.DataFrame":
    """The tidy table of result rows, one row each, columns in the order of `ResultRow.to_dict`."""
    import polars as pl  # comparing two files needs none, and starts sooner

    return pl.DataFrame([_flat(row) for row in rows], infer_schema_length=None)


def _flat(row: ResultRow) -> dict[str, Any]:
    own = {f.name: getattr(row, f.name) for f in fields(row) if f.name != "estimate"}
    return own | {f.name: getattr(row.estimate, f.name) for f in fields(row.estimate)}
