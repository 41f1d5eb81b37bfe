"""Reference: the log-probabilities of both answers of a pair as tuning teaches them, with what ends each.

Asked of the model before a stage by an objective that holds the stage against it, such as DPO.
"""

from collections.abc import Sequence
from dataclasses import replace

from chaintune.records import PREFERENCE_METRICS, Example, Measurement, Preference, preference_measurement
from chaintune.records.preference import REFERENCE
from chaintune.scoring.backends.backend import Backend
from chaintune.scoring.measures.measure import Asking, Measure, question


def record(backend: Backend, examples: Sequence[Example], asking: Asking) -> Measurement:
    """The log-probabilities of both answers with their ends; none is asked a second way."""
    logprobs, tokens = backend.ended_logprobs(examples, task=asking.task, on_scored=asking.on_scored)
    return replace(preference_measurement(examples, logprobs, tokens, backend.about), measure=REFERENCE)


MEASURE = Measure(
    REFERENCE,
    (Preference,),
    frozenset({"log-probabilities of ended answers"}),
    record,
    question,
    tuple(replace(metric, measure=REFERENCE) for metric in PREFERENCE_METRICS.values()),
)
