"""Prediction-powered means: bad input, theory, another implementation, coverage, degenerate data, invariants."""

import math

import numpy as np
import pytest

from chaintune.errors import DataError
from chaintune.stats import rates
from chaintune.stats.prediction_powered import LEAST_LABELS, Powered, prediction_powered
from tests import synthetic
from tests.synthetic import Floats

N, LABELLED = 400, 80


def data(right: float = 0.85, share: float = 0.4) -> tuple[Floats, Floats]:
    """What a scorer says of 400 texts, right in a share of them, and labels of the first 80."""
    rng = np.random.default_rng(7)
    truth = (rng.random(N) < share) * 1.0
    predictions = np.where(rng.random(N) < right, truth, 1 - truth)
    return predictions, np.where(np.arange(N) < LABELLED, truth, np.nan)


def ends(powered: Powered) -> tuple[float, float, float]:
    return powered.estimate.value, powered.estimate.low, powered.estimate.high


def test_bad_numbers_are_refused() -> None:
    predictions, labels = data()
    with pytest.raises(DataError, match="400 predictions, 399 labels"):
        prediction_powered(predictions, labels[1:])
    with pytest.raises(DataError, match="every text needs the scorer's word"):
        prediction_powered(labels, labels)
    with pytest.raises(DataError, match=r"a label is -1\.0, expected 0 to 1"):
        prediction_powered(predictions, -np.abs(labels))
    with pytest.raises(DataError, match=r"a prediction is 2\.0, expected -1 to 1"):
        prediction_powered(predictions * 2, labels, is_change=True)


def test_without_weight_it_is_the_mean_of_the_labels() -> None:
    predictions, labels = data()
    powered = prediction_powered(predictions, labels, weight=0.0)
    assert powered.estimate.value == powered.labelled == pytest.approx(labels[:LABELLED].mean())
    error = math.sqrt(labels[:LABELLED].var() / (LABELLED - 2))
    assert powered.estimate.high - powered.estimate.value == pytest.approx(1.9908 * error, rel=1e-4)
    assert (powered.weight, powered.labels) == (0.0, LABELLED)
    assert powered.scorer == pytest.approx(predictions.mean())


def test_the_whole_weight_adds_the_difference_where_both_spoke() -> None:
    predictions, labels = data()
    own, rest = predictions[:LABELLED], predictions[LABELLED:]
    by_hand = rest.mean() + (labels[:LABELLED] - own).mean()
    assert prediction_powered(predictions, labels, weight=1.0).estimate.value == pytest.approx(by_hand)


def test_numbers_of_another_implementation() -> None:
    predictions, labels = data()
    # ppi-python 0.2.3: ppi_mean_pointestimate and ppi_mean_ci of these labels, lam 0, 1 and None; it takes the normal
    # distribution for t, and the weight from the variance of all predictions.
    theirs = {
        0.0: (0.4, 0.29264835, 0.50735165),
        1.0: (0.359375, 0.27605697, 0.44269303),
        None: (0.37321584, 0.3013539, 0.44507779),
    }
    for weight, numbers in theirs.items():
        assert ends(prediction_powered(predictions, labels, weight=weight)) == pytest.approx(numbers, abs=0.0035)
    assert prediction_powered(predictions, labels, weight=1.0).estimate.value == pytest.approx(theirs[1.0][0])


def test_a_scorer_that_knows_nothing_hardly_counts_and_a_good_one_narrows_the_interval() -> None:
    widths = {}
    for right in (0.5, 0.85, 1.0):
        predictions, labels = data(right)
        powered, alone = (prediction_powered(predictions, labels, weight=weight) for weight in (None, 0.0))
        widths[right] = (ends(powered)[2] - ends(powered)[1]) / (ends(alone)[2] - ends(alone)[1])
    assert widths[0.5] == pytest.approx(1, abs=0.03)
    assert widths[1.0] < widths[0.85] < 0.8


@pytest.mark.parametrize(("right", "share"), [(0.7, 0.4), (0.95, 0.05)])
def test_intervals_cover(right: float, share: float) -> None:
    held, draws, codes = 0, 120, np.repeat(np.arange(100), 3)
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        truth = (rng.random(300) < rng.beta(5 * share, 5 * (1 - share), 100)[codes]) * 1.0
        predictions = np.where(rng.random(300) < right, truth, 1 - truth)
        labels = np.full(300, np.nan)
        chosen = rng.choice(300, 60, replace=False)
        labels[chosen] = truth[chosen]
        _, low, high = ends(prediction_powered(predictions, labels, clusters=codes))
        held += low <= share <= high
    assert held / draws >= 0.92


