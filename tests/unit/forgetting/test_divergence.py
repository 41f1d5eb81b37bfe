"""Means of divergences, and why there is none."""

import math

import numpy as np
import pyarrow as pa
import pytest

from chaintune.forgetting.divergence import mean_divergences
from chaintune.forgetting.options import Inference
from chaintune.records import Estimate, Task
from tests import tiny


def means(forward: list[float], backward: list[float]) -> tuple[Estimate, Estimate]:
    """Of examples that are clusters of their own, with three tokens each."""
    numbered = sorted(tiny.examples(2 * len(forward)), key=lambda example: example.id)[::2]
    task = Task("t", "safety", "1", (), tuple(numbered), ("owner",), "made", "CC0")
    names = [example.id for example in numbered]
    table = pa.table({"example_id": names, "forward": forward, "backward": backward, "tokens": [3] * len(names)})
    return mean_divergences(table, task, Inference(resamples=200))


def test_it_is_a_mean_over_tokens_with_an_interval_and_no_test() -> None:
    values = np.random.default_rng(0).random(40) + 1
    forward, backward = means(values.tolist(), (2 * values).tolist())
    assert forward.value == pytest.approx(values.mean() / 3)
    assert forward.low < forward.value < forward.high
    assert math.isnan(forward.p_value)
    assert backward.value == pytest.approx(2 * forward.value)


def test_a_model_that_rules_out_a_token_is_infinitely_far_and_the_reason_says_so() -> None:
    forward, backward = means([math.inf, 1.0, *[0.5] * 38], [0.5] * 40)
    assert math.isnan(forward.value)
    assert "infinite in 1 of 40 examples: the later model rules out" in forward.reason
    assert backward.value == pytest.approx(0.5 / 3)


def test_few_large_ones_leave_no_interval_and_the_reason_speaks_of_divergences() -> None:
    forward, _ = means([200.0, *[0.01] * 39], [0.5] * 40)
    assert math.isnan(forward.low)
    assert forward.reason == "too few and too skewed divergences among 40 clusters for an interval"
