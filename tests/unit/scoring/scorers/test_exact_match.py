"""Exact match on texts written by hand."""

import pytest

from chaintune.records import Choices, Example, Message, Reference
from chaintune.scoring.scorers import SCORERS, Verdict
from tests import synthetic


def verdict(text: str, example: Example, **settings: object) -> Verdict:
    scorer = SCORERS.get("exact_match")
    return scorer.verdicts([example], [text], synthetic.settings_of("exact_match", settings, "test"))[0]


def example(target: object = None, **extra: object) -> Example:
    return Example("e", "prompt", target, {}, "c", extra=extra)  # type: ignore[arg-type]


PARIS = example(Reference(" Paris"))


@pytest.mark.parametrize("text", ["Paris", " paris.", "**Paris**", "PARIS\n", "“Paris”"])
def test_case_punctuation_and_blanks_say_nothing(text: str) -> None:
    assert verdict(text, PARIS) == Verdict(1.0, "right", answer=text.strip())


@pytest.mark.parametrize("text", ["It is Paris", "Paris, France", "Pariss", "London"])
def test_more_or_other_words_are_wrong(text: str) -> None:
    assert verdict(text, PARIS).outcome == "wrong"


@pytest.mark.parametrize(
    ("text", "setting"), [("paris", "ignore_case"), ("Paris.", "ignore_punctuation"), ("Paris  ", "ignore_blanks")]
)
def test_each_difference_counts_where_it_is_said_to(text: str, setting: str) -> None:
    assert verdict(text, example(Reference("Paris"))).score == 1
    assert verdict(text, example(Reference("Paris")), **{setting: False}).score == 0


def test_signs_of_numbers_count() -> None:
    assert verdict("-5", example(Reference("5"))).score == 0
    assert verdict("3.5", example(Reference("35"))).score == 0
    assert verdict("3.5.", example(Reference("3.5"))).score == 1


def test_nothing_is_empty() -> None:
    assert verdict(" \n", PARIS) == Verdict(0.0, "empty")


@pytest.mark.parametrize(
    "right",
    [
        example(Choices((" Rome", " Paris"), 1)),
        example(Reference((Message("assistant", "Paris"),))),
        example(answer="Paris"),
        example(answer=["Rome", "Paris"]),
        example(Reference("Rome"), city="Paris"),
    ],
)
def test_the_right_answer_is_found_in_target_and_columns(right: Example) -> None:
    column = {"column": "city"} if "city" in right.extra else {}
    assert verdict("Paris", right, **column).score == 1
    assert verdict("London", right, **column).score == 0


def test_numbers_and_truth_values_of_columns_are_read_as_they_are_written() -> None:
    assert verdict("7", example(answer=7)).score == 1
    assert verdict("True", example(answer=True)).score == 1


def test_an_example_without_a_right_answer_is_missing_with_a_reason() -> None:
    assert verdict("Paris", example()).score is None
    assert "no right answer" in str(verdict("Paris", example()).missing_reason)
    assert "column 'x'" in str(verdict("Paris", PARIS, column="x").missing_reason)
