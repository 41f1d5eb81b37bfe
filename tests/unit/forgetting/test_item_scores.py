"""Accuracy by sum, per token and per byte, from the same scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.forgetting import compare
from chaintune.records import Choices, Example, Metric, Scores, scores_table

CHOICES = (" a", " bb cc", " dddd ee ff")


def scores(logprobs: list[list[float]], tokens: list[list[int]], golds: list[int]) -> Scores:
    examples = [
        Example(f"e{n:03d}", "q", Choices(CHOICES[: len(row)], golds[n]), {}, f"c{n}") for n, row in enumerate(logprobs)
    ]
    return Scores("t", scores_table("t", examples, logprobs, tokens))


def test_by_hand() -> None:
    # Sums prefer the first choice, means over 1, 2 and 4 tokens the last, over 1, 5 and 10 bytes the last as well.
    found = scores([[-2.0, -3.0, -3.2]] * 3, [[1, 2, 4]] * 3, [0, 1, 2])
    assert found.item_scores().tolist() == [1, 0, 0]
    assert found.item_scores("accuracy_per_token").tolist() == [0, 0, 1]
    assert found.item_scores("accuracy_per_byte").tolist() == [0, 0, 1]


def test_the_first_choice_wins_a_tie() -> None:
    found = scores([[-1.0, -2.0], [-2.0, -4.0]], [[1, 2], [1, 2]], [0, 1])
    assert found.item_scores("accuracy_per_token").tolist() == [1, 0]


def test_nothing_scored_nothing_right() -> None:
    assert scores([], [], []).item_scores("accuracy_per_byte").size == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(-50, -0.01), min_size=2, max_size=3), min_size=1, max_size=12), st.integers(0, 99))
def test_agrees_with_a_row_at_a_time(logprobs: list[list[float]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(1, 6, len(row)).tolist() for row in logprobs]
    golds = [int(rng.integers(len(row))) for row in logprobs]
    expected = [
        int(np.argmax(np.array(row) / np.array(n)) == g) for row, n, g in zip(logprobs, tokens, golds, strict=True)
    ]
    assert scores(logprobs, tokens, golds).item_scores("accuracy_per_token").tolist() == expected


@pytest.mark.parametrize("metric", ["accuracy", "accuracy_per_token", "accuracy_per_byte"])
def test_compare_takes_each(metric: Metric) -> None:
    before = scores([[-2.0, -3.0, -3.2]] * 40, [[1, 2, 4]] * 40, [0] * 40)
    after = scores([[-2.5, -2.0, -9.0]] * 40, [[1, 2, 4]] * 40, [0] * 40)
    found = compare(before, after, metric=metric, resamples=200)
    assert found.metric == metric
    assert found.overall.before.value == (1.0 if metric == "accuracy" else 0.0)
