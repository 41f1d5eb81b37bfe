"""Preference: the log-probabilities of the chosen and of the rejected answer given the prompt."""

from collections.abc import Sequence

from chaintune.records import PREFERENCE_METRICS, Example, Measurement, Preference, preference_measurement
from chaintune.scoring.backends.backend import Backend
from chaintune.scoring.measures.measure import Asking, Measure, ask_answers, question


def record(backend: Backend, examples: Sequence[Example], asking: Asking) -> Measurement:
    """The log-probabilities of both answers, with the rounding of some where it is asked for."""
    answers = ask_answers(backend, examples, asking)
    return preference_measurement(examples, *answers)


MEASURE = Measure(
    "preference", (Preference,), frozenset({"log-probabilities"}), record, question, tuple(PREFERENCE_METRICS.values())
)
