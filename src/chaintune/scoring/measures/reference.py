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
    backend: Backend,
    examples: Sequence[Example],
    *,
    task: str,
    again: bool,  # noqa: ARG001 - what changes in a second way of asking is read of answers that are compared
    on_scored: Callable[[int], None],
) -> Measurement:
    """The log-probabilities of both answers with their ends; none is asked a second way."""
    logprobs, tokens = backend.ended_logprobs(examples, task=task, on_scored=on_scored)
    return replace(preference_measurement(examples, logprobs, tokens, backend.about), measure=REFERENCE)


MEASURE = Measure(
    REFERENCE,
    (Preference,),
    frozenset({"log-probabilities of ended answers"}),
    record,
    question,
    tuple(replace(metric, measure=REFERENCE) for metric in PREFERENCE_METRICS.values()),
)
