"""What is printed of results: few tables, the names of the others, each sentence once, in lines that fit."""

import re

import pytest

from chaintune.report.cells import Table
from chaintune.report.layout import table_lines, text_lines
from chaintune.report.printed import chosen, printout
from chaintune.report.results import Results
from chaintune.report.words import paragraphs
from tests.variant_studies import FULL, LORA, NAMED, results

LONG = "a_name_of_exactly_forty_characters_long!"
CHAIN = f"{LONG}>another_name_of_forty_characters_and_more"
INTERVAL = "-100.0 (-100.0 to +100.0)"
TABLE = Table(
    "Groups",
    "",
    ("chain", "group", "n", *(f"column {number}" for number in range(5)), "verdict"),
    tuple((CHAIN, f"{LONG} {group}", "1,000", *[INTERVAL] * 5, "inconclusive") for group in range(20)),
)


@pytest.fixture(scope="module")
def study() -> Results:
    return results(FULL, LORA, NAMED)


@pytest.mark.parametrize("width", [80, 118, 140, 300])
def test_lines_fit_and_no_number_is_broken_and_no_name_is_cut(width: int) -> None:
    lines = list(table_lines(TABLE, width))
    assert max(map(len, lines)) <= width
    text = " ".join(lines)
    assert text.count("(-100.0 to +100.0)") == 100
    assert len(re.findall(r"\b1,000\b", text)) == 20
    assert text.count("inconclusive") == 20
    whole = text.replace(" ", "")
    for part in ("exactly_forty", "characters_", "another_name_"):
        assert whole.count(part) >= 20


def test_columns_without_room_follow_below_with_what_tells_their_rows_apart() -> None:
    rows = tuple((chain, variant, *[INTERVAL] * 4) for chain in ("a>b", "b>a") for variant in ("full", "lora"))
    lines = list(table_lines(Table("t", "", ("chain", "variant", *"abcd"), rows), 60))
    blocks = "\n".join(lines).split("\n\n")
    assert len(blocks) > 1
    for block in blocks:
        assert [line.split()[:2] for line in block.split("\n") if ">" in line] == [list(row[:2]) for row in rows]


def test_names_that_fill_the_line_stand_once_and_the_columns_below_go_on_by_number() -> None:
    # No two rows of a part are alike, however narrow it is.
    first, *others = ("\n".join(table_lines(TABLE, 80))).split("\n\n")
    assert others
    assert first.count("another_name_of_forty_") == len(TABLE.rows)
    assert "another_name" not in "".join(others)
    numbers = [str(number) for number in range(1, 21)]
    for part in (first, *others):
        starts = [line.split()[0] for line in part.split("\n") if line[1:2] not in " ─"]
        assert starts == ["row", *numbers]


def test_paragraphs_fit_and_break_no_interval_and_no_number_from_its_unit() -> None:
    text = f"After {CHAIN} it lost 17.4 points (95 % CI -30.2 to -4.6), as 51 % of {LONG} (full lr=1e-4) say. " * 3
    for width in range(50, 90):
        lines = text_lines(text, width)
        assert max(map(len, lines)) <= width
        for whole in ("17.4 points", "(95 % CI -30.2 to -4.6)", "51 %", "(full lr=1e-4)"):
            assert sum(line.count(whole) for line in lines) == 3, (width, whole)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_points_stand_below_their_paragraph_and_are_indented() -> None:
    text = "It forgot.\n- By kind: nothing is shown.\n- By owner: Ann lost more than the whole."
    assert text_lines(text, 20) == [
        "It forgot.",
        "- By kind: nothing",
        "  is shown.",
        "- By owner: Ann lost",
        "  more than the",
        "  whole.",
    ]
    assert "\n".join(text_lines(text, 80)) == text


def test_groups_of_a_dimension_are_a_point_of_the_paragraph_of_their_task(study: Results) -> None:
    lost = [one for one in paragraphs(study) if one.topic == "forgotten"]
    assert all(sum("kind" in point for point in one.points) == 1 for one in lost)
    assert all("kind" not in one.head for one in lost)
    assert all(one.text == " ".join([one.head, *one.points]) for one in lost)
    printed = printout(study, "all").texts
    assert [text.count("\n- ") for text in printed[: len(lost)]] == [len(one.points) for one in lost]


def test_few_tables_are_printed_and_the_others_are_named(study: Results) -> None:
    few, every = printout(study), printout(study, "all")
    assert [table.title.partition(":")[0] for table in few.tables] == [
        "Variants",
        "Accuracy",
        "Learned, then forgotten",
        "Final score in both orders",
        "Variants against the first",
        "Who forgot s",
    ]
    assert few.others == ["How tasks were answered", "Who forgot s by kind", "Who forgot c by kind", "Further results"]
    line = "Also in report.html, and with --tables all: How tasks were answered; Who forgot s by kind; "
    assert few.others_line("report.html").startswith(line)
    assert len(every.tables) > len(few.tables)
    assert not every.others_line()
    none = printout(study, "none")
    assert (none.tables, none.others, none.closing) == ((), (), few.closing)


def test_each_sentence_is_printed_once() -> None:
    of_one = printout(results(FULL))
    assert [text.partition(":")[0] for text in of_one.closing] == ["Order", "Groups"]
    sentences = [text for one in (*of_one.texts, *of_one.closing) for text in re.split(r"(?<=\.) (?=[A-Z])", one)]
    sentences = [text.removeprefix("Order: ").removeprefix("Groups: ") for text in sentences]
    of_other_task = "No difference is shown for the 4 groups of kind: with 20 examples"
    assert len([text for text in sentences if not text.startswith(of_other_task)]) == len(
        {text for text in sentences if not text.startswith(of_other_task)}
    )
    assert not any("c>s than with s>c" in text for text in of_one.texts)


def test_a_long_table_ends_where_a_screen_does() -> None:
    table = Table("t", "A note.", ("a",), tuple((str(row),) for row in range(100)), first=True)
    (shown,) = chosen([table], "few").tables
    assert (len(shown.rows), shown.note) == (24, "A note. 76 more lines are left out here.")
    assert chosen([table], "all").tables == [table]
