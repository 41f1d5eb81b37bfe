"""Doses of a task's training data."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune.errors import ConfigError
from chaintune.tuning.mitigations.replay import take_dose
from tests import tiny

EXAMPLES = tiny.examples(60)


def ids(dose: float, *, seed: int = 0) -> list[str]:
    return [example.id for example in take_dose(EXAMPLES, dose, task="balls", seed=seed)]


def test_everything_is_a_dose_of_one() -> None:
    assert sorted(ids(1.0)) == [example.id for example in EXAMPLES]


@given(small=st.floats(0.02, 1), large=st.floats(0.02, 1), seed=st.integers(0, 3))
def test_a_smaller_dose_lies_inside_a_larger_one(small: float, large: float, seed: int) -> None:
    small, large = sorted((small, large))
    assert set(ids(small, seed=seed)) <= set(ids(large, seed=seed))
    assert len(ids(small, seed=seed)) == round(small * 60)


def test_the_draw_depends_on_the_seed_and_on_nothing_else() -> None:
    assert ids(0.2, seed=0) != ids(0.2, seed=1)
    shuffled = random.Random(0).sample(EXAMPLES, 60)  # noqa: S311 - test data
    assert [example.id for example in take_dose(shuffled, 0.2, task="balls", seed=0)] == ids(0.2)


@pytest.mark.parametrize("count", [1, 3, 7, 60, 999])
def test_a_dose_of_nothing_is_refused_with_one_that_is_something(count: int) -> None:
    examples = tiny.examples(count)
    with pytest.raises(ConfigError, match=f"task 'balls': a dose of 0.0004 of {count} ") as told:
        take_dose(examples, 0.0004, task="balls", seed=0)
    suggested = float(str(told.value).rsplit("a dose of ", 1)[1].split()[0])
    assert len(take_dose(examples, suggested, task="balls", seed=0)) == 1
