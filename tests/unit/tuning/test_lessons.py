"""What is taught, in which order, in which tensors."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune.models.encoding import Encoded
from chaintune.tuning.lessons import IGNORED, Lesson, LessonData, collate, lessons, micro_batch, training_order

lengths_of_examples = st.lists(st.integers(1, 50), min_size=1, max_size=40)


def order_of(lengths: list[int], *, batch_size: int = 4, epochs: float = 1, seed: int = 0) -> list[int]:
    return training_order(lengths, batch_size=batch_size, epochs=epochs, seed=seed)


def test_a_lesson_is_the_prompt_the_right_choice_and_the_end() -> None:
    encoded = [Encoded((1, 2), ((3,), (4, 5))), Encoded((6,), ((7, 8), (9,)))]
    assert lessons(encoded, [1, 0], end=99) == [Lesson((1, 2, 4, 5, 99), 3), Lesson((6, 7, 8, 99), 3)]
    assert lessons(encoded, [0, 1], end=None) == [Lesson((1, 2, 3), 1), Lesson((6, 9), 1)]


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


@pytest.mark.parametrize(
    ("batch_size", "wanted", "expected"), [(16, 8, 8), (16, 7, 4), (12, 5, 4), (7, 4, 1), (4, 100, 4), (3, 0, 1)]
)
def test_a_step_is_whole_micro_batches(batch_size: int, wanted: int, expected: int) -> None:
    assert micro_batch(batch_size, wanted) == expected
    assert batch_size % micro_batch(batch_size, wanted) == 0


def test_a_batch_is_padded_on_the_right_and_learns_the_answers_only() -> None:
    batch = collate([Lesson((1, 2, 3, 4), 1), Lesson((5, 6), 1), Lesson((7, 8, 9), 2)])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4], [5, 6, 0, 0], [7, 8, 9, 0]]
    no = IGNORED
    assert batch["labels"].tolist() == [[no, no, no, 4], [no, 6, no, no], [no, 8, 9, no]]
    assert batch["lengths"].tolist() == [4, 2, 3]


def test_the_data_set_reads_in_training_order() -> None:
    taught = [Lesson((number,), 1) for number in range(3)]
    data = LessonData(taught, [2, 0, 2, 1])
    assert [data[position].tokens[0] for position in range(len(data))] == [2, 0, 2, 1]
