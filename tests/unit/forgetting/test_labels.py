"""Labelling tasks from made-up scores to rows: what accuracy hides, whose loss it was, and what has no number."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from chaintune.forgetting import compare, summarise
from chaintune.records import CheckpointScores, MitigationRef, ResultRow, Role, Scores
from tests import synthetic

FAST = 400
ROLES: Mapping[str, Role] = {"t": "safety", "c": "capability"}
MANY, FEW = 210, 70
TARGETS = [("women", "men", "both")[row % 3] for row in range(MANY + FEW)]


def answered(hateful: int, benign: int, *, metric: str = "balanced_accuracy", one_label: bool = False) -> Scores:
    """Scores where so many of 210 hateful and of 70 benign examples are called hateful.

    Args:
        hateful: of the hateful ones, spread over their clusters.
        benign: of the others.
        metric: item metric.
        one_label: put all benign examples into a group of their own.
    """
    targets = [name if row < MANY or not one_label else "none" for row, name in enumerate(TARGETS)]
    called = {"hateful": _spread(hateful, MANY), "not hateful": _spread(benign, FEW)}
    return synthetic.labelled(called, groups={"target": targets}, metric=metric)


def _spread(count: int, of: int) -> list[str]:
    order = np.random.default_rng(of).permutation(of)
    return ["hateful" if place < count else "not hateful" for place in order]


def rows(points: Mapping[tuple[str, ...], Scores], *, final: tuple[str, ...] = ()) -> list[ResultRow]:
    known = [
        CheckpointScores(synthetic.checkpoint(*chain), {"t": scores}, final=chain == final)
        for chain, scores in points.items()
    ]
    return summarise(known, study="made", roles=ROLES, resamples=FAST)


def find(found: list[ResultRow], metric: str, chain: str, dimension: str = "", group: str = "") -> ResultRow:
    (row,) = [
        row for row in found if (row.metric, row.chain, row.dimension, row.group) == (metric, chain, dimension, group)
    ]
    return row


@pytest.fixture(scope="module")
def total_loss() -> list[ResultRow]:
    """Base and last checkpoint call everything hateful; the one between has learned."""
    return rows({(): answered(210, 70), ("t",): answered(175, 34), ("t", "c"): answered(210, 69)})


def test_a_total_loss_shows_where_accuracy_hides_it(total_loss: list[ResultRow]) -> None:
    levels = [find(total_loss, "accuracy", chain).estimate for chain in ("base", "t", "t>c")]
    assert [one.value for one in levels] == pytest.approx([0.5, (175 / 210 + 36 / 70) / 2, (1 + 1 / 70) / 2])
    lost = find(total_loss, "forgetting", "t>c")
    assert (lost.verdict, lost.item_metric, lost.unit) == ("forgot", "balanced_accuracy", "share")
    assert lost.estimate.value == pytest.approx(levels[1].value - levels[2].value)
    assert 0 < lost.estimate.low < lost.estimate.value < lost.estimate.high
    assert find(total_loss, "gain", "t").estimate.low > 0
    hidden = rows({chain: answered(*numbers, metric="accuracy") for chain, numbers in {
        (): (210, 70), ("t",): (175, 34), ("t", "c"): (210, 69)}.items()})  # fmt: skip
    assert find(hidden, "forgetting", "t>c").verdict == "inconclusive"


def test_labels_are_a_dimension_with_verdicts(total_loss: list[ResultRow]) -> None:
    recall = {group: find(total_loss, "forgetting", "t>c", "label", group) for group in ("hateful", "not hateful")}
    assert {group: row.verdict for group, row in recall.items()} == {"hateful": "gained", "not hateful": "forgot"}
    whole = find(total_loss, "forgetting", "t>c").estimate.value
    assert np.mean([row.estimate.value for row in recall.values()]) == pytest.approx(whole)
    bias = find(total_loss, "biased_forgetting", "t>c", "label", "not hateful").estimate
    assert bias.value == pytest.approx(recall["not hateful"].estimate.value - whole)
    assert bias.p_adjusted < 0.01


def test_rote_answers_before_are_no_forgetting() -> None:
    found = rows({("t",): answered(210, 70), ("t", "c"): answered(210, 69)})
    assert find(found, "accuracy", "t").estimate.value == 0.5
    assert find(found, "forgetting", "t>c").verdict != "forgot"


def test_every_target_is_held_against_the_whole_over_the_same_labels() -> None:
    """All that changes is how labels are answered, alike in every group; only their mix differs."""
    before = answered(175, 34, one_label=True)
    after = answered(210, 69, one_label=True)
    found = compare(before, after, by=["target", "label"], resamples=FAST)
    assert found.overall.verdict == "forgot"
    by_group = {(one.dimension, one.group): one for one in found.groups}
    for group in ("women", "men", "both", "none"):
        one = by_group["target", group]
        assert math.isnan(one.forgetting.value)
        assert math.isnan(one.before.value)
        assert "too few clusters of a label, 6 are needed: " in one.forgetting.reason
        assert math.isnan(one.detectable_forgetting)
    for group in ("women", "men", "both"):
        bias = by_group["target", group].biased_forgetting
        assert bias.low <= 0 <= bias.high
        assert "without 'not hateful' (0 clusters)" in bias.method
    # The group that holds every example of a label cannot be held against others of that label.
    assert (
        "no label has 6 clusters in the group and as many outside it"
        in by_group["target", "none"].biased_forgetting.reason
    )
    assert not {one.group for one in compare(before, after, by=["target"], resamples=FAST).groups} - {
        "women",
        "men",
        "both",
        "none",
    }
    plain = compare(before, after, by=["target"], metric="accuracy", resamples=FAST)
    assert next(one for one in plain.groups if one.group == "none").biased_forgetting.p_adjusted < 0.01


def test_a_crossing_with_labels_is_a_group_of_one_label() -> None:
    before, after = answered(175, 34), answered(210, 69)
    found = compare(before, after, intersections=[("target", "label")], resamples=FAST)
    one = next(one for one in found.groups if one.group == "women & not hateful")
    assert math.isnan(one.forgetting.value)
    assert one.biased_forgetting.n == sum(name == "women" for name in TARGETS[MANY:])


def test_one_label_leaves_everything_undefined_with_the_reason() -> None:
    scores = synthetic.labelled({"yes": ["yes"] * 60, "no": ["yes"] * 4}, per_cluster=1)
    found = compare(scores, scores, by=["label"], resamples=FAST)
    assert math.isnan(found.overall.forgetting.value)
    assert found.overall.verdict == "inconclusive"
    assert "fewer than two labels have the 6 clusters that an interval needs" in found.overall.forgetting.reason
    yes = next(one for one in found.groups if one.group == "yes")
    assert yes.before.value == 1
    assert math.isnan(yes.biased_forgetting.value)


def test_recovery_order_and_retained_gain_are_balanced() -> None:
    points = {
        (): (210, 70), ("t",): (175, 34), ("t", "c"): (210, 69), ("c",): (205, 66), ("c", "t"): (180, 30),
        ("t", "c", "t@5%"): (180, 40),
    }  # fmt: skip
    level = {chain: (hateful / MANY + 1 - benign / FEW) / 2 for chain, (hateful, benign) in points.items()}
    back = MitigationRef("replay", "replay", "t", synthetic.chain("t", "c"), ("c",), 0.05)
    known = [
        CheckpointScores(
            synthetic.checkpoint(*chain), {"t": answered(*numbers)}, (back,) if chain[-1:] == ("t@5%",) else ()
        )
        for chain, numbers in points.items()
    ]
    found = summarise(known, study="made", roles=ROLES, resamples=FAST)
    effect = find(found, "order_effect", "c>t").estimate
    assert effect.value == pytest.approx(level["c", "t"] - level["t", "c"])
    assert effect.low > 0
    recovered = next(row for row in found if row.metric == "recovery").estimate
    lost = level["t",] - level["t", "c"]
    assert recovered.value == pytest.approx((level["t", "c", "t@5%"] - level["t", "c"]) / lost)
    assert recovered.low > 0
    retained = find(found, "retained_gain", "t>c").estimate
    assert retained.value == pytest.approx((level["t", "c"] - level[()]) / (level["t",] - level[()]))


def test_several_seeds_are_pooled() -> None:
    known = []
    for seed in range(3):
        for chain, numbers in {("t",): (175 + seed, 34), ("t", "c"): (210, 69 - seed)}.items():
            known.append(CheckpointScores(synthetic.checkpoint(*chain, seed=seed), {"t": answered(*numbers)}))
    found = [row for row in summarise(known, study="made", roles=ROLES, resamples=FAST) if row.seed == "all"]
    lost = find(found, "forgetting", "t>c")
    assert lost.verdict == "forgot"
    assert lost.estimate.n_seeds == 3
    ones = [(175 + seed) / MANY + 36 / FEW - 1 - (1 + seed) / FEW for seed in range(3)]
    assert lost.estimate.value == pytest.approx(np.mean(ones) / 2)


def test_numbers_of_plain_tasks_do_not_change() -> None:
    """A task without labels is averaged as ever, to the last bit."""
    before, after = (answered(*numbers, metric="accuracy") for numbers in ((175, 34), (210, 69)))
    bare = [
        synthetic.scores((side.item_scores() > 0).tolist(), clusters=side.clusters, ids=side.example_ids)
        for side in (before, after)
    ]
    one, other = compare(before, after, resamples=FAST), compare(*bare, resamples=FAST)
    assert one.overall.forgetting == other.overall.forgetting
