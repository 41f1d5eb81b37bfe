"""In which order lessons are read, and which of them make a step."""

import math
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from chaintune.tuning.order import families, training_order

lengths_of_examples = st.lists(st.integers(1, 50), min_size=1, max_size=40)


def order_of(lengths: list[int], *, batch_size: int = 4, epochs: float = 1, seed: int = 0) -> list[int]:
    texts = [(1,) * length for length in lengths]
    return training_order(texts, batch_size=batch_size, epochs=epochs, seed=seed)


@given(lengths=lengths_of_examples, batch_size=st.integers(1, 9), epochs=st.integers(1, 3), seed=st.integers(0, 5))
def test_every_pass_reads_each_example_once(lengths: list[int], batch_size: int, epochs: int, seed: int) -> None:
    order = order_of(lengths, batch_size=batch_size, epochs=epochs, seed=seed)
    assert Counter(order) == dict.fromkeys(range(len(lengths)), epochs)
    # A step may reach over the end of a pass, so passes are whole only where steps end with them.
    if len(lengths) % batch_size == 0:
        for start in range(0, len(order), len(lengths)):
            assert sorted(order[start : start + len(lengths)]) == list(range(len(lengths)))


@given(lengths=lengths_of_examples, batch_size=st.integers(1, 9), epochs=st.floats(0.01, 3.5))
def test_within_a_step_lengths_rise(lengths: list[int], batch_size: int, epochs: float) -> None:
    order = order_of(lengths, batch_size=batch_size, epochs=epochs)
    for start in range(0, len(order), batch_size):
        step = [lengths[index] for index in order[start : start + batch_size]]
        assert step == sorted(step)


@given(lengths=lengths_of_examples, epochs=st.floats(0.01, 3.5))
def test_a_fraction_of_an_epoch_is_a_part_of_its_last_pass(lengths: list[int], epochs: float) -> None:
    order = order_of(lengths, epochs=epochs, batch_size=1)
    assert len(order) == max(1, round(epochs * len(lengths)))
    assert order == order_of(lengths, epochs=math.ceil(epochs), batch_size=1)[: len(order)]


def test_steps_are_random_samples_that_depend_on_the_seed() -> None:
    lengths = list(range(1, 41))
    first, second = order_of(lengths, seed=0), order_of(lengths, seed=1)
    assert first != second
    assert first == order_of(lengths, seed=0)
    means = [sum(lengths[index] for index in first[start : start + 4]) / 4 for start in range(0, 40, 4)]
    assert means != sorted(means)


def test_passes_differ() -> None:
    order = order_of([5] * 20, epochs=2, batch_size=1)
    assert order[:20] != order[20:]


CONTEXTS = [tuple(random.Random(n).choices(range(50), k=12)) for n in range(10)]  # noqa: S311 - test data
QUESTIONS = [(*context, 60 + n, 70 + n, 80) for context in CONTEXTS for n in range(4)]
texts_of_examples = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=6).map(tuple), max_size=20)


def test_what_is_kept_together_stands_in_one_step() -> None:
    order = training_order(QUESTIONS, batch_size=8, epochs=2, seed=0, keep_together=True)
    assert Counter(order) == dict.fromkeys(range(40), 2)
    steps = [{index // 4 for index in order[start : start + 8]} for start in range(0, 80, 8)]
    assert all(len(contexts) == 2 for contexts in steps)
    assert steps[:5] != steps[5:]
    alone = training_order(QUESTIONS, batch_size=8, epochs=2, seed=0)
    assert max(len({index // 4 for index in alone[start : start + 8]}) for start in range(0, 80, 8)) > 4


def test_what_all_texts_begin_with_makes_no_family() -> None:
    shots = tuple(range(100, 200))
    assert sorted(map(sorted, families([shots + text for text in QUESTIONS]))) == [
        list(range(start, start + 4)) for start in range(0, 40, 4)
    ]


@given(texts_of_examples)
def test_families_hold_everyone_once(texts: list[tuple[int, ...]]) -> None:
    assert sorted(index for family in families(texts) for index in family) == list(range(len(texts)))
