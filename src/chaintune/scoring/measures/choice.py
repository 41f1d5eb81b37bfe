"""Multiple choice: the log-probability of every choice given the prompt."""

from collections.abc import Sequence

from chaintune.records import CHOICE_METRICS, Choices, Example, Measurement, choice_measurement
from chaintune.scoring.backends.backend import Backend
from chaintune.scoring.measures.measure import Asking, Measure, ask_answers, question


def record(backend: Backend, examples: Sequence[Example], asking: Asking) -> Measurement:
    """The log-probabilities of all choices, with the rounding of some where it is asked for."""
    answers = ask_answers(backend, examples, asking)
    return choice_measurement(examples, *answers)


MEASURE = Measure(
    "choice", (Choices,), frozenset({"log-probabilities"}), record, question, tuple(CHOICE_METRICS.values())
)
