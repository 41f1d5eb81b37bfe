"""Scaled margins: by hand, against scipy, what leaves them alone, and where there are none."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chaintune.records import CHOICE_METRICS, Choices, Example, Scores, choice_measurement, scores_of
from chaintune.records.margins import SCALED_MARGIN, log_margins, scaled_margins
from tests import synthetic


def scored(logprobs: Sequence[Sequence[float]], gold: int = 0) -> Scores:
    examples = [
        Example(f"e{k:03d}", "q", Choices(tuple(f" {k} {place}" for place in range(len(row))), gold), {}, f"e{k}")
        for k, row in enumerate(logprobs)
    ]
    measurement = choice_measurement(examples, logprobs, [[1] * len(row) for row in logprobs])
    return scores_of("t", measurement, examples, CHOICE_METRICS["accuracy"])


def drawn(seed: int, n: int = 80) -> list[list[float]]:
    rows: list[list[float]] = np.log(np.random.default_rng(seed).dirichlet([2.0, 1.0, 1.0], n)).tolist()
    return rows


def test_by_hand_and_against_scipy() -> None:
    scores = scored([[-1.0, -3.0, -2.0], [-2.0, -1.0, -5.0], [-4.0, -1.0]])
    assert log_margins(scores.table).tolist() == [1.0, -1.0, -3.0]
    # Median -1; absolute deviations 2, 0 and 2.
    expected = stats.norm.cdf([0.5, -0.5, -1.5])
    assert scores.by(SCALED_MARGIN).item_scores() == pytest.approx(expected, abs=1e-9)
    many = np.random.default_rng(0).standard_cauchy(501)
    expected = stats.norm.cdf(many / stats.median_abs_deviation(many))
    assert np.array(scaled_margins(many)["score"]) == pytest.approx(expected, abs=1e-9)


@given(st.floats(0.01, 100), st.integers(0, 2**32 - 1))
def test_another_temperature_leaves_them_alone(factor: float, seed: int) -> None:
    margins = np.random.default_rng(seed).normal(0.5, 2, 60)
    assert scaled_margins(margins)["score"] == pytest.approx(scaled_margins(margins * factor)["score"], abs=2e-9)


def test_a_right_answer_is_one_above_a_half() -> None:
    scores = scored(drawn(1))
    assert ((scores.by(SCALED_MARGIN).item_scores() > 0.5) == (scores.item_scores() == 1)).all()


@pytest.mark.parametrize(
    "margins",
    [[1.0, 1.0, 1.0, 5.0], [], [math.inf] * 5, [math.nan, math.nan]],
    ids=["alike", "none", "infinite", "nan"],
)
def test_without_a_spread_none_is_defined_and_the_reason_is_told(margins: list[float]) -> None:
    columns = scaled_margins(np.array(margins))
    assert columns["score"] == [None] * len(margins)
    assert all("no spread" in why for why in columns["missing_reason"])


def test_one_without_a_margin_leaves_the_others() -> None:
    impossible = scored([*drawn(2, 20), [-math.inf, -math.inf]]).by(SCALED_MARGIN)
    alone = scored([*drawn(2, 20), [-1.0]]).by(SCALED_MARGIN)
    for scores in (impossible, alone):
        assert scores.n_missing == 1
        assert "give no margin" in scores.table["missing_reason"][20].as_py()
        assert scores.item_scores()[:20] == pytest.approx(scored(drawn(2, 20)).by(SCALED_MARGIN).item_scores())


def test_certain_ones_end_at_the_ends_of_the_range() -> None:
    scores = scored([*drawn(3, 20), [0.0, -math.inf], [-math.inf, 0.0]]).by(SCALED_MARGIN)
    assert scores.item_scores()[20:].tolist() == [1.0, 0.0]


def test_they_are_averaged_as_the_scores_are_and_nothing_is_known_of_chance() -> None:
    answers = {"a": ["a"] * 40, "b": ["a"] * 20 + ["b"] * 20}
    balanced = synthetic.labelled(answers, sure=np.random.default_rng(4).uniform(0.1, 3, 80).tolist())
    assert balanced.by(SCALED_MARGIN).metric.average == "balanced"
    assert balanced.by("accuracy").by(SCALED_MARGIN).metric.average == "mean"
    assert balanced.by(SCALED_MARGIN).table["chance"].null_count == 80


def test_nothing_is_there_of_no_examples() -> None:
    assert len(scored(drawn(5, 1)).at(np.zeros(1, dtype=bool)).by(SCALED_MARGIN)) == 0
