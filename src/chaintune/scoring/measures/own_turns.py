"""Own turns: conversations that a checkpoint writes alone, the turn of a user first and its answer to that.

Asked of the checkpoint before a loss by mitigations that have no prompts either. The user's turn is drawn at
temperature 1, a different one for each example; the answer is written as the mitigation says.

Source:
    Xu et al. 2024, Magpie, arXiv:2406.08464, for the user's turn behind the opening of the chat template alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import NoneType
from typing import Any

import pyarrow as pa

from chaintune.errors import DataError
from chaintune.records import Example, Generation, Measurement, Message, generation_measurement
from chaintune.records.generation import Texts, texts_kept
from chaintune.scoring.backends.backend import Backend
from chaintune.scoring.measures.generation import question
from chaintune.scoring.measures.measure import Asking, Measure

OWN_TURNS = "own_turns"
# The column with the turn of the user.
PROMPT = "prompt"


def record(backend: Backend, examples: Sequence[Example], asking: Asking) -> Measurement:
    """The user's turn and the answer to it, for each example of which the turn ended by itself."""
    keep = texts_kept(asking.keep)
    drawn = replace(asking.generation, samples=1, temperature=1.0)

    def remember(name: str, compute: Callable[[], Texts]) -> Texts:
        return keep(f"turn {name}", compute)

    turns = backend.generate(
        examples, task=asking.task, generation=drawn, on_written=lambda *_: None, remember=remember
    )
    asked: dict[str, str] = {
        example.id: own[0].text.strip()
        for example, own in zip(examples, turns, strict=True)
        if own[0].finish_reason != "length" and own[0].text.strip()
    }
    if not asked:
        raise DataError(
            f"task '{asking.task}': of {len(examples)} turns of a user none ended within {drawn.max_new_tokens} tokens "
            "with a text; raise max_new_tokens, or name prompts that are there"
        )
    begun = [
        replace(example, prompt=(*example.prompt, Message("user", asked[example.id])))
        for example in examples
        if example.id in asked and isinstance(example.prompt, tuple)
    ]
    how: dict[str, Any] = {"task": asking.task, "generation": asking.generation}
    texts = backend.generate(begun, **how, on_written=asking.on_written, remember=keep)
    written = generation_measurement(begun, texts, {**backend.about, "generation": asking.generation.to_json()})
    prompts = pa.array([asked[name] for name in written.table.column("example_id").to_pylist()], pa.string())
    return Measurement(OWN_TURNS, written.table.append_column(PROMPT, prompts), written.provenance)


# Nothing judges them: they are taught.
MEASURE = Measure(OWN_TURNS, (NoneType,), frozenset({"text"}), record, question, (), generation=Generation())
