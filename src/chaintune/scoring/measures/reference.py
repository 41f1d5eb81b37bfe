"""Reference: the log-probabilities of both answers of a pair as tuning teaches them, with what ends each.

Asked of the model before a stage by an objective that holds the stage against it, such as DPO.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from chaintune.records import PREFERENCE_METRICS, Example, Measurement, Preference, preference_measurement
from chaintune.records.preference import REFERENCE
from chaintune.scoring.backends.backend import Backend
from chaintune.scoring.measures.measure import Measure, question


def record(
    backend: Backend, examples: Sequence[Example], *, task: str, again: bool, on_scored: Callable[[int], None]
) -> Measurement:
    """The log-probabilities of both answers with their ends, with the rounding of some where it is asked for."""
    logprobs, tokens = backend.ended_logprobs(examples, task=task, on_scored=on_scored)
    rounding = backend.rounding(examples, logprobs) if again and examples else ""
    about = dict(backend.about) | ({"rounding": rounding} if rounding else {})
    measurement = preference_measurement(examples, logprobs, tokens, about)
    return replace(measurement, measure=REFERENCE)


MEASURE = Measure(
    REFERENCE,
    (Preference,),
    frozenset({"log-probabilities of ended answers"}),
    record,
    question,
    tuple(replace(metric, measure=REFERENCE) for metric in PREFERENCE_METRICS.values()),
)