def test_texts_of_one_cluster_count_once() -> None:
    predictions, labels = data()
    alone = prediction_powered(predictions, labels)
    twice = [np.concatenate([one, one]) for one in (predictions, labels)]
    together = prediction_powered(*twice, clusters=np.concatenate([np.arange(N), np.arange(N)]))
    assert ends(together) == pytest.approx(ends(alone))
    assert (together.estimate.n, together.estimate.n_clusters) == (2 * N, N)


def test_neither_order_nor_numbers_of_clusters_matter() -> None:
    predictions, labels = data()
    clusters, order = np.arange(N) // 2, np.random.default_rng(0).permutation(N)
    one = prediction_powered(predictions, labels, clusters=clusters)
    other = prediction_powered(predictions[order], labels[order], clusters=1000 - clusters[order])
    assert ends(one) == pytest.approx(ends(other))


def test_all_labels_need_no_scorer() -> None:
    predictions, _ = data()
    powered = prediction_powered(1 - predictions, predictions)
    assert powered.weight == 0
    assert powered.estimate.value == pytest.approx(predictions.mean())


def test_no_change_is_no_forgetting() -> None:
    labels = np.where(np.arange(N) < LABELLED, 0.0, np.nan)
    powered = prediction_powered(np.zeros(N), labels, is_change=True)
    assert powered.estimate.value == 0
    assert powered.estimate.p_value == 1
    assert -0.1 < powered.estimate.low < 0 < powered.estimate.high < 0.1


def test_differences_that_are_certain_dilute_the_others() -> None:
    rng = np.random.default_rng(1)
    truth = synthetic.changes(rng, N, forgot=0.4, learned=0.1)
    labels = np.where(np.arange(N) < LABELLED, truth, np.nan)
    said = np.where(rng.random(N) < 0.9, truth, 0.0)
    certain = np.arange(2 * N) >= N
    padded = [np.concatenate([one, np.zeros(N)]) for one in (said, labels)]
    alone = prediction_powered(said, labels, is_change=True)
    diluted = prediction_powered(*padded, certain=certain, is_change=True)
    assert diluted.estimate.value == pytest.approx(alone.estimate.value / 2)
    assert (diluted.labels, diluted.estimate.n) == (LABELLED, 2 * N)
    width = (ends(diluted)[2] - ends(diluted)[1]) / (ends(alone)[2] - ends(alone)[1])
    assert 0.5 < width < 0.6  # the share of the others scatters too
    none = prediction_powered(*padded, certain=np.ones(2 * N, dtype=np.bool_), is_change=True)
    assert none.estimate.reason == "0 labels where the texts differ, at least 50 are needed"


def test_a_change_is_tested() -> None:
    rng = np.random.default_rng(1)
    truth = synthetic.changes(rng, N, forgot=0.4, learned=0.1)
    labels = np.where(np.arange(N) < LABELLED, truth, np.nan)
    powered = prediction_powered(np.where(rng.random(N) < 0.9, truth, 0.0), labels, is_change=True)
    assert powered.estimate.p_value < 0.01
    assert powered.estimate.low > 0


def test_labels_that_never_differ_are_not_certain_to() -> None:
    predictions, labels = np.zeros(N), np.where(np.arange(N) < LABELLED, 0.0, np.nan)
    powered = prediction_powered(predictions, labels)
    (exact,) = rates(synthetic.design(list(range(LABELLED))), np.zeros(LABELLED))
    assert powered.estimate.value == powered.estimate.low == 0
    assert exact.high <= powered.estimate.high < 2 * exact.high


def test_too_few_labels_or_clusters_say_so() -> None:
    predictions, labels = data()
    few = prediction_powered(predictions, np.where(np.arange(N) < LEAST_LABELS - 1, labels, np.nan))
    assert math.isnan(few.estimate.value)
    assert few.estimate.reason == "49 labels, at least 50 are needed"
    none = prediction_powered(predictions, np.full(N, np.nan), least_labels=0)
    assert none.estimate.reason == "0 labels, at least 1 are needed"
    together = prediction_powered(predictions, labels, clusters=np.arange(N) // 40)
    assert math.isnan(together.estimate.low)
    assert "too few clusters with a label" in together.estimate.reason
