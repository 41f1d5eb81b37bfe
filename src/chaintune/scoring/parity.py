"""A sample of examples, measured by our own scorer and by a server that holds the same checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaintune.models.encoding import Encoded, encode_of, prompts_of
from chaintune.models.loading import LoadedModel
from chaintune.records import Choices, Example, Generation, Preference
from chaintune.records.generation import at_once
from chaintune.records.parity import Parity
from chaintune.scoring.backends.checkpoint_server import CheckpointServer
from chaintune.scoring.backends.transformers import TransformersBackend
from chaintune.scoring.logprobs import answer_logprobs
from chaintune.scoring.measures.measure import Measure, evenly_spaced

_EXAMPLES = 16


@dataclass(frozen=True, slots=True)
class OwnSample:
    """What our own scorer made of a sample of examples.

    Attributes:
        task: whose they are.
        examples: evenly spaced.
        generation: how texts are written, greedily; None where none are.
        texts: that were written.
        encoded: the answers, or the texts where they are not empty.
        logprobs: of these.
    """

    task: str
    examples: Sequence[Example]
    generation: Generation | None
    texts: Sequence[str]
    encoded: Sequence[Encoded]
    logprobs: Sequence[Sequence[float]]


def own_sample(loaded: LoadedModel, examples: Sequence[Example], *, measure: Measure, task: str) -> OwnSample:
    """A sample of examples as our own scorer measures it; of texts the likeliest, and how likely each is.

    Args:
        loaded: the checkpoint.
        examples: of the task.
        measure: how they are asked.
        task: named in errors.

    Raises:
        DataError: an example is longer than the model's context.
        ModelError: the model answers with something that is no number, or memory does not suffice.
    """
    ordered = sorted(examples, key=lambda example: example.id)
    chosen = [ordered[place] for place in evenly_spaced(len(ordered), _EXAMPLES)]
    tokenizer, context = loaded.tokenizer, loaded.context_tokens
    texts: list[str] = []
    greedy = None
    if measure.generation:
        greedy = replace(measure.generation, samples=1, temperature=0.0)
        written = TransformersBackend(loaded).generate(chosen, task=task, generation=greedy)
        texts = [text.text for (text,) in written]
        prompts = prompts_of(tokenizer, chosen, context, greedy.max_new_tokens, task=task)
        behind = [tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
        encoded = [Encoded(prompt, (own,)) for prompt, own in zip(prompts, behind, strict=True) if own]
    else:
        encoded = encode_of(tokenizer, chosen, context, task=task)
    logprobs = answer_logprobs(loaded.model, encoded)
    return OwnSample(task, chosen, greedy, texts, encoded, logprobs)


def parity(own: OwnSample, server: CheckpointServer) -> Parity:
    """How far a server agrees with our own scorer.

    Args:
        own: of the same checkpoint.
        server: that holds it.

    Raises:
        ModelError: the server does not answer.
    """
    served = server.logprobs(own.encoded)
    if served is None and not own.generation:
        server.check(frozenset({"log-probabilities"}))
    pairs = [pair for rows in zip(own.logprobs, served or (), strict=False) for pair in zip(*rows, strict=True)]
    nats = max((abs(one - other) for one, other in pairs), default=None)
    if own.generation:
        how: dict[str, Any] = {
            "task": own.task,
            "generation": own.generation,
            "on_written": lambda *_: None,
            "remember": at_once,
        }
        written = [text.text for (text,) in server.generate(own.examples, **how)]
        alike = sum(one == other for one, other in zip(own.texts, written, strict=True))
        return Parity(own.task, len(own.examples), "greedy texts", alike, nats)
    if served and all(isinstance(example.target, Choices | Preference) for example in own.examples):
        alike = sum(_best(one) == _best(other) for one, other in zip(own.logprobs, served, strict=True))
        return Parity(own.task, len(own.examples), "preferred answers", alike, nats)
    return Parity(own.task, len(own.examples), "", 0, nats)


def _best(logprobs: Sequence[float]) -> int:
    return max(range(len(logprobs)), key=logprobs.__getitem__)
