"""Item metrics: what makes a score of an example's measurement, with its unit, range and direction."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from chaintune.errors import ConfigError
from chaintune.records.amounts import SHARE
from chaintune.records.examples import Example
from chaintune.records.measurements import Measurement

Direction = Literal["more", "less"]
Average = Literal["mean", "balanced"]
ScoreRows = Callable[[Measurement, Sequence[Example]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ItemMetric:
    """What makes a score of an example's measurement, and the score's unit, range and direction.

    Attributes:
        name: what studies and results call it.
        measure: whose measurement it reads; empty where the scores come from elsewhere.
        unit: of the scores; `share` where they are shares of what is right.
        range: the lowest and the highest score that there can be; infinite where nothing bounds it.
        direction: whether `more` or `less` is better.
        average: how the scores of examples are averaged.
        version: raised when it scores otherwise, and of a scorer its settings and the digest of its code; part of the
            key of scores.
        outcomes: what an answer can count as, in reading order; none where scores are all there is.
        doubtful: of them those that say nothing of what is measured, such as `incoherent`: where they are too many, no
            verdict is given.
        margin: up to how large a loss counts as none, in the unit; NaN where the task names none.
        about: what scores keep in their provenance beside the measurement's.
        score: makes columns, a row for each row of the measurement, from it and the example of each row: `score`
            (None where there is none) and, as far as they are known, `missing_reason`, `label`, `chance`, `answer`,
            `outcome` and `evidence`, and `texts`, a list with the text that was written, which becomes one of all
            samples; any other column travels with the scores. None where nothing is to be made.

    Raises:
        ConfigError: the range is no two different numbers in order, or a direction that does not exist.
    """

    name: str
    measure: str = ""
    unit: str = SHARE
    range: tuple[float, float] = (0.0, 1.0)
    direction: Direction = "more"
    average: Average = "mean"
    version: str = "1"
    outcomes: tuple[str, ...] = field(default=(), compare=False)
    doubtful: tuple[str, ...] = field(default=(), compare=False)
    margin: float = field(default=math.nan, compare=False)
    about: Mapping[str, str] = field(default_factory=dict, compare=False)
    score: ScoreRows | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        low, high = self.range
        if not low < high:
            raise ConfigError(f"item metric '{self.name}': range {low:g} to {high:g}, expected the lower end first")
        if self.direction not in ("more", "less"):
            raise ConfigError(f"item metric '{self.name}': direction '{self.direction}', expected 'more' or 'less'")

    @property
    def is_share(self) -> bool:
        """Whether scores lie between 0, the worst, and 1, the best."""
        return self.range == (0.0, 1.0) and self.direction == "more"

    def content(self) -> list[str]:
        """The parts that determine the scores, for their key."""
        return [self.name, self.measure, self.version]

    def to_json(self) -> str:
        """The facts as JSON, without what makes the scores."""
        ends = [end if math.isfinite(end) else None for end in self.range]
        facts = {name: getattr(self, name) for name in ("name", "measure", "unit", "direction", "average", "version")}
        own: dict[str, Any] = {} if math.isnan(self.margin) else {"margin": self.margin}
        own |= {name: list(getattr(self, name)) for name in ("outcomes", "doubtful") if getattr(self, name)}
        return json.dumps(facts | {"range": ends} | own, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ItemMetric":
        """The facts that `to_json` wrote."""
        facts = json.loads(text)
        low, high = facts.pop("range")
        facts |= {name: tuple(map(str, facts[name])) for name in ("outcomes", "doubtful") if name in facts}
        return cls(**facts, range=(-math.inf if low is None else low, math.inf if high is None else high))
