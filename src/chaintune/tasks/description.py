"""A task described: counts per group and sample prompts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chaintune.records import Choices, Example, Preference, Reference, Role, Task
from chaintune.records.examples import shown_text


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """Counts of one split.

    Attributes:
        examples: how many.
        clusters: how many different ones among them.
        groups: dimension -> group -> examples that bear it; an example may count in several groups.
    """

    examples: int
    clusters: int
    groups: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class TaskDescription:
    """A task as `chaintune tasks NAME` shows it.

    Attributes:
        prompts: some prompts of the test split, each with its right answer behind it.
    """

    name: str
    role: Role
    version: str
    source: str
    licence: str
    train: SplitCounts
    test: SplitCounts
    prompts: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def describe(task: Task, *, prompts: int = 3) -> TaskDescription:
    """Counts per group, and some prompts spread evenly over the test split.

    Args:
        task: the task.
        prompts: how many to render; 0 for none.
    """
    shown = task.test or task.train
    picked = [shown[(2 * k + 1) * len(shown) // (2 * prompts)] for k in range(min(prompts, len(shown)))]
    return TaskDescription(
        name=task.name,
        role=task.role,
        version=task.version,
        source=task.source,
        licence=task.licence,
        train=_counts(task.train, task.dimensions),
        test=_counts(task.test, task.dimensions),
        prompts=tuple(shown_text(example.prompt) + _right_answer(example) for example in picked),
    )


def _right_answer(example: Example) -> str:
    match example.target:
        case Choices() as choices:
            return choices.gold_text
        case Reference(text) | Preference(text):
            return shown_text(text)
        case None:
            return ""


def _counts(examples: Sequence[Example], dimensions: Sequence[str]) -> SplitCounts:
    groups = {
        dimension: dict(sorted(Counter(name for e in examples for name in e.groups.get(dimension, ())).items()))
        for dimension in dimensions
    }
    return SplitCounts(len(examples), len({example.cluster for example in examples}), groups)
