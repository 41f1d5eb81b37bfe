"""What is left of a gain, and what a mitigation brings back."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.forgetting.mitigation import recovery, retained_gain
from chaintune.forgetting.options import Inference
from tests import synthetic
from tests.synthetic import Floats

FAST = Inference(resamples=300)


def right(n: int, one: int, two: int, three: int = 0) -> tuple[Floats, Floats, Floats]:
    """Item scores of several checkpoints, of which the first so many examples are right."""
    rows = [(np.arange(n) < count).astype(float)[None] for count in (one, two, three)]
    return rows[0], rows[1], rows[2]


def test_retained_gain_by_hand() -> None:
    base, trained, after = right(100, 20, 70, 50)
    found = retained_gain(synthetic.design(range(100)), base, trained, after, FAST)
    assert found.value == pytest.approx((0.5 - 0.2) / (0.7 - 0.2))
    assert found.low < 0.6 < found.high


def test_recovery_by_hand() -> None:
    trained, after, mitigated = right(100, 70, 40, 60)
    found = recovery(synthetic.design(range(100)), trained, after, mitigated, FAST)
    assert found.value == pytest.approx((0.6 - 0.4) / (0.7 - 0.4))
    assert found.low < 2 / 3 < found.high


@given(st.integers(30, 70), st.integers(60, 90))
@settings(max_examples=20, deadline=None)
def test_all_back_is_one_and_nothing_back_is_zero(lost_to: int, trained_to: int) -> None:
    trained, after, _ = right(120, trained_to + 20, lost_to)
    for mitigated, expected in ((trained, 1.0), (after, 0.0)):
        found = recovery(synthetic.design(range(120)), trained, after, mitigated, FAST)
        assert found.value == expected


@pytest.mark.parametrize("back", [True, False])
def test_all_or_nothing_back_in_every_example_has_an_interval(back: bool) -> None:
    trained, after, _ = right(120, 90, 50)
    found = recovery(synthetic.design(range(120)), trained, after, trained if back else after, FAST)
    assert found.value == back
    assert found.value - 0.25 < found.low < found.value < found.high < found.value + 0.25
    assert found.reason == ""
    assert (found.p_value < 0.01) == back


def test_the_interval_covers_where_nearly_all_came_back() -> None:
    rng = np.random.default_rng(4)
    found = synthetic.nested(rng, groups=1, clusters=30)
    covered = []
    for _ in range(60):
        trained = rng.random(120) < 0.8
        after = trained & (rng.random(120) < 0.6)
        mitigated = after | (trained & (rng.random(120) < 0.97))
        rows = [part.astype(float)[None] for part in (trained, after, mitigated)]
        estimate = recovery(found, rows[0], rows[1], rows[2], FAST)
        covered.append(estimate.low <= 0.97 <= estimate.high)
    assert np.mean(covered) > 0.9


def test_more_than_was_lost_is_above_one() -> None:
    trained, after, mitigated = right(100, 60, 30, 80)
    assert recovery(synthetic.design(range(100)), trained, after, mitigated, FAST).value > 1


@pytest.mark.parametrize("counts", [(50, 50, 60), (50, 48, 50), (40, 60, 50)])
def test_undefined_when_no_loss_is_shown(counts: tuple[int, int, int]) -> None:
    found = recovery(synthetic.design(range(100)), *right(100, *counts), FAST)
    assert math.isnan(found.value)
    assert "is not shown to be above 0" in found.reason
    assert (found.n, found.n_clusters) == (100, 100)


def test_undefined_when_no_gain_is_shown() -> None:
    found = retained_gain(synthetic.design(range(40)), *right(40, 20, 21, 10), FAST)
    assert math.isnan(found.value)
    assert re.fullmatch(r"the gain over the base, 2\.5 points \(-.* to .*\), is not shown to be above 0", found.reason)


@pytest.mark.parametrize("clusters", [[0], [0] * 40])
def test_one_cluster_is_undefined(clusters: list[int]) -> None:
    n = len(clusters)
    found = recovery(synthetic.design(clusters), *right(n, n, 0, n), FAST)
    assert math.isnan(found.value)
    assert "too few clusters" in found.reason


def test_several_seeds_are_counted() -> None:
    trained, after, mitigated = (np.concatenate([part] * 3) for part in right(100, 70, 40, 60))
    found = recovery(synthetic.design(range(100)), trained, after, mitigated, FAST)
    assert found.value == pytest.approx(2 / 3)
    assert found.n_seeds == 3


def test_the_interval_covers() -> None:
    rng = np.random.default_rng(3)
    found = synthetic.design(range(150))
    covered = []
    for _ in range(80):
        trained = rng.random(150) < 0.8
        after = trained & (rng.random(150) < 0.5)
        mitigated = after | (trained & (rng.random(150) < 0.5))
        rows = [part.astype(float)[None] for part in (trained, after, mitigated)]
        estimate = recovery(found, rows[0], rows[1], rows[2], FAST)
        covered.append(estimate.low <= 0.5 <= estimate.high)
    assert np.mean(covered) > 0.87
