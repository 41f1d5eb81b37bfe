"""Likelihood of a reference answer: its measurement, and the item metric that reads it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from chaintune.records.amounts import NATS
from chaintune.records.examples import Example
from chaintune.records.measurements import MEASUREMENT_SCHEMA, Measurement
from chaintune.records.metrics import ItemMetric

LIKELIHOOD = "likelihood"

# `log_probability` is the natural-log sum over the answer's tokens.
MEASURED = pa.schema([*MEASUREMENT_SCHEMA, pa.field("log_probability", pa.float64()), pa.field("tokens", pa.int32())])
_IMPOSSIBLE = "the model gives its reference answer no probability at all"


def likelihood_measurement(
    examples: Sequence[Example],
    logprobs: Sequence[float],
    tokens: Sequence[int],
    provenance: Mapping[str, str] | None = None,
) -> Measurement:
    """The measurement of examples with a reference answer.

    Args:
        examples: in any order.
        logprobs: log-probability of each example's answer, in nats.
        tokens: how many tokens each log-probability sums over.
        provenance: what made it.
    """
    return Measurement.of(LIKELIHOOD, MEASURED, examples, [list(map(float, logprobs)), list(tokens)], provenance)


def _score(measurement: Measurement, _examples: Sequence[Example]) -> dict[str, Any]:
    table = measurement.table
    sums, counts = (table.column(name) for name in ("log_probability", "tokens"))
    # Rounding may leave a certain answer a hair above probability 1.
    rows = zip(sums.to_pylist(), counts.to_pylist(), strict=True)
    scores = [min(total / count, 0.0) if math.isfinite(total) else None for total, count in rows]
    reasons = [_IMPOSSIBLE if score is None else None for score in scores]
    return {"score": scores, "missing_reason": reasons, "log_probability": sums, "tokens": counts}


# The mean over the tokens of an answer, so that long answers count as much as short ones. Nothing is known of chance.
LIKELIHOOD_METRICS: Mapping[str, ItemMetric] = {
    LIKELIHOOD: ItemMetric(LIKELIHOOD, LIKELIHOOD, NATS, (-math.inf, 0.0), score=_score)
}
