"""What a policy says about comparisons: one judgement a budget, and an answer of all together."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from chaintune.records.amounts import plain

Tier = Literal["block", "warn", "note"]
BudgetStatistic = Literal["forgetting", "biased_forgetting", "disparity"]
Answer = Literal["pass", "fail", "inconclusive"]
# Fields of a judgement that JSON calls otherwise.
JUDGEMENT_KEYS = {"statistic": "measure", "start": "from", "end": "to"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """One budget held against one number.

    Attributes:
        task, dimension, group: what the number is about; dimension and group are empty for the whole task.
        statistic: that the budget limits; JSON calls it `measure`.
        tier: only `block` decides the gate's answer.
        budget: the most that is allowed, in the unit of the score; a share of the score before when `relative`.
        answer: `missing` when there is no such number.
        value, low, high: the number and the interval that was judged; less the relative budget, where it is relative.
        more_examples: about how many more examples would decide with 80 % power; None when it is decided or no number
            would do.
        reason: why, in words.
        unit: of the score.
        examples: that the number is of; None where it is decided, as in what follows.
        more_clusters: what would decide in clusters, if examples come in them as they do here.
        more_seeds: the same in seeds, where there are several.
        examples_needed: examples in all with which the budget is kept with 80 % power if nothing is lost, and with
            it all of the groups that it speaks of; None where that is not known.
        least_budget: the smallest budget, as it is written, that is kept so often at these sizes if nothing is lost.
        start, end: names of the two checkpoints, where there are more than these; JSON calls them `from` and `to`.
    """

    task: str
    dimension: str
    group: str
    statistic: BudgetStatistic
    tier: Tier
    budget: float
    relative: bool
    answer: Answer | Literal["missing"]
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    more_examples: int | None = None
    reason: str = ""
    unit: str = ""
    examples: int | None = None
    more_clusters: int | None = None
    more_seeds: int | None = None
    examples_needed: int | None = None
    least_budget: float = math.nan
    start: str = ""
    end: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; what is undefined is None."""
        own = {name: value for name, value in plain(self).items() if self.end or name not in ("start", "end")}
        return {JUDGEMENT_KEYS.get(name, name): value for name, value in own.items()}


@dataclass(frozen=True, slots=True)
class Gate:
    """Every judgement of a policy."""

    policy: str
    judgements: tuple[Judgement, ...]

    @property
    def answer(self) -> Answer:
        """`fail` when a blocking budget is exceeded, `pass` when all are kept for sure, else `inconclusive`."""
        answers = {judgement.answer for judgement in self.judgements if judgement.tier == "block"}
        if "fail" in answers:
            return "fail"
        return "inconclusive" if answers & {"inconclusive", "missing"} else "pass"

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold."""
        judgements = [judgement.to_dict() for judgement in self.judgements]
        return {"policy": self.policy, "answer": self.answer, "judgements": judgements}
