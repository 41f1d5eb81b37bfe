"""The errors of many rows in one message: each kind once, and only so many kinds."""

import pytest

from chaintune.errors import DataError
from chaintune.files.rows import grouped, kind, raise_problems

VALUES = ["plain", "it's", 'say "so"', "a, b", "x" * 100, "", 7, -1.5, ["a", "b'c"], {"a": 1}]


def test_rows_that_differ_in_their_data_alone_are_one_sentence() -> None:
    problems = [f"f.csv, line {k}: gold must be one of ('a{k}', 'b'), got str 'c{k}'; say 'x'" for k in range(2, 14)]
    places = "line 3, line 4, line 5 and 8 more"
    assert grouped(problems) == [(f"{problems[0]}; the same in {places}", 12)]
    assert grouped(problems[:3]) == [(problem, 1) for problem in problems[:3]]  # few are told in full
    assert grouped([problems[0].replace("line 2", f"line {k}") for k in range(2, 14)])[0][1] == 12


@pytest.mark.parametrize("value", VALUES)
def test_any_value_may_differ(value: object) -> None:
    values = [value, "a", "b", "c", "d"] if isinstance(value, str) else [value, *(type(value)() for _ in range(4))]
    sentences = grouped(f"f.csv, line {k}: score is {kind(got)}, expected more" for k, got in enumerate(values))
    assert sum(count for _, count in sentences) == 5
    assert len(sentences) <= 2


def test_columns_and_files_are_kinds_of_their_own() -> None:
    problems = [f"{file}, row {k}: field '{name}' is blank" for k in range(9) for file in "fg" for name in "abcd"]
    assert [count for _, count in grouped(problems)] == [9] * 8


def test_kinds_are_told_up_to_ten() -> None:
    problems = [f"f.csv, line {k}: {'very ' * k}bad" for k in range(12)]
    with pytest.raises(DataError) as caught:
        raise_problems([*problems, *problems[-1:]])
    lines = str(caught.value).splitlines()
    assert lines[0] == "13 problems in the data:"
    assert lines[1:11] == [f"  {problem}" for problem in problems[:10]]
    assert lines[11:] == ["  and 3 more"]
