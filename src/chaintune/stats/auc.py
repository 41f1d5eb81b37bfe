"""The area under the ROC curve of two labels: how often an example of one is ranked above an example of the other.

It tells a skill that is gone from an answer whose threshold moved. Intervals come from cluster influences, those of
DeLong, DeLong and Clarke-Pearson (1988) summed over clusters as Obuchowski (1997) does; of a difference, they are
subtracted cluster by cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from chaintune.records import Estimate
from chaintune.stats.balanced import error_of
from chaintune.stats.clusters import Design, Floats, Labels
from chaintune.stats.effects import NOISE_DRAWS, of_seeds
from chaintune.stats.rates import t_quantile, t_tails
from chaintune.stats.seeds import seed_noise

DELONG = "cluster influences of the share of ordered pairs, t limits"

# At so many levels limits are looked at for a p-value.
_LEVELS = 400


@dataclass(frozen=True, eq=False)
class Ranking:
    """The AUC of every group, and what each label's and cluster's examples add to its error.

    Shape: values `[K]`, influences `[2, C, K]`.
    """

    values: Floats
    influences: Floats

    def __sub__(self, other: "Ranking") -> "Ranking":
        return Ranking(self.values - other.values, self.influences - other.influences)


def ranking(design: Design, labels: Labels, log_odds: Floats) -> Ranking:
    """The AUC of the whole task and of every group under one checkpoint.

    Of a group it is the mean over its labels that have enough clusters of the share of ordered pairs of one of its
    examples of that label and one of all examples of the other label; ties count half.

    Args:
        design: clusters and groups.
        labels: two of them.
        log_odds: of the second label against the first, of each example.

    Shape: log_odds `[E]`.
    """
    counts = (labels.clusters >= labels.needed) * 1.0
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    members = design.members.tocsc()
    values, influences = np.zeros(members.shape[1]), np.zeros(labels.sizes.shape)
    for label, sign in ((0, -1.0), (1, 1.0)):
        own, other = (np.flatnonzero(labels.codes == code) for code in (label, 1 - label))
        scores = sign * log_odds
        above = _share_above(scores[own], np.sort(scores[other]))
        for k in np.flatnonzero(shares[label]):
            in_group = np.zeros(len(log_odds), dtype=bool)
            in_group[members.indices[members.indptr[k] : members.indptr[k + 1]]] = True
            inside = in_group[own]
            mean, weight = float(above[inside].mean()), shares[label, k]
            values[k] += weight * mean
            # An example of the other label is beaten by as many of the group's as do not lie below it.
            beaten = 1 - _share_above(scores[other], np.sort(scores[own][inside]))
            for rows, errors, code in ((own[inside], above[inside] - mean, label), (other, beaten - mean, 1 - label)):
                added = np.bincount(design.clusters[rows], errors, len(design.sizes)) / len(rows)
                influences[code, :, k] += weight * added
    return Ranking(np.where(counts.any(axis=0), values, np.nan), influences)


def auc(design: Design, rankings: Sequence[Ranking], *, level: float, seed: int, is_level: bool) -> list[Estimate]:
    """The AUC, or a difference of two, of the whole task and every group, with an interval and the test that it is 0.

    Args:
        design: with labels.
        rankings: one a seed.
        level: of the intervals.
        seed: of the draws that several seeds need.
        is_level: whether they are levels, of which 0 is no hypothesis, and not differences.

    Undefined: without two labels that have enough clusters, and where no pairs differ the interval.
    """
    labels = design.labels
    assert labels is not None  # noqa: S101 - asked of labelling tasks only
    value = np.mean([one.values for one in rankings], axis=0)
    worth = np.where(labels.clusters >= labels.needed, labels.worth, labels.worth[:, :1])
    errors, freedom = error_of(np.mean([one.influences for one in rankings], axis=0), worth)
    spread = np.ones_like(labels.sizes.sum(axis=0)) / len(design.sizes)
    sums = np.stack([one.influences.sum(axis=0) + np.nan_to_num(one.values) * spread for one in rankings])
    noise = np.abs(seed_noise(sums, np.broadcast_to(spread, sums.shape), NOISE_DRAWS, seed, design.pools))
    margin = _margins(errors, freedom, noise, np.array([level]))[0]
    tests = np.full(len(value), np.nan) if is_level else t_tails(value, errors, freedom)
    if not is_level and len(rankings) > 1:
        tests = _seed_tails(value, errors, freedom, noise, level)
    least = 0.0 if is_level else -1.0
    estimates = []
    for k, n in enumerate(design.n.tolist()):
        known = Estimate(float(value[k]), n=n, n_clusters=int(design.n_clusters[k]), n_seeds=len(rankings))
        if labels.whole.sum() < 2 or np.isnan(value[k]):
            reason = labels.why_no_mean(0 if labels.whole.sum() < 2 else k)
            estimates.append(replace(known, value=float("nan"), reason=reason))
        elif not margin[k] > 0:
            estimates.append(replace(known, reason="all pairs are ordered alike, so nothing scatters"))
        else:
            low, high = np.clip([value[k] - margin[k], value[k] + margin[k]], least, 1.0).tolist()
            how = DELONG + of_seeds(design, len(rankings), k)
            estimates.append(replace(known, low=low, high=high, p_value=float(tests[k]), method=how))
    return estimates


def _margins(errors: Floats, freedom: Floats, noise: Floats, levels: Floats) -> Floats:
    """Half-widths of intervals, of the clusters' error and the size of the seeds' noise together.

    Shape: errors and freedom `[K]`, noise `[draws, K]`, levels `[P]`, result `[P, K]`.
    """
    quantiles = t_quantile((1 + levels[:, None]) / 2, freedom)
    return np.asarray(np.hypot(quantiles * errors, np.quantile(noise, levels, axis=0)))


def _seed_tails(value: Floats, errors: Floats, freedom: Floats, noise: Floats, level: float) -> Floats:
    """One minus the level at which the interval ends at 0, so that it leaves out 0 exactly where the test says so.

    Few seeds have longer tails than clusters have: a test by the clusters' t would believe far too much. No p-value is
    smaller than what the draws of the seeds can tell.
    """
    rates = np.unique([*np.geomspace(1 / len(noise), 1.0, _LEVELS), 1 - level])[::-1]
    margins = _margins(errors, freedom, noise, 1 - rates)
    return np.array([np.interp(abs(own), ends, rates) for own, ends in zip(value, margins.T, strict=True)])


def _share_above(scores: Floats, ordered: Floats) -> Floats:
    """Share of some ordered numbers that lie below each score, equal ones counted half."""
    below, up_to = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
    return np.asarray((below + up_to) / (2 * max(len(ordered), 1)))
