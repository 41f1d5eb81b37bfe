"""Generation: the texts that a checkpoint writes behind the prompt, for a scorer to judge."""

from collections.abc import Sequence
from types import NoneType
from typing import Any

from chaintune.records import Choices, Example, Measurement, Preference, Reference, generation_measurement
from chaintune.records.generation import GENERATION, Generation
from chaintune.scoring.backends.backend import Backend
from chaintune.scoring.measures.measure import Asking, Measure


def record(backend: Backend, examples: Sequence[Example], asking: Asking) -> Measurement:
    """The texts written to every prompt."""
    texts = backend.generate(
        examples,
        task=asking.task,
        generation=asking.generation,
        on_written=asking.on_written,
        remember=asking.remember,
    )
    return generation_measurement(examples, texts, backend.about)


def question(example: Example) -> list[Any]:
    """The prompt and how it is read; what may be answered is no part of the question."""
    prompt, _answers, *read = example.asked_content()
    return [prompt, *read]


# Its item metrics are the scorers that a task names.
MEASURE = Measure(
    GENERATION,
    (Choices, Reference, Preference, NoneType),
    frozenset({"text"}),
    record,
    question,
    (),
    generation=Generation(),
)
