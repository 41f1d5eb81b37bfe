"""Training examples as tokens, and batches of them as tensors."""

import pytest

from chaintune.models.encoding import Encoded
from chaintune.tuning.tokenized import (
    IGNORED,
    OrderedExamples,
    TrainingExample,
    collate,
    micro_batch,
    training_examples,
)


def test_an_example_is_the_prompt_the_right_choice_and_the_end() -> None:
    encoded = [Encoded((1, 2), ((3,), (4, 5))), Encoded((6,), ((7, 8), (9,)))]
    assert training_examples(encoded, [1, 0], end=99) == [
        TrainingExample((1, 2, 4, 5, 99), 3),
        TrainingExample((6, 7, 8, 99), 3),
    ]
    assert training_examples(encoded, [0, 1], end=None) == [TrainingExample((1, 2, 3), 1), TrainingExample((6, 9), 1)]


@pytest.mark.parametrize(
    ("batch_size", "wanted", "expected"), [(16, 8, 8), (16, 7, 4), (12, 5, 4), (7, 4, 1), (4, 100, 4), (3, 0, 1)]
)
def test_a_step_is_whole_micro_batches(batch_size: int, wanted: int, expected: int) -> None:
    assert micro_batch(batch_size, wanted) == expected
    assert batch_size % micro_batch(batch_size, wanted) == 0


def test_a_batch_is_padded_on_the_right_and_learns_the_answers_only() -> None:
    batch = collate([TrainingExample((1, 2, 3, 4), 1), TrainingExample((5, 6), 1), TrainingExample((7, 8, 9), 2)])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4], [5, 6, 0, 0], [7, 8, 9, 0]]
    no = IGNORED
    assert batch["labels"].tolist() == [[no, no, no, 4], [no, 6, no, no], [no, 8, 9, no]]
    assert batch["lengths"].tolist() == [4, 2, 3]
    assert batch["tokens"] == 9


def test_the_data_set_reads_in_training_order() -> None:
    taught = [TrainingExample((number,), 1) for number in range(3)]
    data = OrderedExamples(taught, [2, 0, 2, 1])
    assert [data[position].tokens[0] for position in range(len(data))] == [2, 0, 2, 1]
