"""Training examples as tokens, and batches of them as tensors."""

import pytest

from chaintune.models.encoding import Encoded
from chaintune.records.recipe import micro_batch
from chaintune.tuning.tokenized import (
    IGNORED,
    OrderedExamples,
    TrainingExample,
    all_tokens,
    collate,
    longest_tokens,
    training_examples,
)


def lesson(*tokens: int, answer: int) -> TrainingExample:
    """One sequence whose last tokens are learned."""
    return TrainingExample.of([(tokens[:-answer], tokens[-answer:])])


def test_an_example_is_a_prompt_and_an_answer() -> None:
    taught = [(Encoded((1, 2), ((3, 99),)),), (Encoded((6,), ((7, 8), (9,))),)]
    assert training_examples(taught) == [lesson(1, 2, 3, 99, answer=2), lesson(6, 7, 8, answer=2)]
    assert training_examples(taught, answer=1) == [lesson(1, 2, 3, 99, answer=2), lesson(6, 9, answer=1)]


def test_a_conversation_that_goes_on_is_one_sequence() -> None:
    turns = (Encoded((1, 2), ((3, 4),)), Encoded((1, 2, 3, 4, 5), ((6,),)))
    (example,) = training_examples([turns])
    assert example == TrainingExample(((1, 2, 3, 4, 5, 6),), (((2, 4), (5, 6)),))
    assert (example.answer_tokens, longest_tokens(example), all_tokens(example)) == (3, 6, (1, 2, 3, 4, 5, 6))


def test_a_turn_whose_history_is_rewritten_is_a_sequence_of_its_own() -> None:
    turns = (Encoded((1, 2), ((3, 4),)), Encoded((1, 2, 4, 5), ((6,),)), Encoded((1, 2, 4, 5, 6, 7), ((8,),)))
    (example,) = training_examples([turns])
    assert example.sequences == ((1, 2, 3, 4), (1, 2, 4, 5, 6, 7, 8))
    assert example.answers == (((2, 4),), ((4, 5), (6, 7)))
    assert (example.answer_tokens, longest_tokens(example)) == (4, 7)
    assert all_tokens(example) == (1, 2, 3, 4, 1, 2, 4, 5, 6, 7, 8)
    batch = collate([example])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 0, 0, 0], [1, 2, 4, 5, 6, 7, 8]]
    no = IGNORED
    assert batch["labels"].tolist() == [[no, no, 3, 4, no, no, no], [no, no, no, no, 6, no, 8]]
    assert (batch["tokens"], batch["items"]) == (11, 4)


@pytest.mark.parametrize(
    ("batch_size", "wanted", "expected"), [(16, 8, 8), (16, 7, 4), (12, 5, 4), (7, 4, 1), (4, 100, 4), (3, 0, 1)]
)
def test_a_step_is_whole_micro_batches(batch_size: int, wanted: int, expected: int) -> None:
    assert micro_batch(batch_size, wanted) == expected
    assert batch_size % micro_batch(batch_size, wanted) == 0


def test_a_batch_is_padded_on_the_right_and_learns_the_answers_only() -> None:
    batch = collate([lesson(1, 2, 3, 4, answer=1), lesson(5, 6, answer=1), lesson(7, 8, 9, answer=2)])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4], [5, 6, 0, 0], [7, 8, 9, 0]]
    no = IGNORED
    assert batch["labels"].tolist() == [[no, no, no, 4], [no, 6, no, no], [no, 8, 9, no]]
    assert batch["lengths"].tolist() == [4, 2, 3]
    assert batch["tokens"] == 9


def test_the_data_set_reads_in_training_order() -> None:
    taught = [lesson(9, number, answer=1) for number in range(3)]
    data = OrderedExamples(taught, [2, 0, 2, 1])
    assert [data[position].sequences[0][1] for position in range(len(data))] == [2, 0, 2, 1]
