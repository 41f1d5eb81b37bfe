"""Options of inference that every comparison of checkpoints shares: level, resamples, correction, margin."""

from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import get_args

from chaintune.errors import ConfigError, nearest
from chaintune.records.amounts import USUAL_MARGIN, Amount
from chaintune.records.results import MOST_RESAMPLES, SeedVariance
from chaintune.stats import Adjustment, Reference

# Of metrics that stand beside the one that decides: no verdict hangs on their last digits.
_MOST_BESIDE = 2_000
_SEED_VARIANCES = get_args(SeedVariance)
_ADJUST = get_args(Adjustment)


@dataclass(frozen=True)
class Inference:
    """Options of intervals, tests and verdicts, checked.

    Attributes:
        level: of the intervals; `1 - level` is the error rate of a verdict.
        resamples: random halves of the clusters that are drawn.
        seed: of the draws.
        adjust: correction for several groups of a dimension: `minp` (step-down minP), `holm` or `bh` (Benjamini and
            Hochberg); over tasks, `bh` or else Holm.
        reference: biased forgetting is relative to the `overall` forgetting or to that of the `rest`.
        margin: a loss up to it counts as none: a share of the score, or text with a unit, `0.05 nats`. Of scores in
            another unit it says nothing: shares then have 0.02, others none; and a task may name its own.
        seed_variance: between seeds, estimated `over_groups` of a dimension together, `over_recipes` too, or for each
            group `separate`.
        pairs: of checkpoints that are compared beside each other: the error rate of a dimension's family is divided by
            them.

    Raises:
        ConfigError: an option is invalid.
    """

    level: float = 0.95
    resamples: int = 10_000
    seed: int = 0
    adjust: Adjustment = "minp"
    reference: Reference = "overall"
    margin: float | str = USUAL_MARGIN
    seed_variance: SeedVariance = "over_groups"
    pairs: int = 1

    def __post_init__(self) -> None:
        self._check_types()
        if not 0.5 <= self.level < 1:
            raise ConfigError(f"level {self.level}: a confidence level lies between 0.5 and 1, 0.95 is usual")
        if self.resamples < 100:
            raise ConfigError(f"resamples {self.resamples}: at least 100 are needed, 10000 are usual")
        if self.resamples > MOST_RESAMPLES:
            raise ConfigError(f"resamples: at most {MOST_RESAMPLES:,} are drawn, got more; 10000 are usual")
        try:
            margin = Amount.of(self.margin)
        except ValueError as error:
            raise ConfigError(f"margin {self.margin}: {error}") from error
        if margin.value < 0:
            raise ConfigError(f"margin {margin}: expected 0 or more, 0.02 is two points of accuracy")
        if self.adjust not in _ADJUST:
            raise ConfigError(f"adjust '{self.adjust}': {nearest(self.adjust, _ADJUST)}")
        if self.reference not in ("overall", "rest"):
            raise ConfigError(f"reference '{self.reference}': {nearest(self.reference, ['overall', 'rest'])}")
        if self.seed_variance not in _SEED_VARIANCES:
            raise ConfigError(f"seed_variance '{self.seed_variance}': {nearest(self.seed_variance, _SEED_VARIANCES)}")

    @property
    def without_verdict(self) -> "Inference":
        """The same for metrics that stand beside the one that decides, with at most 2,000 halves."""
        return replace(self, resamples=min(self.resamples, _MOST_BESIDE))

    def _check_types(self) -> None:
        for name, kind, usual in (
            ("level", Real, "a number such as 0.95"),
            ("margin", Real | str, "a number such as 0.02, or text such as '0.05 nats'"),
            ("resamples", Integral, "a whole number such as 10000"),
            ("seed", Integral, "a whole number such as 0"),
            ("adjust", str, "minp, holm or bh"),
            ("reference", str, "overall or rest"),
            ("seed_variance", str, " or ".join(_SEED_VARIANCES)),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kind):
                raise ConfigError(f"{name} {value!r}: expected {usual}")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: expected 0 or more")


def over_pairs(pairs: int) -> str:
    """What is said behind a family that is corrected over pairs of checkpoints; nothing of one pair."""
    return f" over {pairs} pairs of checkpoints" if pairs > 1 else ""
