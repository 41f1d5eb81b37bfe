"""Readers of JSONL, CSV and Parquet: rows in order, and one clear sentence for what cannot be read."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chaintune.errors import DataError
from chaintune.files.reading import files_digest, iter_rows, read_rows


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_the_three_formats_give_the_same_rows(tmp_path: Path) -> None:
    jsonl = written(tmp_path / "a.jsonl", '{"a": "x", "b": "y, z"}\n\n{"a": "ü\\u2028", "b": "v"}')
    table = written(tmp_path / "a.csv", 'a,b\r\nx,"y, z"\r\nü\u2028,v\r\n')
    pq.write_table(pa.table({"a": ["x", "ü\u2028"], "b": ["y, z", "v"]}), tmp_path / "a.parquet")
    expected = [{"a": "x", "b": "y, z"}, {"a": "ü\u2028", "b": "v"}]
    for path in (jsonl, table, tmp_path / "a.parquet"):
        assert [dict(row.values) for row in read_rows(path)] == expected
    assert [row.where for row in read_rows(jsonl)] == [f"{jsonl}, line 1", f"{jsonl}, line 3"]


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "json", "csv", "parquet"])
def test_a_pointer_of_git_lfs_is_named_for_what_it_is(suffix: str, tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12\n"
    with pytest.raises(
        DataError, match=rf"a\.{suffix}: this is a pointer of Git LFS, not the file; run 'git lfs pull'"
    ):
        read_rows(written(tmp_path / f"a.{suffix}", pointer))


def test_json_may_hold_its_objects_in_a_list_in_named_parts_or_in_lines(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.json", '[{"a": 1}, {"a": 2}]')
    parts = written(tmp_path / "b.json", '{"version": "1", "data": {"x": [{"a": 1}],\n "y": [{"a": 2}]}}')
    lines = written(tmp_path / "c.json", '{"a": 1}\n{"a": 2}\n')
    for path in (whole, parts, lines):
        assert [dict(row.values) for row in read_rows(path)] == [{"a": 1}, {"a": 2}]
    assert read_rows(parts)[1].where == f"{parts}, data y item 1"


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    for name, text in (("a.csv", "\ufeffa\nx\n"), ("a.jsonl", '\ufeff{"a": "x"}\n')):
        assert dict(read_rows(written(tmp_path / name, text))[0].values) == {"a": "x"}


def test_a_field_of_a_csv_file_may_hold_lines(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "a.csv", 'a,b\n"one\ntwo",x\nthree,\n'))
    assert [dict(row.values) for row in rows] == [{"a": "one\ntwo", "b": "x"}, {"a": "three", "b": None}]
    assert rows[1].where.endswith("line 4")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", "x", r"suffix '.txt' is not known; .*valid: .*\.jsonl"),
        ("a.jsonl", "", "the file holds no rows"),
        ("a.csv", "a,b\n", "the file holds no rows"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', r"a\.jsonl, line 2: not JSON \(Expecting value at column 7\)"),
        ("a.jsonl", "[1]\n", r"line 1: expected a JSON object, got list \[1\]"),
        ("a.jsonl", '{"a": 1\n', r"line 1: not JSON"),
        ("a.jsonl", '{"a": "é"}\n'.encode("latin-1"), r"line 1: not UTF-8 \(byte 0xe9 at 7\); save the file as UTF-8"),
        ("a.jsonl", '{"a": 1}\n'.encode("utf-16"), "line 1: not UTF-8"),
        ("a.csv", "a\nü\n".encode("latin-1"), "line 2: not UTF-8"),
        ("a.csv", "a,b\n1,2,3\n", r"line 2: 3 fields, the header names 2; quote fields that hold a separator"),
        ("a.csv", "a,b\n1\n", "line 2: 1 fields, the header names 2"),
        ("a.tsv", "a,b\n1,2\n", "line 1: commas lie between the fields, expected tabs"),
        ("a.csv", 'a,b\n"1"x,2\n', "line 2: not readable as CSV"),
        ("a.csv", 'a,b\n"1,2\n', "line 2: not readable as CSV"),
        ("a.json", '{"a": 1', r"line 1: not JSON \(Expecting ',' delimiter at column 8\)"),
        ("a.json", '{"a": 1}', "expected a list of JSON objects, got dict"),
        ("a.json", '{"a": ["x"]}', r"expected a list of JSON objects, got a mapping of names \('a', ...\) to rows or"),
        ("a.json", "[NaN]", "item 1: expected a JSON object, got float nan"),
        ("a.parquet", "PAR1", "not a readable Parquet file"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, name: str, data: str | bytes, message: str) -> None:
    path = written(tmp_path / name, data)
    with pytest.raises(DataError, match=message) as caught:
        read_rows(path)
    assert str(path) in str(caught.value)


def test_fields_that_lie_very_deep_are_not_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"a": ' * 900 + "1" + "}" * 900 + "\n")
    assert len(list(next(iter_rows(path)).columns())) == 21


def test_rows_come_before_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    rows = iter_rows(written(tmp_path / "a.ndjson", '{"a": NaN}\nno\n{"a": 2}\n'))
    assert [next(rows).where[-6:], next(rows).where[-6:]] == ["line 1", "line 3"]
    with pytest.raises(DataError, match="line 2: not JSON"):
        next(rows)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        read_rows(tmp_path / "none.jsonl")


def test_bad_lines_are_told_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", "".join(" " * k + "no\n" for k in range(12)))
    with pytest.raises(DataError) as caught:
        read_rows(path)
    what = "not JSON (Expecting value at column 1); the same in line 2, line 3, line 4 and 8 more"
    assert str(caught.value) == f"{path}, line 1: {what}"


def test_the_digest_of_files_heeds_content_and_name_but_not_order(tmp_path: Path) -> None:
    one, two = written(tmp_path / "1", "x"), written(tmp_path / "2", "y")
    assert files_digest([one, two]) == files_digest([two, one])
    before = files_digest([one, two])
    written(two, "z")
    assert files_digest([one, two]) != before
