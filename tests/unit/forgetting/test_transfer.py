"""Transfer and forgetting of whole chains: by hand, and by other tools' conventions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune.errors import DataError
from chaintune.forgetting.transfer import (
    backward_transfer,
    forgetting_avalanche,
    forgetting_chaudhry,
    forgetting_mammoth,
    forward_transfer,
    transfer_estimate,
)
from chaintune.stats import Sample
from tests import made_up

# Rows are stages, columns tasks: the first task is best after the second stage and worst after the third.
SCORES = np.array([[0.80, 0.30, 0.20], [0.85, 0.90, 0.25], [0.60, 0.70, 0.95]])
BASELINE = [0.10, 0.20, 0.22]


def test_backward_transfer_by_hand() -> None:
    assert backward_transfer(SCORES) == pytest.approx(((0.60 - 0.80) + (0.70 - 0.90)) / 2)


def test_forward_transfer_by_hand() -> None:
    assert forward_transfer(SCORES, BASELINE) == pytest.approx(((0.30 - 0.20) + (0.25 - 0.22)) / 2)


def test_chaudhry_takes_the_best_earlier_stage() -> None:
    assert forgetting_chaudhry(SCORES) == pytest.approx(((0.85 - 0.60) + (0.90 - 0.70)) / 2)


def test_chaudhry_is_negative_when_the_last_stage_is_the_best() -> None:
    assert forgetting_chaudhry(np.array([[0.5, 0.1], [0.7, 0.8]])) == pytest.approx(-0.2)


def test_avalanche_counts_from_the_tasks_own_stage() -> None:
    assert forgetting_avalanche(SCORES) == pytest.approx(((0.80 - 0.60) + (0.90 - 0.70)) / 2)


def test_mammoth_takes_the_best_stage_the_last_one_too() -> None:
    assert forgetting_mammoth(SCORES) == pytest.approx(((0.85 - 0.60) + (0.90 - 0.70)) / 2)
    assert forgetting_mammoth(np.array([[0.5, 0.1], [0.7, 0.8]])) == 0.0


def test_mammoth_knows_no_score_before_a_task_is_tuned() -> None:
    lucky = np.array([[0.5, 0.9, 0.0], [0.5, 0.6, 0.0], [0.5, 0.6, 0.7]])
    assert forgetting_mammoth(lucky) == 0.0
    assert forgetting_chaudhry(lucky) == pytest.approx(0.3 / 2)


@given(st.integers(2, 6), st.integers(0, 1000))
def test_conventions_keep_their_order(tasks: int, seed: int) -> None:
    scores = np.random.default_rng(seed).random((tasks, tasks))
    assert forgetting_chaudhry(scores) >= forgetting_avalanche(scores) - 1e-12
    assert forgetting_mammoth(scores) >= 0
    assert forgetting_avalanche(scores) == -backward_transfer(scores)


@given(st.integers(2, 6))
def test_scores_that_never_change_transfer_nothing(tasks: int) -> None:
    scores = np.tile(np.linspace(0.1, 0.9, tasks), (tasks, 1))
    assert backward_transfer(scores) == 0.0
    assert forward_transfer(scores, scores[0].tolist()) == 0.0
    assert forgetting_chaudhry(scores) == 0.0


@pytest.mark.parametrize("scores", [np.ones((2, 3)), np.ones((1, 1)), np.ones(4)])
def test_what_is_no_square_is_refused(scores: made_up.Floats) -> None:
    with pytest.raises(DataError, match="stages x tasks"):
        backward_transfer(scores)


def test_a_baseline_of_other_tasks_is_refused() -> None:
    with pytest.raises(DataError, match="baseline of 1 tasks, expected 3"):
        forward_transfer(SCORES, [0.1])


def test_the_estimate_is_the_mean_over_tasks() -> None:
    rng = np.random.default_rng(0)
    values = [made_up.changes(rng, n) for n in (60, 90)]
    drawn = [Sample.of(made_up.design(range(len(v))), v, resamples=500) for v in values]
    found = transfer_estimate(drawn, level=0.95, seed=0)
    assert found.value == pytest.approx((values[0].mean() + values[1].mean()) / 2)
    assert found.low < found.value < found.high
