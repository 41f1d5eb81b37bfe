"""What a measure is: what it needs, what it records of a checkpoint, and the item metrics that read it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.records import Example, Generation, ItemMetric, Measurement, Target, canonical_digest
from chaintune.records.generation import Keep, kept_nowhere
from chaintune.scoring.backends.backend import Ability, Backend

# Asked a second way: enough to tell one changed answer in twenty from none.
_AGAIN_EXAMPLES = 64


@dataclass(frozen=True, slots=True)
class Asking:
    """How a checkpoint is asked.

    Attributes:
        task: named in errors.
        again: ask some examples a second way, and keep what that changes, where the measure can.
        generation: how texts are written.
        on_scored: called with the number of examples done.
        on_written: called with the numbers of texts and of tokens that were written so far.
        keep: keeps parts of the measurement that are there before the last one is.
    """

    task: str
    again: bool = False
    generation: Generation = field(default_factory=Generation)
    on_scored: Callable[[int], None] = lambda _: None
    on_written: Callable[[int, int], None] = lambda *_: None
    keep: Keep = kept_nowhere


class Record(Protocol):
    """Asks a checkpoint."""

    def __call__(self, backend: Backend, examples: Sequence[Example], asking: Asking) -> Measurement:
        """What the checkpoint says to the examples, which are sorted by id.

        Args:
            backend: open on the checkpoint.
            examples: that the measure takes.
            asking: how.
        """
        ...


@dataclass(frozen=True, slots=True)
class Measure:
    """A way in which checkpoints are asked.

    Attributes:
        name: as study files write it.
        targets: what an example's target may be for it to be asked this way.
        needs: what a backend has to be able to compute.
        record: asks a checkpoint.
        question: what of an example the checkpoint gets to see, as data that JSON can hold; part of the key.
        metrics: item metrics that read its measurements, the default first.
        version: raised when it asks otherwise; part of every key.
        generation: how texts are written, of a measure that asks for some.
    """

    name: str
    targets: tuple[type, ...]
    needs: frozenset[Ability]
    record: Record
    question: Callable[[Example], Any]
    metrics: tuple[ItemMetric, ...]
    version: str = "1"
    generation: Generation | None = None

    def takes(self, target: Target) -> bool:
        """Whether an example with this target can be asked this way."""
        return isinstance(target, self.targets)

    def check(self, examples: Sequence[Example], task: str) -> None:
        """Refuse examples that cannot be asked this way.

        Raises:
            DataError: there are some; the message counts them and names the first.
        """
        if wrong := [example for example in examples if not self.takes(example.target)]:
            kinds = " or ".join(kind.__name__.lower() for kind in self.targets)
            raise DataError(
                f"task '{task}': measure '{self.name}' takes examples with {kinds}, and {len(wrong)} of "
                f"{len(examples)} have another target, such as '{wrong[0].id}'"
            )

    def metric(self, name: str) -> ItemMetric:
        """The item metric of a name; the default where it is empty or `auto`.

        Raises:
            ConfigError: there is no such metric.
        """
        known = {metric.name: metric for metric in self.metrics}
        if name in ("", "auto"):
            return self.metrics[0]
        if name not in known:
            raise ConfigError(f"metric '{name}' of measure '{self.name}': {nearest(name, known)}")
        return known[name]

    def content(self) -> list[Any]:
        """What of the measure determines its measurements."""
        return [self.name, self.version, *([self.generation.content()] if self.generation else [])]

    def digest(self, examples: Sequence[Example]) -> str:
        """Digest of the examples as the checkpoint gets to see them; independent of their order."""
        return canonical_digest([[example.id, self.question(example)] for example in sorted(examples, key=_id)])


def ask_answers(
    backend: Backend, examples: Sequence[Example], asking: Asking
) -> tuple[list[list[float]], list[list[int]], dict[str, str]]:
    """Log-probability and tokens of each answer of each example, and what a measurement keeps of how they were made.

    Args:
        backend: open on the checkpoint.
        examples: that have answers.
        asking: how; what changes where some are asked a second way is kept as `rounding`.
    """
    how: dict[str, Any] = {"task": asking.task, "on_scored": asking.on_scored, "keep": asking.keep}
    logprobs, tokens = backend.answer_logprobs(examples, **how)
    rounding = backend.rounding(examples, logprobs) if asking.again and examples else ""
    return logprobs, tokens, dict(backend.about) | ({"rounding": rounding} if rounding else {})


def evenly_spaced(count: int, most: int = _AGAIN_EXAMPLES) -> list[int]:
    """Places of up to so many, 64, of a count of examples: those that are asked a second way."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()
    return places


def question(example: Example) -> list[Any]:
    """Prompt and answers, and how they are read; which of them is right is no part of the question."""
    return example.asked_content()


def _id(example: Example) -> str:
    return example.id
