"""Preference: the measurement of a chosen and a rejected answer's log-probabilities, and its item metrics."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from chaintune.records.amounts import NATS
from chaintune.records.answers import NO_PREFERENCE
from chaintune.records.choice import TIE
from chaintune.records.examples import Example
from chaintune.records.measurements import MEASUREMENT_SCHEMA, Measurement
from chaintune.records.metrics import ItemMetric

PREFERENCE = "preference"
DIFFERENCE = "difference"
# The measure of both answers with their ends, and the key of an example's `extra` that holds the two log-probabilities.
REFERENCE = "reference"

# Natural-log sums over an answer's tokens, and how many tokens that are; scores have the same columns.
PREFERENCE_SCHEMA = pa.schema(
    [
        ("chosen_log_probability", pa.float64()),
        ("chosen_tokens", pa.int32()),
        ("rejected_log_probability", pa.float64()),
        ("rejected_tokens", pa.int32()),
    ]
)
MEASURED = pa.schema([*MEASUREMENT_SCHEMA, *PREFERENCE_SCHEMA])
_CHANCE = 0.5
_IMPOSSIBLE = "the model gives an answer no probability at all, so the difference has no finite size"


def preference_measurement(
    examples: Sequence[Example],
    logprobs: Sequence[Sequence[float]],
    tokens: Sequence[Sequence[int]],
    provenance: Mapping[str, str] | None = None,
) -> Measurement:
    """The measurement of examples with a chosen and a rejected answer.

    Args:
        examples: in any order.
        logprobs: log-probability of the chosen and of the rejected answer of each example, in nats.
        tokens: how many tokens each log-probability sums over.
        provenance: what made it.
    """
    both = [[row[place] for row in rows] for place in (0, 1) for rows in (logprobs, tokens)]
    return Measurement.of(PREFERENCE, MEASURED, examples, both, provenance)


def compared(table: pa.Table, metric: str) -> dict[str, Any]:
    """The columns of scores that follow from the two log-probabilities.

    Args:
        table: with the columns of `PREFERENCE_SCHEMA`.
        metric: `preference` or `difference`.

    Example:
        >>> row = pa.table({"chosen_log_probability": [-3.0], "rejected_log_probability": [-3.00001]})
        >>> compared(row, "preference")["score"]
        [0.5]
    """
    both = [table.column(f"{side}_log_probability").to_pylist() for side in ("chosen", "rejected")]
    ahead = [0.0 if chosen == rejected else chosen - rejected for chosen, rejected in zip(*both, strict=True)]
    answers = [None if abs(by) <= TIE else "chosen" if by > 0 else "rejected" for by in ahead]
    columns: dict[str, Any] = {
        "answer": answers,
        "outcome": [NO_PREFERENCE if answer is None else None for answer in answers],
    }
    if metric == PREFERENCE:
        values = {"chosen": 1.0, "rejected": 0.0, None: _CHANCE}
        scores: list[float | None] = [values[answer] for answer in answers]
        return columns | {"score": scores, "missing_reason": [None] * len(ahead), "chance": [_CHANCE] * len(ahead)}
    possible = [math.isfinite(chosen + rejected) for chosen, rejected in zip(*both, strict=True)]
    return columns | {
        "score": [by if known else None for by, known in zip(ahead, possible, strict=True)],
        "missing_reason": [None if known else _IMPOSSIBLE for known in possible],
        "chance": [None] * len(ahead),
    }


def _score(metric: str, measurement: Measurement, _examples: Sequence[Example]) -> dict[str, Any]:
    table = measurement.table
    return {name: table.column(name) for name in PREFERENCE_SCHEMA.names} | compared(table, metric)


PREFERENCE_METRICS: Mapping[str, ItemMetric] = {
    PREFERENCE: ItemMetric(PREFERENCE, PREFERENCE, score=partial(_score, PREFERENCE)),
    DIFFERENCE: ItemMetric(DIFFERENCE, PREFERENCE, NATS, (-math.inf, math.inf), score=partial(_score, DIFFERENCE)),
}
