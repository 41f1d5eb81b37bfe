"""Contains on texts written by hand."""

import pytest

from chaintune.errors import ConfigError
from chaintune.records import Example, Reference
from chaintune.scoring.scorers import SCORERS, Verdict
from tests import synthetic


def verdict(text: str, **settings: object) -> Verdict:
    example = Example("e", "prompt", Reference("Paris"), {}, "c")
    return SCORERS.get("contains").verdicts([example], [text], synthetic.settings_of("contains", settings, "test"))[0]


def test_the_right_answer_is_looked_for_where_nothing_is_given() -> None:
    assert verdict("I think it is Paris, France.") == Verdict(1.0, "right", "Paris")
    assert verdict("I think it is Rome.") == Verdict(0.0, "wrong")
    assert verdict("") == Verdict(0.0, "empty")


def test_one_of_any_and_each_of_all_are_needed() -> None:
    assert verdict("see a doctor", any=["doctor", "nurse"]).score == 1
    assert verdict("see a doctor", all=["doctor", "nurse"]).score == 0
    assert verdict("doctor and nurse", all=["doctor", "nurse"]) == Verdict(1.0, "right", "doctor · nurse")
    assert verdict("a doctor, now", any=["doctor", "nurse"], all=["now"]).score == 1
    assert verdict("now", any=["doctor", "nurse"], all=["now"]).score == 0


@pytest.mark.parametrize(
    ("words", "text", "there"),
    [
        ("he", "the end", False),
        ("he", "so HE said", True),
        ("don't know", "I don’t\nknow that", True),
        ("cat", "cats", False),
        ("C++", "in C++.", True),
        ("巴黎", "首都是巴黎的", True),
        ("a.c", "abc", False),
        ("naïve", "nai\u0308ve", True),
    ],
)
def test_words_are_found_whole(words: str, text: str, there: bool) -> None:
    assert verdict(text, any=words).score == there


def test_parts_of_words_and_case_count_where_it_is_said() -> None:
    assert verdict("cats", any="cat", whole_words=False).score == 1
    assert verdict("CAT", any="cat", ignore_case=False).score == 0


def test_blank_texts_are_refused() -> None:
    with pytest.raises(ConfigError, match="any"):
        verdict("x", any=[" "])
