"""Numbers read out of texts written by hand."""

import pytest

from chaintune.errors import DataError
from chaintune.records import Example, Reference
from chaintune.scoring.scorers import SCORERS, Verdict
from chaintune.scoring.scorers.number import read_number
from tests import synthetic


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("The answer is 42.", 42),
        ("She has 3 + 4 = 7 apples", 7),
        ("It costs $1,234.50.", 1234.5),
        ("about 12,345,678 people", 12345678),
        ("1, 2, 3", 3),
        ("1,2,3", 3),
        ("−5 degrees", -5),
        ("x=-4", -4),
        ("from 3-4", 4),
        ("- 4 apples", 4),
        ("-$5", -5),
        ("+7", 7),
        ("3/4", 0.75),
        ("1 1/2 cups", 1.5),
        ("1½", 1.5),
        ("½", 0.5),
        ("-\\frac{1}{2}", -0.5),
        ("$\\frac{3}{4}$", 0.75),
        ("5 %", 5),
        ("50%", 50),
        (".5", 0.5),
        ("0.25", 0.25),
        ("1e3", 1000),
        ("2.5 × 10^-3", 0.0025),
        ("3 \\times 10^{5}", 300000),
        ("10km", 10),
        ("the 5th", 5),
        ("50 m^2", 50),
        ("50 m²", 50),
        ("8 g of CO2", 8),
        ("1 234", 234),
        ("1\u202f234", 1234),
        ("1\\,234", 1234),
        ("10{,}000", 10000),
        ("答案是42。", 42),
        ("1/0 or 3", 3),
        ("on 12/05/2024", 2024),
        ("**18**", 18),
        ("10:30", 30),
        ("Rs.500", 500),
        ("so...5", 5),
        ("£2.", 2),
        ("4 * 5 = 20 #### 20 and 3 more", 20),
        ("#### 42\nNow 17 is", 42),
        ("#### 5\n#### 6", 6),
        ("####", None),
        ("so 12 ####", 12),
        ("\\boxed{42} in 3 steps", 42),
        ("\\boxed{x = 5}. Then 7", 5),
        ("\\boxed{\\frac{1}{3}} of 9", 1 / 3),
        ("twelve", None),
        ("", None),
        ("9" * 5000, None),
        ("1e999", None),
        ("it is 3 then " + "9" * 400, 3),
        ("１２", 12),
    ],
)
def test_the_number_of_a_text(text: str, value: float | None) -> None:
    found = read_number(text)
    assert (found and found[0]) == value


def test_decimals_behind_a_comma() -> None:
    assert read_number("1.234,5", decimal="comma") == (1234.5, "1.234,5")
    assert read_number("0,5", decimal="comma") == (0.5, "0,5")


def test_the_first_number_where_nothing_marks_one() -> None:
    assert read_number("7 of 10", first=True) == (7.0, "7")
    assert read_number("7 of 10 #### 8", first=True) == (8.0, "8")


def verdict(text: str, right: str, **settings: object) -> Verdict:
    example = Example("e", "prompt", Reference(right), {}, "c")
    return SCORERS.get("number").verdicts([example], [text], synthetic.settings_of("number", settings, "test"))[0]


def test_the_number_is_held_against_that_of_the_right_answer() -> None:
    right = "She sold 48/2 = <<48/2=24>>24 clips in May. #### 72"
    assert verdict("48 + 24 = 72 clips.", right) == Verdict(1.0, "right", "72", answer="72")
    assert verdict("48 + 24 = 71", right) == Verdict(0.0, "wrong", "71", answer="71")
    assert verdict("many", right) == Verdict(0.0, "no number")
    assert verdict("", right) == Verdict(0.0, "empty")


def test_tolerances_widen_what_is_right() -> None:
    assert verdict("3.14", "3.1416").score == 0
    assert verdict("3.14", "3.1416", tolerance=0.01).score == 1
    assert verdict("99", "100", relative_tolerance=0.01).score == 1
    assert verdict("98", "100", relative_tolerance=0.01).score == 0
    assert verdict("-99", "-100", relative_tolerance=0.01).score == 1


def test_equal_numbers_in_other_forms_are_right() -> None:
    assert verdict("1/4", "0.25").score == 1
    assert verdict("1,000", "1000.0").score == 1


def test_a_right_answer_without_a_number_is_refused() -> None:
    scorer, example = SCORERS.get("number"), Example("e", "prompt", Reference("twelve"), {}, "c")
    with pytest.raises(DataError, match="such as 'e', which has no number in its right answer, 'twelve'"):
        scorer.check([example], synthetic.settings_of("number", {}, "test"), "mine")
    assert verdict("12", "twelve").score is None
