"""So many more examples decide four times in five, and a limit that can be kept is kept as often."""

import math

import numpy as np
import pytest
from scipy import special

from chaintune.stats.deciding import growth_to_decide, room_to_pass

ERROR = math.sqrt(0.2 / 1100)
Z = 1.959964


def decided(rng: np.random.Generator, truth: float, limit: float) -> list[bool]:
    """Whether as many more examples as are named decide, of estimates of 1,100 that do not; 20 % of examples flip."""
    answers: list[bool] = []
    while len(answers) < 1000:
        value = rng.normal(truth, ERROR)
        if abs(value - limit) > Z * ERROR:
            continue
        growth = growth_to_decide(value, value - Z * ERROR, value + Z * ERROR, limit, 0.95)
        fresh = rng.normal(truth, ERROR / math.sqrt(growth - 1))
        final = (value + (growth - 1) * fresh) / growth
        answers.append(abs(final - limit) > Z * ERROR / math.sqrt(growth))
    return answers


@pytest.mark.parametrize("truth", [0.0, 0.01, 0.04])
def test_so_many_more_examples_decide_with_80_percent_power(truth: float) -> None:
    answers = decided(np.random.default_rng(1), truth, 0.02)
    assert np.mean(answers) >= 0.8 - 2.5 * math.sqrt(0.16 / 1000)


def test_the_share_is_four_in_five_over_all_truths() -> None:
    rng = np.random.default_rng(2)
    answers = [answer for truth in rng.uniform(-0.1, 0.14, 150) for answer in decided_once(rng, truth)]
    assert np.mean(answers) == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / len(answers)))


def decided_once(rng: np.random.Generator, truth: float) -> list[bool]:
    """Of forty estimates, those that do not decide."""
    answers: list[bool] = []
    for value in rng.normal(truth, ERROR, 40):
        if abs(value - 0.02) < Z * ERROR:
            growth = growth_to_decide(value, value - Z * ERROR, value + Z * ERROR, 0.02, 0.95)
            final = (value + (growth - 1) * rng.normal(truth, ERROR / math.sqrt(growth - 1))) / growth
            answers.append(abs(final - 0.02) > Z * ERROR / math.sqrt(growth))
    return answers


@pytest.mark.parametrize("tests", [1, 11])
def test_a_limit_with_that_room_is_kept_by_every_group_with_80_percent_power(tests: int) -> None:
    room = room_to_pass(0.0, Z * ERROR, 0.95, tests)
    kept = special.ndtr((room - Z * ERROR) / ERROR) ** tests
    assert kept == pytest.approx(0.8, abs=1e-3)


def test_nothing_is_named_without_an_interval() -> None:
    assert math.isnan(growth_to_decide(0.01, math.nan, math.nan, 0.02, 0.95))
    assert math.isnan(growth_to_decide(0.01, 0.01, 0.01, 0.02, 0.95))
