"""Scores held against people's labels of some texts, and means that these labels correct."""

import math

import numpy as np
import pyarrow as pa

from chaintune.records import Estimate, Scores
from chaintune.records.labels import PEOPLE, PeopleLabels
from chaintune.stats import Powered, agreement, prediction_powered
from chaintune.stats.clusters import Floats

_BALANCED = "scores are averaged over what was expected, and labels correct plain means only"


def people_labels(before: Scores, after: Scores, *, level: float) -> PeopleLabels | None:
    """What people's labels of texts say of both checkpoints' scores; None where neither has a label.

    Args:
        before: scores of shares, of the same examples as `after`, every example with one.
        after: of the later checkpoint.
        level: of the intervals.
    """
    sides = {"before": before, "after": after}
    if not len(before) or not all(_has_labels(one) for one in sides.values()):
        return None
    labels = {name: _column(one, PEOPLE) for name, one in sides.items()}
    scores = {name: _column(one, "score") for name, one in sides.items()}
    known = {name: ~np.isnan(own) for name, own in labels.items()}
    total = int(sum(own.sum() for own in known.values()))
    if not total:
        return None
    clusters = np.unique(before.clusters, return_inverse=True)[1].astype(np.int64)
    both = agreement(
        [_word(value) for name, own in scores.items() for value in own[known[name]]],
        [_word(value) for name, own in labels.items() for value in own[known[name]]],
        clusters=[int(code) for name in sides for code in clusters[known[name]]],
        level=level,
    )
    sign = 1.0 if before.metric.direction == "more" else -1.0
    estimates: dict[str, Powered] = {
        name: prediction_powered(scores[name], labels[name], clusters=clusters, level=level) for name in sides
    }
    estimates["forgetting"] = prediction_powered(
        sign * (scores["before"] - scores["after"]),
        sign * (labels["before"] - labels["after"]),
        clusters=clusters,
        level=level,
        is_change=True,
    )
    if before.metric.average != "mean":
        undefined = Estimate.undefined(_BALANCED, n=len(before))
        return PeopleLabels(total, both.share, both.kappa, undefined, undefined, undefined)
    weights = {name: one.weight for name, one in estimates.items() if not math.isnan(one.weight)}
    means = {name: one.estimate for name, one in estimates.items()}
    return PeopleLabels(total, both.share, both.kappa, **means, weights=weights)


def _has_labels(scores: Scores) -> bool:
    """Whether there is a column of labels; one of that name in a table of another program is none."""
    table = scores.table
    return PEOPLE in table.column_names and pa.types.is_floating(table.schema.field(PEOPLE).type)


def _column(scores: Scores, name: str) -> Floats:
    return np.asarray(scores.table.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)


def _word(value: float) -> str:
    return "yes" if value >= 0.5 else "no"
