"""Means that are balanced over labels: by hand, by formula, undefined data, invariants, and coverage."""

import math

import numpy as np
import pytest

from chaintune.stats import Design, Sample, biased, combination, disparity, means, rates, ratios
from chaintune.stats.balanced import contrast, error_of
from chaintune.stats.clusters import Labels
from tests import synthetic
from tests.synthetic import Floats

FAST = 400
NEEDED = 6
# Columns of the design: the whole task, three groups, then those of dimension `label`.
GROUPS, YES, NO = (1, 2, 3), 4, 5


def data(rng: np.random.Generator, clusters: int = 40, *, share: float = 0.75) -> tuple[Design, Floats, np.ndarray]:
    """Clusters of 1 to 6 examples of mixed labels in three groups, and changes that differ by label."""
    number = np.repeat(np.arange(clusters), rng.integers(1, 7, clusters))
    labels = np.where(rng.random(len(number)) < share, "yes", "no")
    return designed(number, labels, rng.integers(0, 3, len(number))), changes(rng, labels), labels


def designed(clusters: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Design:
    borne = [[int(group), 3 if label == "yes" else 4] for group, label in zip(groups, labels, strict=True)]
    plain = synthetic.design(clusters.tolist(), borne, n_groups=5)
    return plain.balanced_over(labels, {YES: "yes", NO: "no"}, needed=NEEDED)


def changes(rng: np.random.Generator, labels: np.ndarray) -> Floats:
    lost = np.where(labels == "yes", 0.1, 0.5)
    return np.asarray((rng.random(len(labels)) < lost) * 1.0 - (rng.random(len(labels)) < 0.1) * 1.0)


def sample(design: Design, values: Floats) -> Sample:
    return Sample.of(design, values, resamples=FAST)


def by_label(values: Floats, labels: np.ndarray, inside: np.ndarray) -> Floats:
    return np.array([values[inside & (labels == name)].mean() for name in ("no", "yes")])


def test_values_by_hand() -> None:
    design, values, labels = data(np.random.default_rng(0))
    everywhere = np.ones(len(values), dtype=bool)
    whole = by_label(values, labels, everywhere)
    lost, over, rest = (
        means(sample(design, values)),
        *(biased(sample(design, values), reference=reference) for reference in ("overall", "rest")),
    )
    assert lost[0].value == pytest.approx(whole.mean())
    assert design.mean(values) == pytest.approx(whole.mean())
    for column in GROUPS:
        inside = design.members[:, [column]].toarray()[:, 0] > 0
        own, others = by_label(values, labels, inside), by_label(values, labels, ~inside)
        assert lost[column].value == pytest.approx(own.mean())
        assert over[column].value == pytest.approx((own - whole).mean())
        assert rest[column].value == pytest.approx((own - others).mean())
    assert [lost[k].value for k in (NO, YES)] == pytest.approx(list(whole))
    assert over[NO].value == pytest.approx(whole[0] - whole.mean())
    assert rest[NO].value == pytest.approx(whole[0] - whole[1])
    levels = rates(design, np.asarray(values > 0, dtype=np.float64))
    assert levels[0].value == pytest.approx(
        by_label(np.asarray(values > 0, dtype=np.float64), labels, everywhere).mean()
    )


def test_influences_are_those_of_the_definition() -> None:
    design, values, labels = data(np.random.default_rng(1))
    known = design.labels
    assert known is not None
    expected = np.zeros(len(design.sizes))
    for name in ("yes", "no"):
        rows = np.flatnonzero(labels == name)
        mean = values[rows].mean()
        for row in rows:
            expected[design.clusters[row]] += (values[row] - mean) / (2 * len(rows))
    found = known.influences(design.label_sums(values)).sum(axis=0)[:, 0]
    assert found == pytest.approx(expected)
    drawn = sample(design, values)
    assert (drawn.sums - drawn.value * design.weights)[:, 0] / len(values) == pytest.approx(expected)
    assert design.weights[:, 0].sum() == pytest.approx(len(values))


def test_the_error_is_that_of_independent_labels_where_clusters_hold_one() -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(60), 2)
    labels = np.where(clusters < 45, "yes", "no")
    design, values = designed(clusters, labels, np.zeros(120, dtype=int)), changes(rng, labels)
    known = design.labels
    assert known is not None
    error, freedom = error_of(known.influences(design.label_sums(values)), known.worth)
    totals = {name: values[labels == name].reshape(-1, 2).mean(axis=1) for name in ("yes", "no")}
    variances = np.array([one.var(ddof=1) / len(one) / 4 for one in totals.values()])
    assert error[0] == pytest.approx(math.sqrt(variances.sum()))
    assert freedom[0] == pytest.approx(variances.sum() ** 2 / (variances**2 / [44, 14]).sum())


def test_of_two_labels_one_loses_what_the_other_gains() -> None:
    design, values, _ = data(np.random.default_rng(3))
    for reference in ("overall", "rest"):
        no, yes = (biased(sample(design, values), reference=reference)[k] for k in (NO, YES))
        assert (no.value, no.low, no.high, no.p_value) == pytest.approx((-yes.value, -yes.high, -yes.low, yes.p_value))


def test_a_mix_of_labels_is_no_forgetting() -> None:
    """Every example of a label changes alike, and the groups differ in their labels alone."""
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(60), 4)
    groups = np.tile([0, 1, 0, 1], 60)
    labels = np.where(rng.random(240) < np.where(groups == 0, 0.9, 0.4), "yes", "no")
    design, values = designed(clusters, labels, groups), np.where(labels == "yes", -0.5, 0.5)
    plain = Design(design.clusters, design.members)
    assert biased(Sample.of(plain, values, resamples=FAST))[1].high < 0
    for estimate in biased(sample(design, values))[1:3]:
        assert estimate.value == pytest.approx(0, abs=1e-12)
        assert not estimate.p_value < 1
    assert disparity(sample(design, values), [1, 2])[0].value == pytest.approx(0, abs=1e-12)


