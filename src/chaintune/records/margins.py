"""Scaled margins: how far the right choice lies ahead of the best other one, in a unit of the checkpoint's own."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SCALED_MARGIN = "scaled_margin"
NO_VERDICT = "decides nothing, as it stands beside another: name the one that decides first"
# A column that scores may have without the log-probabilities of all choices: that of the right one minus the best
# other's, in nats.
LOG_MARGIN = "log_margin"
# Digits behind the point: the last bits of a quotient are no change.
_DECIMALS = 9

Floats = NDArray[np.float64]


def log_margins(table: pa.Table) -> Floats:
    """The right choice's log-probability minus the best other's; NaN where there is no other, or one is no number.

    Args:
        table: with the columns `gold` and `choice_logprobs`, or with `log_margin`.

    Shape: `[E]`.
    """
    if LOG_MARGIN in table.column_names:
        return np.asarray(table.column(LOG_MARGIN).to_numpy(zero_copy_only=False), dtype=np.float64)
    choices = table.column("choice_logprobs").combine_chunks()
    counts = choices.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    if not len(counts):
        return np.zeros(0)
    starts = np.cumsum(counts) - counts
    others = np.array(choices.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    places = starts + table.column("gold").to_numpy()
    right = others[places]
    others[places] = -np.inf
    with np.errstate(invalid="ignore"):  # both may be impossible
        margins = right - np.maximum.reduceat(others, starts)
    return np.asarray(np.where(counts > 1, margins, np.nan))


def log_margin(logprobs: Sequence[float], gold: int) -> float:
    """The right one of some log-probabilities minus the best other; NaN where there is no other, or both are -inf.

    Example:
        >>> log_margin([-2.0, -0.5, -3.0], gold=1)
        1.5
    """
    others = [value for place, value in enumerate(logprobs) if place != gold]
    return logprobs[gold] - max(others) if others else math.nan


def scaled_margins(margins: Floats) -> dict[str, Any]:
    """The columns `score` and `missing_reason`: the normal distribution function of each margin over their spread.

    The spread is the median absolute deviation about the median, so margins that are all divided by one number, as by
    another temperature, score the same.

    Args:
        margins: of all of a checkpoint's test examples, in nats.

    Shape: margins `[E]`.

    Undefined: all, where the spread is 0 or not finite; one, where it has no margin.
    """
    known = margins[~np.isnan(margins)]
    with np.errstate(invalid="ignore"):  # the median may be infinite
        spread = float(np.median(np.abs(known - np.median(known)))) if len(known) else math.nan
    if not 0 < spread < math.inf:
        why = "the margins of the right choices have no spread (median absolute deviation) to scale them by"
        return {"score": [None] * len(margins), "missing_reason": [why] * len(margins)}
    scores = [
        None if math.isnan(margin) else round(math.erfc(-margin / (spread * math.sqrt(2))) / 2, _DECIMALS)
        for margin in margins.tolist()
    ]
    why = "the log-probabilities of its choices give no margin"
    return {"score": scores, "missing_reason": [why if score is None else None for score in scores]}
