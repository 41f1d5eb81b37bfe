"""A task described: counts per group, sample prompts, and the power of a comparison on it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from chaintune.errors import DataError
from chaintune.records import Choices, Example, Message, Preference, Reference, Role, Task
from chaintune.records.examples import EXPECTS, Text, shown_text
from chaintune.records.generation import GENERATION
from chaintune.tasks.labelling import is_balanced
from chaintune.tasks.sizes import SizeSpec, orders_of

if TYPE_CHECKING:
    from chaintune.stats import Flips

POINTS = (5, 10)


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
        prompts: some prompts of the test split, each with its right answer behind it, or with what is expected.
        scorer: that judges what a model writes to the prompts; empty where none is named.
        max_new_tokens: of what a model writes to a prompt; None where it writes nothing.
    """

    name: str
    role: Role
    version: str
    source: str
    licence: str
    train: SplitCounts
    test: SplitCounts
    prompts: tuple[str, ...]
    scorer: str = ""
    max_new_tokens: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PowerRow:
    """The power for the whole task, or for one group of a dimension: from its least to its most powerful group.

    Attributes:
        dimension: empty is the whole task.
        groups: of the dimension; 0 for the whole task.
        n: examples of the smallest and of the largest group.
        clusters: of the one with fewest and of the one with most.
        power: points of the loss -> power in the group with least and in the one with most.
        examples_needed: of each group, or of the whole task, that show 10 points with 80 % power; beyond
            `examples_available` a guess, None where no number would do.
        examples_available: that the data has of each, so the size of its smallest group.
        seeds_needed: fewest seeds, of two or more, that show 10 points at these sizes; None where 20 do not.
    """

    dimension: str
    groups: int
    n: tuple[int, int]
    clusters: tuple[int, int]
    power: Mapping[int, tuple[float, float]]
    examples_needed: int | None
    examples_available: int
    seeds_needed: int | None


def power_rows(task: Task, whole: Task, flips: "Flips", *, seeds: int = 1, seed: int = 0) -> list[PowerRow]:
    """Power of a loss of the whole task, and of a group that loses more than the whole, of each dimension.

    Args:
        task: with the examples that are tested.
        whole: with all that could be.
        flips: where nothing is lost.
        seeds: of the trainings; one is a training alone.
        seed: of the sample.

    Raises:
        DataError: it is measured in nats, which do not flip.
    """
    from chaintune.tasks.power import counts_flips  # loads scipy, which a description does not need

    if not counts_flips(task.test, task.measures):
        raise DataError(
            f"task '{task.name}': power is known of shares of what is right, and its answers are measured in nats"
        )
    return [_power_row(task, whole, dimension, flips, seeds, seed) for dimension in ("", *task.dimensions)]


def _power_row(task: Task, whole: Task, dimension: str, flips: "Flips", seeds: int, seed: int) -> PowerRow:
    from chaintune.tasks.power import LEVEL, layout_of, needed_for

    size, balanced = SizeSpec(0, dimension), is_balanced(task.dimensions, task.metrics, task.test)
    groups_of = size.groups if dimension else None
    layout = layout_of(task.test, groups_of, balanced=balanced)
    members: dict[str, list[Example]] = {} if dimension else {"": list(task.test)}
    for example in task.test if dimension else ():
        for name in set(size.groups(example)):
            members.setdefault(name, []).append(example)
    shown = {points: layout.power(flips, points / 100, level=LEVEL, seeds=seeds) for points in POINTS}
    orders = orders_of(whole.test, size, task=task.known or task.name, seed=seed, balance=task.balance)
    needed = needed_for(orders, groups_of, POINTS[-1], balanced=balanced, flips=flips)
    return PowerRow(
        dimension,
        len(members) if dimension else 0,
        _ends([len(examples) for examples in members.values()]),
        _ends([len({example.cluster for example in examples}) for examples in members.values()]),
        {points: _ends(power.tolist()) for points, power in shown.items()},
        needed.about,
        needed.most,
        layout.seeds(flips, POINTS[-1] / 100, level=LEVEL),
    )


def _ends(values: Sequence[Any]) -> tuple[Any, Any]:
    return min(values, default=0), max(values, default=0)


def describe(task: Task, *, prompts: int = 3) -> TaskDescription:
    """Counts per group, and some prompts spread evenly over the test split.

    Args:
        task: the task.
        prompts: how many to render; 0 for none.
    """
    shown = task.test or task.train
    writes = GENERATION in task.measures if task.measures else any(example.target is None for example in shown)
    picked = [shown[(2 * k + 1) * len(shown) // (2 * prompts)] for k in range(min(prompts, len(shown)))]
    return TaskDescription(
        name=task.name,
        role=task.role,
        version=task.version,
        source=task.source,
        licence=task.licence,
        train=_counts(task.train, task.dimensions),
        test=_counts(task.test, task.dimensions),
        prompts=tuple(map(_shown, picked)),
        scorer=", ".join(scorer.name for scorer in task.scorers) if writes else "",
        max_new_tokens=task.generation.max_new_tokens if writes else None,
    )


def _shown(example: Example) -> str:
    """Prompt and right answer, or what is expected; of a conversation a line a turn."""
    match example.target:
        case Choices() as choices:
            answer: Text = choices.gold_text
        case Reference(text) | Preference(text):
            answer = text
        case None:
            expected = example.extra.get(EXPECTS)
            return shown_text(example.prompt) + (f"\n(expected: {expected})" if expected else "")
    if isinstance(example.prompt, str):
        return example.prompt + shown_text(answer)
    last = (Message("assistant", answer),) if isinstance(answer, str) else answer
    return shown_text((*example.prompt, *last))


def _counts(examples: Sequence[Example], dimensions: Sequence[str]) -> SplitCounts:
    groups = {
        dimension: dict(sorted(Counter(name for e in examples for name in e.groups.get(dimension, ())).items()))
        for dimension in dimensions
    }
    return SplitCounts(len(examples), len({example.cluster for example in examples}), groups)
