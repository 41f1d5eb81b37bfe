"""Regex on texts written by hand."""

import pytest

from chaintune.errors import ConfigError, DataError
from chaintune.records import Example, Reference
from chaintune.scoring.scorers import SCORERS, Verdict
from tests import synthetic

EXAMPLE = Example("e", "prompt", Reference("blue"), {}, "c")


def verdict(text: str, **settings: object) -> Verdict:
    return SCORERS.get("regex").verdicts([EXAMPLE], [text], synthetic.settings_of("regex", settings, "test"))[0]


def test_a_match_is_enough_where_nothing_is_expected() -> None:
    assert verdict("call 911 now", pattern=r"\d{3}") == Verdict(1.0, "right", "911", answer="911")
    assert verdict("call them", pattern=r"\d{3}") == Verdict(0.0, "no match")
    assert verdict("  ", pattern=r"\d{3}") == Verdict(0.0, "empty")


def test_a_group_is_compared_with_what_is_expected() -> None:
    said = {"pattern": r"colou?r: (?P<hue>\w+)", "expected": "blue"}
    assert verdict("color: blue", **said) == Verdict(1.0, "right", "color: blue", answer="blue")
    assert verdict("color: red", **said) == Verdict(0.0, "wrong", "color: red", answer="red")
    assert verdict("color: red, color: blue", **said).score == 0
    assert verdict("color: red, color: blue", **said, match="last").score == 1
    assert verdict("color: Blue", **said).score == 0
    assert verdict("Color: Blue", **said, ignore_case=True).score == 1
    assert verdict("color: blue", **said, group="hue").score == 1
    assert verdict("color: blue", **said, group=0).score == 0


def test_a_group_is_compared_with_the_right_answer() -> None:
    assert verdict("It is blue", pattern=r"is (\w+)", reference=True).score == 1
    assert verdict("It is red", pattern=r"is (\w+)", reference=True).score == 0


def test_a_group_that_took_no_part_is_empty() -> None:
    assert verdict("a", pattern="a(b)?", expected="b") == Verdict(0.0, "wrong", "a", answer="")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pattern": "("}, "no regular expression of Python's: missing"),
        ({"pattern": ""}, "pattern"),
        ({}, "pattern: missing; it is needed"),
        ({"pattern": "a", "group": 1}, "no group 1; it has 0"),
        ({"pattern": "(?P<x>a)", "group": "y"}, "no group 'y'; it has 0, 1, x"),
        ({"pattern": "a", "expected": "a", "reference": True}, "compared with one of them"),
        ({"patern": "a"}, "did you mean 'pattern'"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        verdict("x", **settings)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_examples_without_a_right_answer_are_refused_where_it_is_needed() -> None:
    scorer, bare = SCORERS.get("regex"), Example("e", "prompt", None, {}, "c")
    scorer.check([bare], synthetic.settings_of("regex", {"pattern": "a"}, "test"), "mine")
    with pytest.raises(DataError, match="task 'mine': scorer 'regex' cannot judge 1 of 1 example, such as 'e'"):
        scorer.check([bare], synthetic.settings_of("regex", {"pattern": "a", "reference": True}, "test"), "mine")
