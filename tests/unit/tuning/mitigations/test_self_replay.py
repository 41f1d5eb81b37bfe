"""Answers of a checkpoint in the place of those of the data."""

from dataclasses import replace

import pytest

from chaintune.errors import DataError
from chaintune.records import (
    Choices,
    Example,
    GeneratedText,
    Message,
    Reference,
    ScorerRef,
    choice_measurement,
    generation_measurement,
)
from chaintune.records.generation import FinishReason
from chaintune.tuning.mitigations.self_replay import own_answers

ASKED = [
    Example(f"e{number}", f"Question {number}?", Reference(" of the data"), {}, f"{number}") for number in range(4)
]


def written(*texts: str, reason: FinishReason = "stop") -> list[list[GeneratedText]]:
    return [[GeneratedText(text, reason, 3)] for text in texts]


def test_the_likeliest_choice_is_what_is_right() -> None:
    asked = [Example(f"e{number}", "?", Choices((" yes", " no"), 0), {}, f"{number}") for number in range(3)]
    said = choice_measurement(asked, [[-2.0, -1.0], [-1.0, -2.0], [-1.0, -1.0]], [[1, 1]] * 3)
    assert [one.choices.gold for one in own_answers(asked, said)] == [1, 0, 0]


def test_texts_that_were_cut_off_or_are_blank_are_not_taught() -> None:
    texts = [*written(" yes ", " "), *written(" and so", reason="length"), *written(" no")]
    taken = own_answers(ASKED, generation_measurement(ASKED, texts))
    assert [(one.id, one.target) for one in taken] == [("e0", Reference(" yes")), ("e3", Reference(" no"))]


def test_of_a_conversation_nothing_but_the_new_answer_is_taught() -> None:
    turns = (Message("user", "Hi"), Message("assistant", "of the data"), Message("user", "And?"))
    asked = [replace(ASKED[0], prompt=turns)]
    (taken,) = own_answers(asked, generation_measurement(asked, written(" no\n")))
    assert taken.target == Reference("no")
    assert [turn.is_taught for turn in taken.prompt if not isinstance(turn, str)] == [False] * 3


def test_only_answers_with_the_outcome_that_is_kept() -> None:
    texts = written(" I cannot help with that.", " Sure, first", " I'm sorry, but I can't.", " Red")
    said, scorer = generation_measurement(ASKED, texts), ScorerRef("refusal")
    assert [one.id for one in own_answers(ASKED, said, keep=["refused"], scorer=scorer)] == ["e0", "e2"]
    with pytest.raises(DataError, match=r"of 4 answers .* 0 did not end .*, and none of the others counts as empty"):
        own_answers(ASKED, said, keep=["empty"], scorer=scorer)
