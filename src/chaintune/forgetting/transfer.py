"""Backward and forward transfer, and average forgetting by the conventions of other tools.

A matrix `R` holds the score of task `t` after stage `s` at `R[s, t]`; tasks are numbered in the order in
which they are tuned, stage `s` tunes task `s`.
"""

from collections.abc import Sequence

import numpy as np

from chaintune.errors import DataError
from chaintune.records import Estimate
from chaintune.stats import Sample, combination
from chaintune.stats.clusters import Floats


def backward_transfer(scores: Floats) -> float:
    """Mean change of each earlier task between its own stage and the last one.

    Sign: negative is forgetting.

    Source: Lopez-Paz and Ranzato (2017), equation 3; Mammoth's `backward_transfer` is the same.
    """
    matrix = _square(scores)
    return float(np.mean(matrix[-1, :-1] - np.diag(matrix)[:-1]))


def forward_transfer(scores: Floats, baseline: Sequence[float]) -> float:
    """Mean gain of each task over its baseline at the stage before it is tuned.

    Args:
        scores: after each stage.
        baseline: score of each task without any tuning. Lopez-Paz and Ranzato take a random
            initialisation; for a language model it is the base model.

    Sign: positive is better.

    Source: Lopez-Paz and Ranzato (2017), equation 4; Mammoth's `forward_transfer` is the same.
    """
    matrix = _square(scores)
    if len(baseline) != len(matrix):
        raise DataError(f"baseline of {len(baseline)} tasks, expected {len(matrix)}")
    return float(np.mean([matrix[t - 1, t] - baseline[t] for t in range(1, len(matrix))]))


def forgetting_chaudhry(scores: Floats) -> float:
    """Mean loss of each earlier task from its best earlier stage, the last one not among them.

    Sign: positive is worse; negative when the last stage is the best.

    Source: Chaudhry et al. (2018), equations 2 and 3.
    """
    matrix = _square(scores)
    return float(np.mean(matrix[:-1, :-1].max(axis=0) - matrix[-1, :-1]))


def forgetting_avalanche(scores: Floats) -> float:
    """Mean loss of each earlier task from its own stage: minus the backward transfer.

    Sign: positive is worse.

    Source: Avalanche, `StreamForgetting`: first value recorded after tuning minus the last one.
    """
    return -backward_transfer(scores)


def forgetting_mammoth(scores: Floats) -> float:
    """Mean loss of each earlier task from its best stage, the last one among them, so never negative.

    Tasks not yet tuned count as 0 in Mammoth, whose rows grow with the stages.

    Sign: positive is worse, 0 is the least.

    Source: Mammoth, `utils/metrics.py`, `forgetting`.
    """
    matrix = np.tril(_square(scores))
    return float(np.mean(matrix[:, :-1].max(axis=0) - matrix[-1, :-1]))


def transfer_estimate(samples: Sequence[Sample], *, level: float, seed: int) -> Estimate:
    """Mean over tasks of the mean change of each, with its interval."""
    return combination(samples, [1 / len(samples)] * len(samples), level=level, seed=seed)


def _square(scores: Floats) -> Floats:
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise DataError(f"scores of shape {matrix.shape}: expected stages x tasks, as many of both, at least two")
    return matrix
