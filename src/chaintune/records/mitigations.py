"""How a checkpoint came from a chain that lost a task, and what is advised after comparing several."""

from dataclasses import dataclass
from typing import Any, Literal

from chaintune.records.amounts import plain
from chaintune.records.checkpoint import Chain

Who = Literal["uniform", "balanced", "targeted", "hardest", "most_forgotten", "representative"]
# Those that choose among the groups of a dimension, and those that read scores of the training examples.
BY_GROUPS: tuple[Who, ...] = ("balanced", "targeted")
BY_SCORES: tuple[Who, ...] = ("targeted", "hardest", "most_forgotten", "representative")
# By which the smallest that suffices is recommended.
VARIED = ("dose", "fraction")


# Stands in a chain's name for whatever happened between two checkpoints that exist already; no task can be named so.
LATER = "(later)"


@dataclass(frozen=True, slots=True)
class MitigationRef:
    """The chain without the mitigation that a mitigated checkpoint is compared with, and on which tasks.

    Attributes:
        kind: name of the mitigation, such as `replay` or `ewc`.
        dose_curve: what the same mitigation has in common over doses or strengths: `replay balanced by category`.
        task: that was lost and is to come back.
        chain: without the mitigation.
        keep: tasks that should not pay for it.
        dose: fraction of the lost task's training data; None where none of it is taught again by the dose.
        needs_old_data: whether it takes examples of the lost task; a checkpoint from before the loss is none.
        fraction: of the way to another checkpoint, or of what is merged of it; None where nothing is merged.
    """

    kind: str
    dose_curve: str
    task: str
    chain: Chain
    keep: tuple[str, ...]
    dose: float | None = None
    needs_old_data: bool = True
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of a recommended dose.

    Attributes:
        target: share of the loss that has to come back.
        margin: of the score that a kept task may pay, 0.02 is two points of accuracy.
    """

    target: float = 0.8
    margin: float = 0.02


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The smallest dose of one dose curve that brings enough back at a price small enough, or that none does.

    Attributes:
        base, variant, task: what the choice is about.
        after: the chain that lost the task.
        dose_curve: the kind of mitigation; JSON calls it `ladder`.
        tested: chains of the doses that were tried, smallest first.
        chosen: one of them; empty when no dose tested reaches the target.
        dose: of the chosen one, or its fraction; NaN without one.
        target: share of the loss; the whole interval of the recovery has to lie above it.
        margin: of the score; the whole interval of each price has to lie below it.
        reason: why this one, or why none.
        varied: `dose`, or `fraction` of what is merged.
    """

    base: str
    variant: str
    task: str
    after: str
    dose_curve: str
    tested: tuple[str, ...]
    chosen: str
    dose: float
    target: float
    margin: float
    reason: str
    varied: str = "dose"

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; no dose is None."""
        return {"ladder" if name == "dose_curve" else name: value for name, value in plain(self).items()}