def test_a_group_of_one_label_has_only_a_difference() -> None:
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(60), 2)
    labels = np.where(clusters < 45, "yes", "no")
    groups = np.where(labels == "yes", clusters % 2, 2)
    design, values = designed(clusters, labels, groups), changes(rng, labels)
    lost, bias = means(sample(design, values))[1], biased(sample(design, values))[1]
    assert math.isnan(lost.value)
    assert "'no' (0 clusters)" in lost.reason
    assert bias.value == pytest.approx(values[groups == 0].mean() - values[labels == "yes"].mean())
    assert bias.low < bias.value < bias.high
    assert "mean over 1 label, without 'no' (0 clusters)" in bias.method
    spread, expected = disparity(sample(design, values), [1, 2])
    assert spread.value == pytest.approx(abs(values[groups == 0].mean() - values[groups == 1].mean()))
    assert expected > 0


def test_a_label_with_few_clusters_is_left_out_and_named() -> None:
    rng = np.random.default_rng(6)
    clusters = np.arange(100)
    labels = np.array(["a", "b"] * 48 + ["rare"] * 4)
    borne = synthetic.design(clusters.tolist(), [[0]] * 50 + [[1]] * 50, n_groups=2)
    design, values = borne.balanced_over(labels, {}, needed=NEEDED), changes(rng, labels)
    lost = means(sample(design, values))[0]
    assert lost.value == pytest.approx(np.mean([values[labels == name].mean() for name in ("a", "b")]))
    assert lost.n == 96
    assert lost.method.endswith("mean over 2 labels, without 'rare' (4 clusters)")


def test_undefined_with_fewer_than_two_labels() -> None:
    labels = np.array(["yes"] * 30 + ["no"] * 3)
    design = designed(np.arange(33), labels, np.zeros(33, dtype=int))
    values = np.linspace(-1, 1, 33)
    why = "fewer than two labels have the 6 clusters that an interval needs"
    for estimate in (
        means(sample(design, values))[0],
        rates(design, np.abs(values))[0],
        biased(sample(design, values))[2],
    ):
        assert math.isnan(estimate.value)
        assert estimate.reason.startswith(why)
    assert combination([sample(design, values)], [1.0]).reason.startswith(why)
    assert ratios(design, values, np.abs(values))[0].reason.startswith(why)
    assert math.isnan(design.mean(values))
    assert means(sample(design, values))[YES].value == pytest.approx(values[:30].mean())


def test_no_change_is_no_forgetting() -> None:
    design, _, _ = data(np.random.default_rng(7))
    for estimate in means(sample(design, np.zeros(len(design.clusters))))[:4]:
        assert (estimate.value, estimate.p_value) == (0, 1)
        assert estimate.low <= 0 <= estimate.high


def test_order_of_rows_and_names_of_labels_say_nothing() -> None:
    rng = np.random.default_rng(8)
    design, values, labels = data(rng)
    groups = design.members[:, [1, 2, 3]].toarray().argmax(axis=1)
    order = rng.permutation(len(values))
    shuffled = designed(design.clusters[order], labels[order], groups[order])
    for one, other in zip(means(sample(design, values)), means(sample(shuffled, values[order])), strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high))
    renamed = np.where(labels == "yes", "aa", "zz")
    plain = Design(design.clusters, design.members)
    again = plain.balanced_over(renamed, {YES: "aa", NO: "zz"}, needed=NEEDED)
    for one, other in zip(biased(sample(design, values)), biased(sample(again, values)), strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high), nan_ok=True)


def test_one_group_held_against_the_others_label_by_label_is_plain_within_a_label() -> None:
    """Two labels that are copies of each other in clusters of their own: the contrast is that of one of them."""
    rng = np.random.default_rng(9)
    clusters, groups = np.repeat(np.arange(30), 3), rng.integers(0, 3, 90)
    values = changes(rng, np.array(["yes"] * 90))
    labels = np.array(["yes"] * 90 + ["no"] * 90)
    twice = designed(np.concatenate([clusters, clusters + 30]), labels, np.tile(groups, 2))
    known = twice.labels
    assert known is not None
    made = contrast(twice, known, twice.label_sums(np.tile(values, 2))[None], np.tile(values, 2), overall=True)
    once = Sample.of(
        synthetic.design(clusters.tolist(), [[int(g)] for g in groups], n_groups=3), values, resamples=FAST
    )
    for column in GROUPS:
        assert made.sums[0, :, column].sum() == pytest.approx(biased(once)[column].value)


@pytest.mark.parametrize("only_yes", [False, True])
def test_intervals_cover_with_three_quarters_of_one_label(only_yes: bool) -> None:
    rng = np.random.default_rng(10)
    covered, count = np.zeros(3), 150
    for _ in range(count):
        clusters = np.repeat(np.arange(40), rng.integers(1, 7, 40))
        labels = np.where(np.arange(40) < 30, "yes", "no")[clusters]
        groups = np.where((labels == "yes") | (not only_yes), rng.integers(0, 2, len(clusters)), 2)
        drawn = sample(designed(clusters, labels, groups), changes(rng, labels))
        lost, bias = means(drawn)[0], biased(drawn)[1]
        covered += [lost.low <= 0.2 <= lost.high, bias.low <= 0 <= bias.high, not bias.p_value <= 0.05]
    assert (covered / count >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / count)).all()


def test_labels_are_a_frozen_value_of_the_design() -> None:
    design, _, _ = data(np.random.default_rng(11))
    assert isinstance(design.labels, Labels)
    assert design.labels.names == ("no", "yes")
