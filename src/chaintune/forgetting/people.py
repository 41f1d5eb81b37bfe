"""Scores held against people's labels of some texts, and means that these labels correct.

A label is of a text, so it may be there for one checkpoint and not for the other, and is there for both where they
wrote the same. Labels of texts that are no random ones, as when one checkpoint was labelled and the other wrote the
same here and there, correct nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from chaintune.errors import number_of
from chaintune.records import Estimate, Scores
from chaintune.records.labels import LABELS, PEOPLE, PeopleLabels, plain_text
from chaintune.stats import Powered, agreement, prediction_powered
from chaintune.stats.clusters import Floats
from chaintune.stats.prediction_powered import Mask

# Above this share of labelled examples without a label of the other text, the labels are no random ones.
_ONE_SIDED = 0.05
# Below it labels are no random ones: how likely these would lie so unevenly on texts that both wrote and on others.
_UNEVEN = 0.01
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
    if not any(own.any() for own in known.values()):
        return None
    texts = {name: _texts(one) for name, one in sides.items()}
    same = np.array([own == other for own, other in zip(*texts.values(), strict=True)])
    # Where both wrote the same, scorer and people agree or differ once.
    counted = {"before": known["before"] & ~(known["after"] & same), "after": known["after"]}
    used = sum(len(set(texts[name][row])) for name, own in counted.items() for row in np.flatnonzero(own))
    total = int(after.provenance.get(LABELS, used))
    clusters = np.unique(before.clusters, return_inverse=True)[1].astype(np.int64)
    both = agreement(
        [_word(value) for name, own in scores.items() for value in own[counted[name]]],
        [_word(value) for name, own in labels.items() for value in own[counted[name]]],
        clusters=[int(code) for name in sides for code in clusters[counted[name]]],
        level=level,
    )
    sign = 1.0 if before.metric.direction == "more" else -1.0
    estimates: dict[str, Powered] = {
        name: prediction_powered(scores[name], labels[name], clusters=clusters, level=level) for name in sides
    }
    estimates["forgetting"] = prediction_powered(
        sign * (scores["before"] - scores["after"]),
        sign * (labels["before"] - labels["after"]),
        certain=same,
        clusters=clusters,
        level=level,
        is_change=True,
    )
    if before.metric.average != "mean":
        undefined = Estimate.undefined(_BALANCED, n=len(before))
        unused = max(total - used, 0)
        return PeopleLabels(used, both.share, both.kappa, undefined, undefined, undefined, unused=unused)
    for name, reason in _not_random(known, same).items():
        if reason and not math.isnan(estimates[name].weight):
            refused = Estimate.undefined(reason, n=len(before))
            estimates[name] = replace(estimates[name], estimate=refused, weight=math.nan)
    weights = {name: one.weight for name, one in estimates.items() if not math.isnan(one.weight)}
    means = {name: one.estimate for name, one in estimates.items()}
    return PeopleLabels(used, both.share, both.kappa, **means, weights=weights, unused=max(total - used, 0))


def _not_random(known: Mapping[str, Mask], same: Mask) -> dict[str, str]:
    """Why the labels of `before`, `after` and of both cannot be of texts drawn at random; empty where they can.

    Args:
        known: which texts of each checkpoint have a label.
        same: where both wrote the same.
    """
    changed = {name: own & ~same for name, own in known.items()}
    either = int((changed["before"] | changed["after"]).sum())
    reasons = dict.fromkeys((*known, "forgetting"), "")
    for name, own in changed.items():
        lacking = either - int(own.sum())
        if lacking > _ONE_SIDED * either:
            reasons[name] = (
                f"the labelled texts are no random ones: of {number_of(either, 'example')} with different texts and a "
                f"label, {lacking} have none of the text {name}; label both texts of each example"
            )
            reasons["forgetting"] = reasons["forgetting"] or reasons[name]
    from scipy.stats import fisher_exact  # comparisons without labels need not wait until it is imported

    for name, own in known.items():
        counts = np.array([[(own & where).sum(), (~own & where).sum()] for where in (same, ~same)], dtype=np.int64)
        if not reasons[name] and fisher_exact(counts).pvalue < _UNEVEN:
            shares = [f"{labelled} of {labelled + bare}" for labelled, bare in counts.tolist()]
            reasons[name] = (
                f"the labelled texts are no random ones: {shares[0]} texts that both wrote have a label, and "
                f"{shares[1]} others; draw examples at random, and label both texts of each"
            )
    return reasons


def _texts(scores: Scores) -> list[tuple[str, ...]]:
    """Of each example its texts in some order, as labels name them."""
    return [tuple(sorted(plain_text(text or "") for text in own or ())) for own in scores.table["texts"].to_pylist()]


def _has_labels(scores: Scores) -> bool:
    """Whether there is a column of labels; one of that name in a table of another program is none."""
    table = scores.table
    if not {PEOPLE, "texts"} <= set(table.column_names):
        return False
    labels, texts = (table.schema.field(name).type for name in (PEOPLE, "texts"))
    return bool(pa.types.is_floating(labels) and pa.types.is_list(texts))


def _column(scores: Scores, name: str) -> Floats:
    return np.asarray(scores.table.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)


def _word(value: float) -> str:
    return "yes" if value >= 0.5 else "no"
