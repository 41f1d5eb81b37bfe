"""Doses of a task's training data."""

import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune.errors import ConfigError
from chaintune.records import Example
from chaintune.tuning.mitigations.replay import group_weights, places_of, take_dose
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


WEIGHTS = {"Ann": 0.5, "Bob": 0.3, "Cem": 0.15, "Dia": 0.05}


def drawn(dose: float, *, weights: dict[str, float] | None = None, seed: int = 0) -> list[Example]:
    return list(take_dose(EXAMPLES, dose, task="balls", seed=seed, by="owner", weights=weights))


@given(
    small=st.floats(0.02, 1),
    large=st.floats(0.02, 1),
    weights=st.none() | st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
)
def test_doses_in_turns_are_nested_too(small: float, large: float, weights: list[float] | None) -> None:
    small, large = sorted((small, large))
    share = dict(zip(WEIGHTS, weights, strict=True)) if weights else None
    one, other = drawn(small, weights=share), drawn(large, weights=share)
    assert other[: len(one)] == one
    assert len({example.id for example in other}) == len(other) == round(large * 60)


@given(dose=st.floats(0.05, 1))
def test_a_balanced_dose_has_as_many_of_each_group(dose: float) -> None:
    counts = Counter(example.groups["owner"][0] for example in drawn(dose))
    assert max(counts.values()) - min(counts.get(owner, 0) for owner in WEIGHTS) <= 1


def test_a_targeted_dose_has_groups_in_proportion_until_one_is_used_up() -> None:
    counts = Counter(example.groups["owner"][0] for example in drawn(20 / 60, weights=WEIGHTS))
    assert counts == {"Ann": 10, "Bob": 6, "Cem": 3, "Dia": 1}
    # There are 15 of each owner: all of Ann's, and the rest to the others.
    counts = Counter(example.groups["owner"][0] for example in drawn(40 / 60, weights=WEIGHTS))
    assert counts["Ann"] == 15
    assert counts.total() == 40


def test_an_example_of_several_groups_is_taken_once_and_one_of_none_comes_last() -> None:
    both = replace(EXAMPLES[0], id="both", groups={"owner": ("Ann", "Bob")})
    none = replace(EXAMPLES[0], id="none", groups={})
    taken = take_dose([none, both, *EXAMPLES[:4]], 1.0, task="balls", seed=0, by="owner")
    assert len(taken) == 6
    assert taken[-1] is none


def test_weights_by_hand() -> None:
    found = group_weights({"a": 0.3, "b": 0.1, "c": -0.2, "d": 0.0})
    # 0.8 * (0.3, 0.1, 0, 0) / 0.4 + 0.2 / 4
    assert found == pytest.approx({"a": 0.65, "b": 0.25, "c": 0.05, "d": 0.05})
    assert group_weights({"a": -0.1, "b": 0.0}) == {"a": 0.5, "b": 0.5}


@given(st.dictionaries(st.text(max_size=3), st.floats(-1, 1), min_size=1, max_size=8))
def test_weights_add_up_to_one_and_leave_nobody_out(forgetting: dict[str, float]) -> None:
    found = group_weights(forgetting)
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) >= 0.2 / len(found) - 1e-12


BEFORE = {example.id: number / 10 for number, example in enumerate(EXAMPLES)}
AFTER = {name: value - (7 * number) % 60 for number, (name, value) in enumerate(BEFORE.items())}


def taken_by(who: str, dose: float) -> list[str]:
    places = places_of(who, BEFORE, AFTER, seed=0)
    return [example.id for example in take_dose(EXAMPLES, dose, task="balls", seed=0, ranked=places)]


def test_a_dose_takes_the_hardest_or_what_was_forgotten_most() -> None:
    assert taken_by("hardest", 0.1) == [example.id for example in EXAMPLES[:6]]
    fell = sorted(BEFORE, key=lambda name: AFTER[name] - BEFORE[name])
    assert taken_by("most_forgotten", 0.1) == fell[:6]


@pytest.mark.parametrize("dose", [0.05, 0.1, 0.25, 0.5])
def test_a_representative_dose_lies_evenly_over_what_fell_and_in_the_larger_one(dose: float) -> None:
    order = sorted(BEFORE, key=lambda name: AFTER[name] - BEFORE[name])
    places = sorted(order.index(name) for name in taken_by("representative", dose))
    quarters = Counter(place // 15 for place in places)
    assert max(quarters.values()) - min(quarters[quarter] for quarter in range(4)) <= max(1, len(places) // 4)
    assert sum(places) / len(places) == pytest.approx(29.5, abs=8)
    assert set(taken_by("representative", dose)) <= set(taken_by("representative", 1.0))
    assert taken_by("representative", 0.5)[: len(places)] == taken_by("representative", dose)


@pytest.mark.parametrize("who", ["hardest", "most_forgotten", "representative"])
def test_what_is_worth_the_same_is_drawn_by_the_seed(who: str) -> None:
    same = dict.fromkeys(BEFORE, 0.0)
    ranked = [places_of(who, same, same, seed=seed) for seed in (0, 1)]
    doses = [take_dose(EXAMPLES, 0.2, task="balls", seed=seed, ranked=ranked[seed]) for seed in (0, 1)]
    assert doses[0] != doses[1]
    assert ranked[0] == places_of(who, dict(reversed(same.items())), same, seed=0)


def test_what_has_no_score_after_the_loss_fell_most_and_before_it_fell_by_nothing() -> None:
    places = places_of(
        "most_forgotten", {"a": -math.inf, "b": 0.0, "c": 1.0}, {"a": 1.0, "b": -math.inf, "c": 0.5}, seed=0
    )
    assert sorted(places, key=places.__getitem__) == ["b", "c", "a"]
