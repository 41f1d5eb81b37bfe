"""Two checkpoints on the same examples: what was forgotten, and who was."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from chaintune.errors import number_of, require
from chaintune.records.amounts import plain
from chaintune.records.answers import NO_ANSWERS, Answers, doubt
from chaintune.records.labels import PeopleLabels
from chaintune.records.metrics import Direction
from chaintune.records.power import SimulatedPower
from chaintune.records.results import LOWER_BOUND, UPPER_BOUND, Estimate, ResultRow, Verdict, outcomes_type
from chaintune.shown import Shown

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

# Label of the earlier checkpoint in rows of a comparison; that of the later one is empty.
BEFORE = "before"
# Rows on what could be shown, that a view has as numbers.
POWER = ("power_5", "power_10", "examples_needed", "clusters_needed")
AUC = "auc"
# Metrics of the rows of `Bounds`.
LOWER, UPPER = (f"forgetting{name}" for name in (LOWER_BOUND, UPPER_BOUND))
BIASED_LOWER, BIASED_UPPER = (f"biased_forgetting{name}" for name in (LOWER_BOUND, UPPER_BOUND))
_LACKING = (("example that lacks", "is"), ("examples that lack", "are"))
# What stands for rows in plain data.
_VIEWS = {
    "rows": ("unit", "direction", "overall", "groups", "disparities", "bounds"),
    "further": ("auc", "second_lines"),
}

# What the names of the two checkpoints are called in plain data, which has them where there are more than two.
_NAMES = {"start": "from", "end": "to"}

_UNKNOWN = Estimate(math.nan)


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
        verdict_reason: why the scores cannot show a loss, whatever the interval; empty where they can.
        answers_before, answers_after: how the examples were answered, and what guessing would score.
        forgetting_family, biased_forgetting_family: the tests that the adjusted p-value and interval are corrected for;
            empty where there is but one.
        same_examples: other groups of the dimension with the very same examples, which count as one test with this one.
        pooled_forgetting: the forgetting as all groups of the dimension together suggest it, without a test: the best
            estimate of a group that was picked for being far off; of the whole task its own forgetting.
        power_5, power_10: probability that a loss of so many points is shown; of a group, that it loses so much more
            than the others. NaN where that is not known, as in other units than shares.
        examples_needed, clusters_needed: what shows 10 points with a probability of 80 %.
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
    verdict_reason: str = ""
    answers_before: Answers = NO_ANSWERS
    answers_after: Answers = NO_ANSWERS
    forgetting_family: str = ""
    biased_forgetting_family: str = ""
    same_examples: tuple[str, ...] = ()
    pooled_forgetting: Estimate = _UNKNOWN
    power_5: float = math.nan
    power_10: float = math.nan
    examples_needed: float = math.nan
    clusters_needed: float = math.nan

    @property
    def is_silent(self) -> bool:
        """Whether one of the checkpoints answered too few examples for its score to say anything."""
        return self.answers_before.is_silent or self.answers_after.is_silent

    @property
    def doubt(self) -> str:
        """Why too many answers say nothing of what is measured; empty where few do."""
        return doubt({"before": self.answers_before, "after": self.answers_after})


@dataclass(frozen=True, slots=True)
class Disparity:
    """Largest minus smallest forgetting among the groups of a dimension.

    Attributes:
        estimate: the disparity; its p-value tests that all groups forget alike. It has no interval; where examples
            lack a score it has no p-value, and `low` and `high` are the least and the largest that it may be.
        null_expectation: its mean if all groups forgot alike; a maximum over noisy groups is never 0.
        n_groups: groups large enough to take part.
    """

    dimension: str
    estimate: Estimate
    null_expectation: float
    n_groups: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Forgetting of a group where some examples lack a score; both names are empty for the whole task.

    Attributes:
        lower: with each of them at its best: the lowest score that it may have had before, the highest after.
        upper: with each at its worst.
        biased_lower: biased forgetting with those of the group at their best and all others at their worst; undefined
            for the whole task.
        biased_upper: the other way round.
    """

    dimension: str
    group: str
    lower: Estimate
    upper: Estimate
    biased_lower: Estimate = _UNKNOWN
    biased_upper: Estimate = _UNKNOWN


@dataclass(frozen=True, slots=True)
class Auc:
    """How well log-odds rank two labels of a group under two checkpoints; both names are empty for the whole task.

    Attributes:
        before, after: share of pairs of one example of each label that are in the right order.
        forgetting: before minus after; never judged.
    """

    dimension: str
    group: str
    before: Estimate
    after: Estimate
    forgetting: Estimate


