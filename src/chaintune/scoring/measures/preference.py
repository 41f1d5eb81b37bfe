"""Preference: the log-probabilities of the chosen and of the rejected answer given the prompt."""

from collections.abc import Callable, Sequence

from chaintune.records import PREFERENCE_METRICS, Example, Measurement, Preference, preference_measurement
from chaintune.scoring.backends.backend import Backend
from chaintune.scoring.measures.measure import Measure, question


def record(
    backend: Backend, examples: Sequence[Example], *, task: str, again: bool, on_scored: Callable[[int], None]
) -> Measurement:
    """The log-probabilities of both answers, with the rounding of some where it is asked for."""
    logprobs, tokens = backend.answer_logprobs(examples, task=task, on_scored=on_scored)
    rounding = backend.rounding(examples, logprobs) if again and examples else ""
    about = dict(backend.about) | ({"rounding": rounding} if rounding else {})
    return preference_measurement(examples, logprobs, tokens, about)


MEASURE = Measure(
    "preference", (Preference,), frozenset({"log-probabilities"}), record, question, tuple(PREFERENCE_METRICS.values())
)
