"""How far two judges of the same texts agree: the share of labels that are alike, and Cohen's kappa."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from chaintune.errors import DataError
from chaintune.records import Estimate
from chaintune.stats.clusters import Design, Floats
from chaintune.stats.effects import RATES, rates
from chaintune.stats.rates import standard_errors, t_quantile

KAPPA = f"cluster-robust delta method, t limits, no narrower than {RATES} of the share that agree"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two judges agree.

    Attributes:
        share: of the texts that got the same label of both, in [0, 1].
        kappa: Cohen's, 0 where they agree no more than two judges who draw labels as often as these two, 1 at most.
        counts: pair of labels, the first judge's and the second's -> texts that got it.
    """

    share: Estimate
    kappa: Estimate
    counts: dict[tuple[str, str], int]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, an undefined number as None."""
        about: dict[str, Any] = {}
        for name, estimate in (("share", self.share), ("kappa", self.kappa)):
            ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
            about[name] = {end: None if math.isnan(number) else number for end, number in ends.items()}
            about[name] |= {"reason": estimate.reason} if estimate.reason else {}
        counts = [{"first": first, "second": second, "n": n} for (first, second), n in self.counts.items()]
        return about | {"n": self.share.n, "n_clusters": self.share.n_clusters, "counts": counts}


def agreement(
    first: Sequence[str], second: Sequence[str], *, clusters: Sequence[Hashable] | None = None, level: float = 0.95
) -> Agreement:
    """The share of texts that two judges label alike, and Cohen's kappa, each with an interval.

    Of one outcome against all others, hand over labels of two kinds.

    Args:
        first: label of each text by one judge.
        second: by the other.
        clusters: of each text; texts of one cluster, such as samples of one prompt, are not independent. None, and
            every text is one.
        level: of the intervals.

    Raises:
        DataError: the labels, or the clusters, are not one for each text.

    Undefined: both without texts; kappa where both judges give one and the same label to all; the intervals where
        clusters are too few.

    Source: Cohen (1960); its variance by Fleiss, Cohen and Everitt (1969), summed over clusters.
    """
    n = len(first)
    named = list(range(n)) if clusters is None else list(clusters)
    if len(second) != n or len(named) != n:
        raise DataError(f"{n} labels of one judge, {len(second)} of the other, clusters of {len(named)} texts")
    if not n:
        return Agreement(Estimate.undefined("no texts"), Estimate.undefined("no texts"), {})
    places = {name: place for place, name in enumerate(dict.fromkeys(named))}
    codes = np.array([places[name] for name in named], dtype=np.int64)
    names = sorted({*first, *second})
    one, other = (np.array([names.index(label) for label in labels]) for labels in (first, second))
    alike = np.asarray(one == other, dtype=np.float64)
    design = Design.of(codes, sparse.csr_array((n, 0)))
    (share,) = rates(design, alike, level=level)
    pairs, numbers = np.unique(np.stack([one, other]), axis=1, return_counts=True)
    counts = {(names[a], names[b]): int(k) for (a, b), k in zip(pairs.T.tolist(), numbers, strict=True)}
    return Agreement(share, _kappa(design, one, other, alike, share, level), counts)


def _kappa(
    design: Design,
    one: np.ndarray[Any, Any],
    other: np.ndarray[Any, Any],
    alike: Floats,
    share: Estimate,
    level: float,
) -> Estimate:
    n = len(one)
    shares, other_shares = (np.bincount(codes, minlength=1 + max(one.max(), other.max())) / n for codes in (one, other))
    by_chance, agreed = float(shares @ other_shares), float(alike.mean())
    known = replace(share, low=math.nan, high=math.nan, method="")
    if by_chance >= 1:
        return replace(known, value=math.nan, reason="both judges give one label to all texts, so kappa says nothing")
    kappa = (agreed - by_chance) / (1 - by_chance)
    if math.isnan(share.low):
        return replace(known, value=kappa)
    drawn = other_shares[one] + shares[other]
    influences = (alike * (1 - by_chance) - (1 - agreed) * drawn) / (1 - by_chance) ** 2
    error = float(standard_errors(design.sums(influences), design.sizes)[0])
    margin = float(t_quantile((1 + level) / 2, share.n_clusters - 1.0)) * error
    # Where hardly any labels differ, the delta method sees too little.
    low, high = ((end - by_chance) / (1 - by_chance) for end in (share.low, share.high))
    low, high = max(min(low, kappa - margin), -1.0), min(max(high, kappa + margin), 1.0)
    return replace(known, value=kappa, low=low, high=high, method=KAPPA)
