"""Generation: the texts that a checkpoint writes behind the prompt, for a scorer to judge."""

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any

from chaintune.records import Choices, Example, Measurement, Preference, Reference, generation_measurement
from chaintune.records.generation import ANSWERED_AS, GENERATION, GeneratedText, Generation, Texts, texts_kept
from chaintune.scoring.backends.backend import Backend
from chaintune.scoring.measures.measure import Asking, Measure, evenly_spaced


def record(backend: Backend, examples: Sequence[Example], asking: Asking) -> Measurement:
    """The texts written to every prompt, and those of some a second time, in smaller batches, where it is asked for."""
    keep = texts_kept(asking.keep)
    how: dict[str, Any] = {"task": asking.task, "generation": asking.generation}
    texts = backend.generate(examples, **how, on_written=asking.on_written, remember=keep)
    again: dict[str, list[GeneratedText]] = {}
    if asking.again and examples:
        chosen = [examples[place] for place in evenly_spaced(len(examples))]
        before = [text.tokens for own in texts for text in own]

        def on_written(further: int, tokens: int) -> None:
            asking.on_written(len(before) + further, sum(before) + tokens)

        def remember(name: str, compute: Callable[[], Texts]) -> Texts:
            return keep(name if name == ANSWERED_AS else f"again {name}", compute)

        rewritten = backend.generate(chosen, **how, on_written=on_written, remember=remember, apart=True)
        again = {example.id: own for example, own in zip(chosen, rewritten, strict=True)}
    about = {**backend.about, GENERATION: asking.generation.to_json()}
    return generation_measurement(examples, texts, about, again=again)


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
