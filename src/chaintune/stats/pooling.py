"""Partial pooling: what groups deviate by, shrunk by how much of it their noise explains."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from chaintune.records import Estimate
from chaintune.stats.clusters import Floats
from chaintune.stats.rates import t_quantile

POOLED = "partial pooling toward the whole task, variance between groups after Paule and Mandel"
# Fewer groups tell hardly anything about how far groups lie apart, and the correction for that is defined from here on.
LEAST_GROUPS = 4
_HALVINGS = 60


def pooled(whole: Estimate, deviations: Sequence[Estimate], *, level: float = 0.95) -> list[Estimate]:
    """The mean of each group as all groups of its dimension together suggest it. No test is made.

    True deviations from the whole are taken for draws from a normal distribution about 0, whose variance is estimated
    from those seen less their noise (Paule and Mandel). A group's deviation is multiplied by the share of its variance
    that is no noise; the interval adds what is not known of that share (Morris) and the error of the whole.

    Args:
        whole: mean of the whole task.
        deviations: of groups of one dimension: group minus whole, with intervals at the level.
        level: of the interval.

    Undefined: where a deviation has no interval, and of fewer than four groups with one.

    Source: Paule and Mandel (1982); Morris (1983), "Parametric empirical Bayes inference".
    """
    known = [k for k, one in enumerate(deviations) if not math.isnan(one.low)]
    facts: list[dict[str, Any]] = [
        {"n": one.n, "n_clusters": one.n_clusters, "n_seeds": one.n_seeds} for one in deviations
    ]
    few = f"fewer than {LEAST_GROUPS} groups with an interval, which tell too little about how far groups lie apart"
    reasons = [few if len(known) < LEAST_GROUPS else one.reason for one in deviations]
    estimates = [Estimate.undefined(reason, **fact) for reason, fact in zip(reasons, facts, strict=True)]
    if len(known) < LEAST_GROUPS or math.isnan(whole.low):
        return estimates
    values = np.array([deviations[k].value for k in known])
    errors = np.array([_error(deviations[k], level) for k in known])
    own = _between(values, errors) / (_between(values, errors) + errors**2)
    shrunk = 1 - own
    spare = len(known) - 3
    variance = errors**2 * own + 2 / spare * (shrunk * values) ** 2 + shrunk * errors**2 / len(known)
    margins = special.ndtri((1 + level) / 2) * np.sqrt(variance + _error(whole, level) ** 2)
    for k, value, margin in zip(known, (whole.value + own * values).tolist(), margins.tolist(), strict=True):
        estimates[k] = Estimate(value, value - margin, value + margin, **facts[k], method=POOLED)
    return estimates


def _error(estimate: Estimate, level: float) -> float:
    """Standard error that an interval stands for."""
    freedom = np.asarray(max(estimate.n_clusters - 1.0, 1.0))
    return float((estimate.high - estimate.low) / 2 / t_quantile((1 + level) / 2, freedom))


def _between(values: Floats, errors: Floats) -> float:
    """Variance of the true values about 0: that at which they scatter as much as it and their errors say."""
    low, high = 0.0, float((values**2).max()) * len(values)
    if (values**2 / errors**2).sum() <= len(values) - 1:
        return 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if (values**2 / (middle + errors**2)).sum() > len(values) - 1 else (low, middle)
    return high
