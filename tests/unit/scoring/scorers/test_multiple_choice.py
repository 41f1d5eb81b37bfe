"""Choices read out of free answers written by hand."""

import pytest

from chaintune.errors import DataError
from chaintune.records import Choices, Example, Reference
from chaintune.scoring.scorers import SCORERS, Verdict
from chaintune.scoring.scorers.multiple_choice import read_choice
from tests import synthetic

CHOICES = (" the boy", " the girl", " not enough information")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("B", 1),
        ("b", 1),
        ("(b)", 1),
        ("B.", 1),
        ("**B**", 1),
        ("**B.** the girl", 1),
        ("(B) the girl", 1),
        ("B) the boy is younger", 1),
        ("B: the girl", 1),
        ("B\nBecause the boy", 1),
        ("B - the girl", 1),
        ("The answer is B.", 1),
        ("The answer is (b).", None),
        ("The correct answer is: **C**", 2),
        ("Answer: A", 0),
        ("the answer is A because he ran", 0),
        ("Answer: A boy cannot be meant, it was the girl", 1),
        ("Option A is wrong. The answer is B.", 1),
        ("The answer is B. Option A is wrong.", 1),
        ("I choose option B here", 1),
        ("Option A or option B", None),
        ("The answer is A. No, the answer is B", 1),
        ("the girl", 1),
        ("It was the girl, I think.", 1),
        ("The boy and the girl", None),
        ("The answer is: the girl. The boy ran.", None),
        ("The boy ran. The answer is: the girl.", 1),
        ("There is not enough information to say.", 2),
        ("A boy", None),
        ("I do not know", None),
        ("", None),
        ("D", None),
    ],
)
def test_the_choice_of_an_answer(text: str, place: int | None) -> None:
    assert read_choice(text, CHOICES) == place


def test_a_choice_inside_another_is_not_meant() -> None:
    assert read_choice("It is New York City.", ["York", "New York", "New York City"]) == 2
    assert read_choice("yes", ["yes", "yes and no"]) == 0


def test_other_letters_name_the_choices() -> None:
    assert read_choice("2)", ["x1", "x2"], letters="1234") == 1
    assert read_choice("the answer is 1", ["x1", "x2"], letters="1234") == 0


EXAMPLE = Example("e", "prompt", Choices(CHOICES, 1), {}, "c")


def verdict(text: str, **settings: object) -> Verdict:
    return SCORERS.get("multiple_choice").verdicts(
        [EXAMPLE], [text], synthetic.settings_of("multiple_choice", settings, "t")
    )[0]


def test_the_choice_is_held_against_the_right_one() -> None:
    assert verdict("B.") == Verdict(1.0, "right", "the girl", answer="B")
    assert verdict("the boy") == Verdict(0.0, "wrong", "the boy", answer="A")
    assert verdict("the boy", read_texts=False) == Verdict(0.0, "no choice")
    assert verdict("hm") == Verdict(0.0, "no choice")
    assert verdict("\n") == Verdict(0.0, "empty")


def test_guessing_is_right_once_in_as_many_as_there_are_choices() -> None:
    scorer = SCORERS.get("multiple_choice")
    assert scorer.chance(EXAMPLE, synthetic.settings_of("multiple_choice", {}, "t")) == pytest.approx(1 / 3)


def test_examples_without_choices_are_refused() -> None:
    scorer = SCORERS.get("multiple_choice")
    pair = Choices(("x", "y"), 0, ("stereotype", "anti_stereotype"))
    for target in (Reference("x"), None, pair):
        with pytest.raises(DataError, match="has no choices of which one is right"):
            scorer.check(
                [Example("e", "p", target, {}, "c")], synthetic.settings_of("multiple_choice", {}, "t"), "mine"
            )
    with pytest.raises(DataError, match="has 3 choices, and 'letters' names 2"):
        scorer.check([EXAMPLE], synthetic.settings_of("multiple_choice", {"letters": "AB"}, "t"), "mine")
