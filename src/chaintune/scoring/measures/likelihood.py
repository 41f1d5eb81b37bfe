"""Likelihood: the log-probability of the reference answer given the prompt."""

import json
from collections.abc import Sequence

from chaintune.records import LIKELIHOOD_METRICS, Example, Measurement, Reference, likelihood_measurement
from chaintune.scoring.backends.backend import Backend
from chaintune.scoring.measures.measure import Asking, Measure, ask_answers, question


def record(backend: Backend, examples: Sequence[Example], asking: Asking) -> Measurement:
    """The log-probability of every answer, with the rounding of some, a token, where it is asked for."""
    logprobs, tokens, about = ask_answers(backend, examples, asking)
    sizes = [row[0] for row in tokens]
    about |= {"rounding": _a_token(about["rounding"], examples, sizes)} if "rounding" in about else {}
    return likelihood_measurement(examples, [row[0] for row in logprobs], sizes, about)


def _a_token(rounding: str, examples: Sequence[Example], tokens: Sequence[int]) -> str:
    """The rounding of sums as that of means over tokens; there is no other answer that could be preferred."""
    of_sums, sizes = json.loads(rounding), dict(zip((example.id for example in examples), tokens, strict=True))
    nats = [change / sizes[name] for name, change in zip(of_sums["example_id"], of_sums["nats"], strict=True)]
    return json.dumps({"example_id": of_sums["example_id"], "nats": nats})


MEASURE = Measure(
    "likelihood", (Reference,), frozenset({"log-probabilities"}), record, question, tuple(LIKELIHOOD_METRICS.values())
)
