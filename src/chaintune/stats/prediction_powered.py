"""Means of what people say of texts, from a scorer's word on all of them and people's word on some.

The scorer's mean over the texts without a label is corrected by how far people and scorer differ where both spoke. A
weight, chosen for the least variance, says how much the scorer counts: at 0 the estimate is the mean of the labels, so
a scorer that has nothing to do with them costs hardly anything. It holds where the labelled texts were drawn at random.

A difference is 0 for certain where both texts are the same. Then only the others are estimated, from the labels that
there are of these, and count by their share, whose own scatter is part of the interval.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from chaintune.errors import DataError
from chaintune.records import Estimate
from chaintune.stats.clusters import Design, Floats, Integers
from chaintune.stats.effects import RATES
from chaintune.stats.rates import MEAN_SKEWNESS, Differences, t_quantile, t_tails
from chaintune.stats.sample import needed_clusters, skewness

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
POWERED = "prediction-powered inference over clusters, t limits"
# Below so many labels no estimate is corrected.
LEAST_LABELS = 50


@dataclass(frozen=True, slots=True)
class Powered:
    """A mean that people's labels correct.

    Attributes:
        estimate: of the mean that labels of all texts would have.
        weight: how much the scorer counts in it, in [0, 1]; NaN where nothing is estimated.
        labels: how many there are.
        scorer: the mean of the scorer's word on all texts.
        labelled: the mean of the labels alone.
    """

    estimate: Estimate
    weight: float
    labels: int
    scorer: float
    labelled: float


def prediction_powered(
    predictions: Floats,
    labels: Floats,
    *,
    certain: Mask | None = None,
    clusters: Integers | None = None,
    level: float = 0.95,
    weight: float | None = None,
    least_labels: int = LEAST_LABELS,
    is_change: bool = False,
) -> Powered:
    """The mean that labels of all texts would have.

    A difference of two checkpoints is the mean of differences: hand over differences of scores and of labels, known
    where both texts of an example have one.

    Args:
        predictions: what the scorer says of each text.
        labels: what people say of it; NaN where they say nothing.
        certain: where a difference is 0 whatever people and scorer say, as the texts are the same; None is nowhere.
        clusters: number of each text's cluster, from 0; None, and every text is one.
        level: of the interval.
        weight: of the scorer, in [0, 1]; None is the one of least variance.
        least_labels: below which nothing is estimated.
        is_change: whether values lie between -1 and 1 and are tested against 0, or between 0 and 1.

    Shape: predictions, labels, certain and clusters `[E]`.

    Raises:
        DataError: the numbers are not one for each text, not in their range, or a prediction is missing.

    Undefined: with fewer labels than `least_labels`; the interval where clusters with a label are too few.

    Source: Angelopoulos, Bates, Fannjiang, Jordan and Zrnic (2023), "Prediction-powered inference"; the weight of
    Angelopoulos, Duchi and Zrnic (2023), "PPI++".
    """
    _check(predictions, labels, clusters, -1.0 if is_change else 0.0)
    free = np.ones(len(labels), dtype=np.bool_) if certain is None else ~certain
    predictions, labels = np.where(free, predictions, 0.0), np.where(free, labels, np.nan)
    known, rest = ~np.isnan(labels), np.isnan(labels) & free
    n, codes = int(known.sum()), np.arange(len(labels)) if clusters is None else np.asarray(clusters)
    codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    facts: dict[str, Any] = {"n": len(labels), "n_clusters": len(np.unique(codes))}
    means = tuple(float(one.mean()) if len(one) else math.nan for one in (predictions, labels[known]))
    if n < max(least_labels, 1):
        of = "labels" if free.all() else "labels where the texts differ"
        reason = f"{n} {of}, at least {max(least_labels, 1)} are needed"
        return Powered(Estimate.undefined(reason, **facts), math.nan, n, *means)
    own, other = _influences(predictions, labels, known, rest, codes)
    scale = float(other @ other)
    best = 0.0 if not rest.any() else min(max(0.0, -float(own @ other) / scale), 1.0) if scale > 0 else 1.0
    chosen = 0.0 if not rest.any() else best if weight is None else weight
    beyond = float(predictions[rest].mean() - predictions[known].mean()) if chosen else 0.0
    mean, share = float(labels[known].mean()) + chosen * beyond, float(free.mean())
    value = share * mean
    labelled_clusters = len(np.unique(codes[known]))
    if labelled_clusters < needed_clusters(level):
        needed = needed_clusters(level)
        reason = f"too few clusters with a label for an interval: {labelled_clusters}, at least {needed} are needed"
        return Powered(Estimate(value, **facts, reason=reason), chosen, n, *means)
    influences = share * (own + chosen * other) + mean * np.bincount(codes, free - share) / len(free)
    # Both the mean of the labels and the weight come out of the labelled clusters.
    freedom = max(labelled_clusters - 2.0, 1.0)
    error = math.sqrt(float(influences @ influences) * labelled_clusters / freedom)
    margin = float(t_quantile((1 + level) / 2, freedom)) * error
    low, high, method = value - margin, value + margin, POWERED
    if float(skewness(influences[:, None])[0]) > MEAN_SKEWNESS:
        farthest = 2.0 if is_change else 1.0
        margins = _rare_margins(predictions, labels, known, rest, codes, weight=chosen, farthest=farthest, level=level)
        below, above = np.hypot(
            share * margins, mean * (0.0 if free.all() else _margins(free.astype(np.float64), codes, level))
        )
        low, high = min(low, value - below), max(high, value + above)
        method = f"{POWERED}, no narrower than {RATES}"
    p_value = float(t_tails(np.array(value), np.array(error), freedom)) if is_change else math.nan
    low, high = max(low, -1.0 if is_change else 0.0), min(high, 1.0)
    if low <= 0 <= high and p_value < 1 - level:
        p_value = 1 - level  # exact limits reach farther than t
    return Powered(Estimate(value, low, high, p_value, method=method, **facts), chosen, n, *means)


def _check(predictions: Floats, labels: Floats, clusters: Integers | None, least: float) -> None:
    shapes = {predictions.shape, labels.shape, predictions.shape if clusters is None else clusters.shape}
    if len(shapes) > 1 or predictions.ndim != 1:
        raise DataError(f"{len(predictions)} predictions, {len(labels)} labels: expected one of each for each text")
    if not np.isfinite(predictions).all():
        raise DataError("a prediction is NaN or infinite: every text needs the scorer's word")
    known = labels[~np.isnan(labels)]
    for name, values in (("prediction", predictions), ("label", known)):
        if len(values) and not least <= values.min() <= values.max() <= 1:
            raise DataError(f"a {name} is {values[(values < least) | (values > 1)][0]}, expected {least:g} to 1")


def _influences(predictions: Floats, labels: Floats, known: Mask, rest: Mask, codes: Integers) -> tuple[Floats, Floats]:
    """What each cluster adds to the error of the labels' mean, and, times the weight, by the scorer's word."""

    def centred(values: Floats, where: Mask) -> Floats:
        if not where.any():
            return np.zeros(codes.max() + 1)
        summed = np.bincount(codes[where], values[where] - values[where].mean(), codes.max() + 1)
        return np.asarray(summed / where.sum())

    return centred(labels, known), centred(predictions, rest) - centred(predictions, known)


def _rare_margins(
    predictions: Floats,
    labels: Floats,
    known: Mask,
    rest: Mask,
    codes: Integers,
    *,
    weight: float,
    farthest: float,
    level: float,
) -> Floats:
    """How far exact limits reach below and above, of labels that hardly differ from each other or from the scorer.

    Labels are no farther from the scorer's word than `farthest`.
    """
    spoken = codes[known]
    apart = farthest * _margins((labels - predictions)[known] / farthest, spoken, level)
    beyond = _margins(predictions[rest], codes[rest], level) if weight else np.zeros(2)
    return np.hypot(weight * beyond, weight * apart + (1 - weight) * _margins(labels[known], spoken, level))


def _margins(values: Floats, codes: Integers, level: float) -> Floats:
    """How far exact limits of a mean reach below and above it."""
    own = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    rates = Differences.of(Design.of(own, sparse.csr_array((len(own), 0))), values)
    low, high = rates.limits(level)
    return np.array([rates.value[0] - low[0], high[0] - rates.value[0]])
