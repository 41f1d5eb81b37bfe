"""Numbers and estimates as text in their unit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune.records import Estimate
from chaintune.records.amounts import margin_in
from chaintune.records.scales import PERCENT, Scale, changes_in, levels_in, units_in_words

UNDEFINED = Estimate.undefined("too few examples: 0, at least 1 is needed")
POINTS, CHARACTERS = changes_in("share"), changes_in("characters")


def test_changes_of_shares_are_points_and_of_others_what_they_are() -> None:
    assert POINTS.text(Estimate(0.05, 0.01, 0.09)) == "+5.0 points (+1.0 to +9.0)"
    assert POINTS.text(Estimate(0.05, reason="one cluster")) == "+5.0 points (one cluster)"
    assert POINTS.short(Estimate(0.05, 0.01, 0.09), named=True) == "+5.0 (+1.0 to +9.0)"
    assert changes_in("") == POINTS
    grown = Estimate(12.345, -3.0, 27.7)
    assert CHARACTERS.text(grown, level=0.9) == "+12.3 characters (90 % CI -3.0 to +27.7)"
    assert CHARACTERS.text(grown, sign=False) == "12.3 characters (-3.0 to +27.7)"
    assert CHARACTERS.short(grown) == "+12.3 (-3.0 to +27.7)"
    assert CHARACTERS.short(grown, named=True) == "+12.3 characters (-3.0 to +27.7)"


def test_shares_of_something_else_are_percent() -> None:
    assert PERCENT.text(Estimate(0.64, 0.48, 0.82)) == "64 % (48 to 82 %)"
    assert PERCENT.short(Estimate(0.64, 0.48, 0.82)) == "64% (48% to 82%)"


def test_levels_have_no_sign() -> None:
    assert levels_in("share").short(Estimate(0.875, 0.8, 0.9)) == "87.5% (80.0% to 90.0%)"
    assert levels_in("share").number(0.875, named=True) == "87.5%"
    assert levels_in("share").rounder.number(0.875) == "88%"
    assert levels_in("nats").number(-0.03456, named=True) == "-0.0346 nats"
    assert levels_in("nats").short(Estimate(1234.5, 1000, 1500)) == "1,234 (1,000 to 1,500)"


def test_what_is_undefined_has_its_reason_in_sentences_and_the_word_in_cells() -> None:
    for scale in (POINTS, CHARACTERS, PERCENT):
        assert scale.text(UNDEFINED).startswith("undefined: too few")
        assert scale.short(UNDEFINED, named=True) == "undefined"
        assert scale.number(math.nan, named=True) == "undefined"
        assert scale.short(Estimate(0.5)).endswith("(no interval)")


@pytest.mark.parametrize(
    ("scale", "value", "size", "exact"),
    [
        (POINTS, 0.125, "12 points", "12.5 points"),
        (CHARACTERS, 0.125, "0.125 characters", "0.125 characters"),
        (CHARACTERS, 40.0, "40.0 characters", "40 characters"),
        (Scale(""), 0.5, "0.500", "0.5"),
    ],
)
def test_sizes_and_chosen_numbers(scale: Scale, value: float, size: str, exact: str) -> None:
    assert scale.size(value, decimals=0) == size
    assert scale.exact(value) == exact
    assert scale.title("forgetting").startswith("forgetting")


def test_a_margin_of_shares_is_none_in_another_unit() -> None:
    assert margin_in("share", 0.02) == 0.02
    assert math.isnan(margin_in("characters", 0.02))


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ([], "percentage points"),
        (["share", "", "share"], "percentage points"),
        (["nats", "nats"], "nats"),
        (["nats", "share"], "percentage points where no other unit is named"),
        (["nats", "characters"], "the unit named"),
    ],
)
def test_a_note_names_the_units_of_a_table(units: list[str], words: str) -> None:
    assert units_in_words(units) == words


@given(st.floats(-1e9, 1e9), st.sampled_from(["share", "characters"]))
def test_a_number_is_as_precise_as_three_digits_and_never_minus_nothing(value: float, unit: str) -> None:
    text = changes_in(unit).number(value)
    assert "e" not in text
    read = float(text.replace(",", "")) / changes_in(unit).factor
    assert read == pytest.approx(value, rel=0.01, abs=0.0006 if unit == "share" else 1e-6)
    assert float(text.replace(",", "")) or text.startswith("+0")