@dataclass(frozen=True, slots=True)
class SecondLine:
    """A group by an item metric that stands beside the one that decides; both names are empty for the whole task.

    Attributes:
        metric: how an example is scored.
        unit, direction: of the scores, and whether more or less of them is better.
        before, after: mean item score under each checkpoint.
        forgetting: before minus after, the other way round where less is better; never judged.
        biased_forgetting: forgetting of the group minus that of the comparison's reference; undefined for the whole.
        forgetting_family, biased_forgetting_family: the tests whose correction `p_adjusted` holds; empty without one.
    """

    metric: str
    unit: str
    direction: Direction
    dimension: str
    group: str
    before: Estimate
    after: Estimate
    forgetting: Estimate
    biased_forgetting: Estimate
    forgetting_family: str = ""
    biased_forgetting_family: str = ""


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far apart two models are on the right answers of a group; both names are empty for the whole task.

    Attributes:
        forward: mean KL(before ‖ after) of a token in nats, large where the later one no longer does what the earlier
            one did.
        backward: mean KL(after ‖ before).
    """

    dimension: str
    group: str
    forward: Estimate
    backward: Estimate


@dataclass(frozen=True)
class Comparison(Shown):
    """Two checkpoints on the same examples of one task: what was forgotten, and who was. A view of result rows.

    Attributes:
        metric: how an example is scored.
        reference: what biased forgetting is relative to, `overall` or `rest`.
        level: of every interval; `1 - level` is the error rate of every verdict.
        margin: a loss counts as `kept` whose upper confidence limit does not exceed it, in the unit; NaN where none is
            known of the unit, and none is `kept`.
        n_left_out: examples that do not have a score under both checkpoints.
        rows: every number: accuracies of the chain `before` and of the later checkpoint, whose chain is empty, and the
            statistics of both.
        provenance_before, provenance_after: what made the two scores.
        further: rows of what stands beside `metric` and has no verdict: the AUC of two labels, scaled margins, and
            the further item metrics that were named.
        graded: scores other than 0 and 1 occur.
        forced: why the two should not be compared, where it was done all the same.
        groups_left_out: dimension and group of each group asked for none of whose examples both checkpoints answered.
        tasks_left_out: tasks that only one side of the comparison has, the same ones for every task compared with it.
        chosen_of: how many checkpoints the later one was chosen of by these scores; the level reckons with it.
        cautions: kind -> sentence of what the numbers do not tell, such as examples that may depend on each other.
        on_missing: what became of examples that only one side has: `error`, `intersect` (they, as all that lack a
            score, enter verdict and budgets at best and at worst) or `drop` (they are taken to be missing at random).
        simulated_power: how often comparisons of simulated data like these show a loss; None where nobody asked.
        chat_agreement: `before` and `after` -> the share of examples that the checkpoint answers alike in its chat
            template and as plain text; empty where the task was asked one way.
        rounding: what changed where the earlier checkpoint wrote some texts a second time, in another grouping:
            `rounding`, the share of scores that are others, and `rounding_difference`, the mean of the first run minus
            that of the second; empty where nothing was written twice.
        people: the scorer held against people's labels, and what these correct; None where there are none.
        divergence: how far the two are apart on the right answers, of the whole task and of every group; empty where it
            was not measured.
        start, end: names of the earlier and of the later checkpoint, where there are more than these two; JSON calls
            them `from` and `to`.
    """

    task: str
    metric: str
    reference: Literal["overall", "rest"]
    level: float
    margin: float
    adjust: Literal["minp", "holm", "bh"]
    resamples: int
    seed: int
    n_left_out: int
    rows: tuple[ResultRow, ...]
    provenance_before: Mapping[str, str] = field(default_factory=dict)
    provenance_after: Mapping[str, str] = field(default_factory=dict)
    further: tuple[ResultRow, ...] = ()
    graded: bool = False
    forced: tuple[str, ...] = ()
    groups_left_out: tuple[tuple[str, str], ...] = ()
    tasks_left_out: tuple[str, ...] = ()
    chosen_of: int = 1
    cautions: Mapping[str, str] = field(default_factory=dict)
    on_missing: Literal["error", "intersect", "drop"] = "error"
    simulated_power: SimulatedPower | None = None
    chat_agreement: Mapping[str, Estimate] = field(default_factory=dict)
    rounding: Mapping[str, Estimate] = field(default_factory=dict)
    people: PeopleLabels | None = None
    divergence: tuple[Divergence, ...] = ()
    start: str = ""
    end: str = ""

    @cached_property
    def named_rows(self) -> tuple[ResultRow, ...]:
        """The rows by the names of the two checkpoints, where they have names."""
        return self._named(self.rows)

    @cached_property
    def named_further(self) -> tuple[ResultRow, ...]:
        """The same of the rows of what stands beside the metric."""
        return self._named(self.further)

    @cached_property
    def overall(self) -> GroupComparison:
        """The whole task."""
        return self._view("", "")

    @property
    def unit(self) -> str:
        """Of the scores."""
        return self._by_name["forgetting", "", "", ""].unit

    @property
    def direction(self) -> Direction:
        """Whether more or less of the metric is better."""
        return self._by_name["forgetting", "", "", ""].direction

    @cached_property
    def groups(self) -> tuple[GroupComparison, ...]:
        """Every group of every dimension asked for, then the intersections."""
        labels = ((row.dimension, row.group) for row in self.rows if row.metric == "forgetting" and row.dimension)
        return tuple(self._view(*label) for label in labels)

    @cached_property
    def auc(self) -> tuple[Auc, ...]:
        """The AUC of the whole task and of every group; none without two labels whose log-odds are known."""
        return tuple(
            Auc(one.dimension, one.group, one.before, one.after, one.forgetting) for one in self._beside if _is_auc(one)
        )

    @cached_property
    def second_lines(self) -> tuple[SecondLine, ...]:
        """The whole task and every group by each further item metric; scaled margins wherever they are known."""
        return tuple(one for one in self._beside if not _is_auc(one))

    @cached_property
    def bounds(self) -> tuple[Bounds, ...]:
        """Of the whole task and of every group, which verdicts and budgets rest on; none where no score is missing."""
        places = ((row.dimension, row.group) for row in self.rows if row.metric in (LOWER, BIASED_LOWER))
        return tuple(Bounds(*at, *self.bounds_of(*at), *self._biased_bounds(*at)) for at in dict.fromkeys(places))

    def bounds_of(
        self, dimension: str, group: str, statistic: Literal["forgetting", "biased_forgetting"] = "forgetting"
    ) -> tuple[Estimate, Estimate]:
        """Forgetting, or biased forgetting, of a group at its best and at its worst; itself where none is missing."""
        plain = self._estimate(statistic, dimension, group)
        bounds = (
            self._by_name.get((f"{statistic}{name}", dimension, group, "")) for name in (LOWER_BOUND, UPPER_BOUND)
        )
        lower, upper = (row.estimate if row else plain for row in bounds)
        return lower, upper

    @property
    def assumption(self) -> str:
        """What is taken for granted of examples that lack a score; empty where nothing is."""
        if self.on_missing != "drop" or not self.n_left_out:
            return ""
        one, several = (f"{who} a score before or after {verb}" for who, verb in _LACKING)
        return f"{number_of(self.n_left_out, one, several)} taken to be missing at random"

    @cached_property
    def disparities(self) -> tuple[Disparity, ...]:
        """One a dimension."""
        return tuple(
            Disparity(
                row.dimension,
                row.estimate,
                self._estimate("disparity_expected", row.dimension, "").value,
                int(self._estimate("disparity_groups", row.dimension, "").value),
            )
            for row in self.rows
            if row.metric == "disparity"
        )

    def _named(self, rows: tuple[ResultRow, ...]) -> tuple[ResultRow, ...]:
        if not self.end:
            return rows
        names = {BEFORE: self.start, "": self.end}
        return tuple(
            replace(row, chain=names[row.chain], reference=self.start if row.reference else "") for row in rows
        )

    @cached_property
    def _beside(self) -> tuple[SecondLine, ...]:
        """Everything in `further`: item metrics and the AUC."""
        known = {(row.item_metric, row.metric, row.dimension, row.group, row.chain): row for row in self.further}
        lines = []
        for row in self.further:
            if row.metric == "forgetting":
                name, at = row.item_metric, (row.dimension, row.group)
                before, after = (known[name, "accuracy", *at, chain].estimate for chain in (BEFORE, ""))
                bias = known.get((name, "biased_forgetting", *at, ""))
                biased = bias.estimate if bias else _no_bias(row.estimate)
                families = (row.family, bias.family if bias else "")
                about = (name, row.unit, row.direction, *at)
                lines.append(SecondLine(*about, before, after, row.estimate, biased, *families))
        return tuple(lines)

    @cached_property
    def _by_name(self) -> Mapping[tuple[str, str, str, str], ResultRow]:
        return {(row.metric, row.dimension, row.group, row.chain): row for row in self.rows}

    def _estimate(self, metric: str, dimension: str, group: str, chain: str = "") -> Estimate:
        row = self._by_name.get((metric, dimension, group, chain))
        return row.estimate if row else Estimate(math.nan)

    def _biased_bounds(self, dimension: str, group: str) -> tuple[Estimate, Estimate]:
        return self._estimate(BIASED_LOWER, dimension, group), self._estimate(BIASED_UPPER, dimension, group)

    def _answers(self, dimension: str, group: str, chain: str) -> Answers:
        row = self._by_name.get(("accuracy", dimension, group, chain))
        return row.answers if row else NO_ANSWERS

    def _view(self, dimension: str, group: str) -> GroupComparison:
        at = (dimension, group)
        lost = self._by_name["forgetting", dimension, group, ""]
        bias = self._by_name.get(("biased_forgetting", dimension, group, ""))
        forgot = self._estimate("forgot", *at)
        return GroupComparison(
            *at,
            before=self._estimate("accuracy", *at, BEFORE),
            after=self._estimate("accuracy", *at),
            forgetting=lost.estimate,
            biased_forgetting=self._estimate("biased_forgetting", *at) if dimension else _no_bias(lost.estimate),
            forgot=int(forgot.value),
            learned=int(self._estimate("learned", *at).value),
            mcnemar_p=forgot.p_value,
            detectable_forgetting=self._estimate("detectable_forgetting", *at).value,
            detectable_biased_forgetting=self._estimate("detectable_biased_forgetting", *at).value,
            verdict=lost.verdict or "inconclusive",
            verdict_reason=lost.verdict_reason,
            answers_before=self._answers(*at, BEFORE),
            answers_after=self._answers(*at, ""),
            forgetting_family=lost.family,
            biased_forgetting_family=bias.family if bias else "",
            same_examples=lost.same_examples,
            pooled_forgetting=self._estimate("pooled_forgetting", *at) if dimension else lost.estimate,
            power_5=self._estimate("power_5", *at).value,
            power_10=self._estimate("power_10", *at).value,
            examples_needed=self._estimate("examples_needed", *at).value,
            clusters_needed=self._estimate("clusters_needed", *at).value,
        )

    def to_dict(self) -> dict[str, Any]:
        """Nested plain data that JSON can hold; what is undefined is None."""
        own: dict[str, Any] = {}
        for name in (f.name for f in fields(self) if f.name not in _NAMES):
            views = _VIEWS.get(name, (name,))
            own |= {view: plain(getattr(self, view)) for view in views}
        return own | ({key: getattr(self, name) for name, key in _NAMES.items()} if self.end else {})

    def to_polars(self) -> "pl.DataFrame":
        """One row a group, the whole task first; estimates spread over columns (`forgetting_low`, ...)."""
        import polars as pl  # not needed to compare, only to hand over a frame

        names = {key: getattr(self, name) for name, key in _NAMES.items()} if self.end else {}
        rows = [{"task": self.task} | names | _flat(row) for row in (self.overall, *self.groups)]
        outcomes = {f"{side}_outcomes": outcomes_type() for side in ("before", "after")}
        return pl.DataFrame(rows, infer_schema_length=None, schema_overrides=outcomes)

    def to_pandas(self) -> "pd.DataFrame":
        """The table of `to_polars` for pandas."""
        require("pandas frames", "pandas")
        import pandas as pd  # a quarter of a second to import, and few ask for it

        return pd.DataFrame(self.to_polars().to_dicts())


def _is_auc(line: SecondLine) -> bool:
    return line.metric == AUC


def _no_bias(lost: Estimate) -> Estimate:
    """The biased forgetting of what has none."""
    about = {"n": lost.n, "n_clusters": lost.n_clusters, "n_seeds": lost.n_seeds}
    return Estimate.undefined("the group is the whole task", **about)


def _flat(row: GroupComparison) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in (f.name for f in fields(row)):
        value = getattr(row, name)
        if isinstance(value, Answers):
            side = name.removeprefix("answers_")
            flat |= {f"{side}_{name}": answer for name, answer in value.to_dict().items()}
            continue
        if not isinstance(value, Estimate):
            flat[name] = list(value) if isinstance(value, tuple) else value
            continue
        flat[name] = value.value
        flat |= {f"{name}_{f.name}": getattr(value, f.name) for f in fields(value) if f.name != "value"}
    return flat
