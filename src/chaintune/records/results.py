"""Numbers with their uncertainty, and what a study says with them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from chaintune.records.amounts import plain
from chaintune.records.answers import NO_ANSWERS, Answers, is_accuracy
from chaintune.records.checkpoint import Checkpoint
from chaintune.records.metrics import Direction
from chaintune.records.mitigations import MitigationRef
from chaintune.records.scores import Scores

if TYPE_CHECKING:
    import polars as pl

Verdict = Literal["forgot", "kept", "gained", "inconclusive"]

# The checkpoint that forgetting is counted from.
ForgettingFrom = Literal["trained", "best", "base", "previous"]
# What the variance between seeds is estimated over.
SeedVariance = Literal["over_groups", "over_recipes", "separate"]
# A number is kept of each resample, for every group.
MOST_RESAMPLES = 1_000_000

ALL_SEEDS = "all"
# Behind the name of a change: it with every example without a score at its best, and at its worst.
LOWER_BOUND, UPPER_BOUND = "_lower_bound", "_upper_bound"
# One variant minus the one that comes first in the study, on the same examples and seeds.
VARIANT_METRICS = ("variant_forgetting", "variant_biased_forgetting", "variant_gain")
# Behind the columns that results.parquet always had; of files written before, the numbers may be missing.
_LATER_COLUMNS = (
    "checkpoint_keys", "reference_keys", "item_metric", "unit", "direction", "bf_reference", "steps", "settings",
    "deciding", "verdict_reason", "family", "same_examples", "chat", "margin",
)  # fmt: skip
LATER_NUMBERS = ("low_adjusted", "high_adjusted")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its uncertainty.

    Attributes:
        value: the estimate; NaN when undefined.
        low, high: ends of the confidence interval; NaN when there is none.
        p_value: of the test that the true value is 0 (or as `method` states); NaN when none was made.
        p_adjusted: after correction for the other tests of the family, such as a dimension's groups; NaN when none was
            made.
        n: examples that the value speaks about.
        n_clusters: clusters among them.
        n_seeds: seeds; 1 says that the number speaks about this pair of checkpoints only.
        method: how interval and p-value were made.
        reason: why the value, or its interval, is undefined; empty when it is defined.
        low_adjusted, high_adjusted: ends of the interval at the level at which this test's step of the correction was
            judged; NaN where the test is not one of several. It leaves out 0 only where `is_shown` is true.
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
    low_adjusted: float = math.nan
    high_adjusted: float = math.nan

    @property
    def is_adjusted(self) -> bool:
        """Whether there is an interval that is corrected for the other tests of the family."""
        return not math.isnan(self.low_adjusted)

    @property
    def p_judged(self) -> float:
        """The p-value, corrected where the test is one of several."""
        return self.p_value if math.isnan(self.p_adjusted) else self.p_adjusted

    @property
    def limits(self) -> tuple[float, float]:
        """Ends of the interval that is shown and judged: the adjusted one, where the test is one of several."""
        return (self.low_adjusted, self.high_adjusted) if self.is_adjusted else (self.low, self.high)

    def is_shown(self, level: float) -> bool:
        """Whether the true value is shown to differ from 0.

        It is where the p-value, corrected if the test is one of several, is at most `1 - level` and the interval of
        `limits` leaves out 0, which it may not where changes are few.

        Args:
            level: of the interval.
        """
        low, high = self.limits
        return self.p_judged <= 1 - level and (low > 0 or high < 0) and self.value != 0

    def __neg__(self) -> "Estimate":
        """The same with the sign turned."""
        return replace(
            self, value=-self.value, low=-self.high, high=-self.low,
            low_adjusted=-self.high_adjusted, high_adjusted=-self.low_adjusted,
        )  # fmt: skip

    @classmethod
    def undefined(cls, reason: str, *, n: int = 0, n_clusters: int = 0, n_seeds: int = 1) -> "Estimate":
        """NaN with a reason, never 0."""
        return cls(math.nan, n=n, n_clusters=n_clusters, n_seeds=n_seeds, reason=reason)


class RowKey(NamedTuple):
    """What names the checkpoints and the task that a row is about: one key for all of its statistics and groups."""

    base: str
    chain: str
    variant: str
    reference: str
    task: str


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One row of `results.parquet`: what an estimate is about, and the estimate.

    Attributes:
        study: name of the study file.
        base: name of the base model as the study writes it.
        chain: label of the chain, `base` when nothing was tuned; nothing is read from it.
        variant: name of the variant, by what differs between those of the study; empty where there is one, and of the
            base.
        stage: number of stages done at the checkpoint that is measured (0 is the base).
        reference: label of the chain of the checkpoint it is compared with; empty when none.
        task: the task measured.
        metric: what the value is (`accuracy`, `forgetting`, `biased_forgetting`, `gain`, ...).
        dimension, group: empty for the whole task.
        seed: a number as text, or `all`.
        verdict: `forgot`, `kept`, `gained`, `inconclusive`, or empty where no verdict is due.
        mitigation: kind of the mitigation that the row is about, its dose or strength apart; empty where none is.
        checkpoint_keys, reference_keys: addresses of the two checkpoints' weights, one a seed; empty where not known.
        item_metric: what scores an example (`accuracy`, ...); empty where no example was scored.
        unit: of the value; empty where it has none.
        direction: whether `more` or `less` of the item metric is better.
        bf_reference: what a biased forgetting is relative to, `overall` or `rest`; else empty.
        steps: labels of the chain's steps.
        settings: values of the varied knobs.
        deciding: whether it is of the item metric that decides about its task; else a further one, without a verdict.
        answers: of a mean score, how its examples were answered, and what guessing would score.
        verdict_reason: why the scores cannot show a loss, whatever the interval; empty where they can.
        family: the tests that `p_adjusted` and the adjusted interval are corrected for, this one among them; empty
            where the test is not one of several.
        same_examples: other groups of the dimension with the very same examples, which count as one test with this one.
        chat: `on` where a chat template rendered the task's prompts, else `off`.
        margin: up to how large a loss counts as none, in the unit, where the task names it; else NaN.
        reference_variant: the variant that the row's own is compared with, along the same chain; empty where it is
            compared with no other.
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
    checkpoint_keys: tuple[str, ...] = ()
    reference_keys: tuple[str, ...] = ()
    item_metric: str = ""
    unit: str = ""
    direction: Direction = "more"
    bf_reference: Literal["overall", "rest", ""] = ""
    steps: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    deciding: bool = True
    answers: Answers = NO_ANSWERS
    verdict_reason: str = ""
    family: str = ""
    same_examples: tuple[str, ...] = ()
    chat: str = "off"
    margin: float = math.nan
    reference_variant: str = ""

    @property
    def key(self) -> RowKey:
        """What names the checkpoints and the task."""
        return RowKey(self.base, self.chain, self.variant, self.reference, self.task)

    @property
    def is_whole(self) -> bool:
        """Whether the row is about the whole task, not a group or dimension."""
        return not self.dimension

    @property
    def is_accuracy(self) -> bool:
        """Of a mean score, whether it is a share of right answers."""
        return is_accuracy(self.item_metric, self.unit, self.direction, self.answers)

    def to_dict(self) -> dict[str, Any]:
        """One flat mapping that JSON can hold: the row's own fields, then the estimate's.

        What is undefined is None, an infinite number the word "Infinity" or "-Infinity".
        """
        flat: dict[str, Any] = plain(_flat(self))
        return flat


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointScores:
    """One checkpoint of a study and what it scored: the input of study-level statistics.

    Attributes:
        checkpoint: with its seed.
        scores: task name -> scores by the item metric that decides about the task.
        further: task name -> item metric -> scores by it.
        mitigates: the chains that lost a task and that this one is compared with; none for a plain chain.
        final: whether a chain of the study ends here: what it never taught is then counted from the base.
        train_tokens, train_seconds: that the last stage took; NaN when not known.
    """

    checkpoint: Checkpoint
    scores: Mapping[str, Scores]
    mitigates: tuple[MitigationRef, ...] = ()
    train_tokens: float = math.nan
    train_seconds: float = math.nan
    final: bool = False
    further: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)


def pooled(rows: Iterable[ResultRow], *, further: bool = False) -> list[ResultRow]:
    """Rows of all seeds together where there are several, else those of the one seed.

    Args:
        rows: of a study.
        further: those of further item metrics, and not those of the ones that decide.
    """
    rows = [row for row in rows if row.deciding is not further]
    together = {_statistic(row) for row in rows if row.seed == ALL_SEEDS}
    return [row for row in rows if row.seed == ALL_SEEDS or _statistic(row) not in together]


def _statistic(row: ResultRow) -> tuple[object, ...]:
    return (row.key, row.mitigation, row.item_metric, row.metric, row.dimension, row.group)


def rows_to_polars(rows: Sequence[ResultRow]) -> "pl.DataFrame":
    """The tidy table of result rows, one row each, columns in the order of `ResultRow.to_dict`."""
    import polars as pl  # comparing two files needs none, and starts sooner

    listed = ("checkpoint_keys", "reference_keys", "steps", "settings", "same_examples")
    lists: dict[str, Any] = {name: pl.List(pl.String) for name in listed}
    lists["outcomes"] = outcomes_type()
    return pl.DataFrame([_flat(row) for row in rows], infer_schema_length=None, schema_overrides=lists)


def outcomes_type() -> "pl.DataType":
    """How frames hold outcomes: a list of structs."""
    import polars as pl

    return pl.List(pl.Struct({"name": pl.String, "count": pl.Int64, "doubtful": pl.Boolean, "expected": pl.String}))


def _flat(row: ResultRow) -> dict[str, Any]:
    values = {f.name: getattr(row, f.name) for f in fields(row) if f.name not in ("estimate", "answers")}
    later = {name: _listed(values.pop(name)) for name in _LATER_COLUMNS}
    estimate = {f.name: getattr(row.estimate, f.name) for f in fields(row.estimate)}
    numbers = {name: estimate.pop(name) for name in LATER_NUMBERS}
    answers = row.answers.to_dict()
    last = {"outcomes": answers.pop("outcomes"), "reference_variant": values.pop("reference_variant")}
    return values | estimate | later | answers | numbers | last


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
