"""Fields of files a column at a time: the same as row by row, and by Arrow as line by line."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.errors import ChaintuneError, DataError
from chaintune.files import columns
from chaintune.files.columns import _of_json_lines, columns_of, read_columns
from chaintune.files.reading import iter_rows
from chaintune.files.rows import Row
from chaintune.logs import lm_eval, tables
from chaintune.logs.fields import Fields
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from tests.unit.logs import logs

WANTED = ReadOptions(dimensions=("g", "d.g"))


def told(found: list[Log]) -> list[Any]:
    return [
        (
            log.scores.task,
            log.scores.table.to_pydict(),
            {kind: known for kind, array in log.digests.items() if any(known := array.to_pylist())},
            log.facts,
        )
        for log in found
    ]


def both_ways(reader: Any, path: Path, wanted: ReadOptions) -> tuple[Any, Any, bool]:
    """What a log gives by Arrow and line by line, errors too, and whether Arrow read it."""
    taken = []

    def watched(*args: Any) -> Any:
        taken.append(_of_json_lines(*args))
        return taken[-1]

    found: list[Any] = []
    for way in (watched, lambda *_: None):
        with mock.patch.object(columns, "_of_json_lines", way):
            try:
                found.append(told(reader.read(path, wanted)))
            except ChaintuneError as error:
                found.append(str(error))
    return found[0], found[1], bool(taken and taken[0])


NAMES = st.sampled_from(["a", "b", "x y", "é", '"', "1", "", "\u2028", "\x00"])
ODD = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1e3, float("nan"), 10**30]) | NAMES
GROUPS = NAMES | st.lists(NAMES | st.none(), max_size=3) | st.integers(0, 2) | st.booleans() | st.none() | ODD


@st.composite
def sides(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows that are alike in most ways, so that many of the files are regular."""
    n = draw(st.integers(1, 6))
    numbered = draw(st.booleans())
    nested, task = draw(st.booleans()), draw(st.sampled_from([None, "t", "two"]))
    scores = draw(st.sampled_from([st.integers(0, 1), st.sampled_from([0, 0.25, 1]), st.booleans()]))
    kind = draw(st.sampled_from([NAMES, st.lists(NAMES, max_size=3), st.integers(0, 2), st.booleans(), GROUPS]))
    rows = []
    for number in range(n):
        row: dict[str, Any] = {"id": number if numbered else f"e{number}", "score": draw(scores), "g": draw(kind)}
        row |= {"d": {"g": draw(kind), "other": number}} if nested else {"d.g": draw(kind)}
        if task:
            row["task"] = task if task == "t" else f"t{number % 2}"
        rows.append(row)
    # And then something is wrong with one of them, half of the time.
    if draw(st.booleans()):
        row = draw(st.sampled_from(rows))
        field = draw(st.sampled_from(["id", "score", "g", "d", "task", "cluster", "d.g"]))
        change = draw(st.one_of(ODD, GROUPS, st.just("drop"), st.just({"g": 1})))
        row.pop(field, None)
        if change != "drop":
            row[field] = change
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("regular")  # type: ignore[return-value]


@settings(max_examples=120, deadline=None)
@given(rows=sides(), ascii_only=st.booleans(), end=st.sampled_from(["\n", "", "\n\n", "\r\n"]))
def test_json_lines_give_the_same_either_way(folder: Path, rows: list[Any], ascii_only: bool, end: str) -> None:
    path = folder / "f.jsonl"
    text = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows) + end
    path.write_bytes(text.encode())
    quick, slow, _ = both_ways(tables, path, WANTED)
    assert quick == slow


def assert_as_by_rows(path: Path, fields: list[str]) -> None:
    by_rows = columns_of(iter_rows(path), fields)
    found = read_columns(path, fields, Row("", {}))
    # An empty field of CSV is a text without letters here, and no value in a row.
    values = {field: [value if value != "" else None for value in column] for field, column in found.values.items()}
    assert repr(values) == repr({field: list(column) for field, column in by_rows.values.items()})
    count = len(by_rows.values[fields[0]])
    assert [found.place(row) for row in range(count)] == [by_rows.place(row) for row in range(count)]


@settings(max_examples=60, deadline=None)
@given(rows=sides())
def test_columns_of_csv_are_those_of_its_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    path = folder / "f.csv"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())
    assert_as_by_rows(path, ["id", "score", "g", "none", "d.g"])


@settings(max_examples=60, deadline=None)
@given(rows=sides(), kind=st.sampled_from([None, pa.large_string(), pa.dictionary(pa.int32(), pa.string())]))
def test_columns_of_parquet_are_those_of_its_rows(folder: Path, rows: list[dict[str, Any]], kind: Any) -> None:
    path = folder / "f.parquet"
    try:
        table = pa.Table.from_pylist(rows)
        if kind is not None and "id" in table.column_names:
            place = table.column_names.index("id")
            table = table.set_column(place, "id", table.column("id").cast(pa.string()).cast(kind))
    except (pa.ArrowException, OverflowError):
        return
    pq.write_table(table, path)
    fields = ["id", "score", "g", "none", "d.g"]
    by_rows, found = columns_of(iter_rows(path), fields), read_columns(path, fields, Row("", {}))
    assert repr({field: list(column) for field, column in found.values.items()}) == repr(by_rows.values)
    assert [found.place(row) for row in range(len(rows))] == [by_rows.place(row) for row in range(len(rows))]


def test_a_column_of_parquet_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table([[1], [2], [3]], names=["id", "x", "id"]), path)
    with pytest.raises(DataError, match=r"f\.parquet: column 'id' appears twice"):
        read_columns(path, ["id"], Row("", {}))
    with pytest.raises(DataError, match=r"f\.parquet, row 1: column 'id' appears twice"):
        columns_of(iter_rows(path), ["id"])
    assert read_columns(path, ["x"], Row("", {})).values == {"x": [2]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,score\n1,1\n2\n", "f.csv, line 3: 1 fields, the header names 2"),
        ("id,score\n1,1,1\n", "f.csv, line 2: 3 fields, the header names 2"),
        ("id,id\n1,1\n", "f.csv, line 1: column 'id' appears twice"),
    ],
)
def test_lines_of_csv_that_do_not_fit_the_header_are_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_columns(path, ["id"], Row("", {}))


def test_columns_that_nobody_asks_for_may_share_a_name(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("id,,\n1,2,3\n")
    assert read_columns(path, ["id"], Row("", {})).values == {"id": ("1",)}


CHANGES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "doc_id": ODD,
        "acc": ODD | st.just(0.5),
        "filter": st.sampled_from(["none", "other", None, 1]),
        "prompt_hash": ODD,
        "doc": st.none() | st.just({}) | st.just({"category": ["a", "b"]}) | st.just({"category": None}) | NAMES,
        "doc.category": NAMES,
        "metrics": st.just([]),
    },
)


@settings(max_examples=80, deadline=None)
@given(change=CHANGES, at=st.integers(0, 7), twice=st.booleans(), asked=st.sampled_from([None, "none", "other"]))
def test_samples_of_lm_eval_give_the_same_either_way(
    folder: Path, change: dict[str, Any], at: int, twice: bool, asked: str | None
) -> None:
    rows = [logs.sample(number, number % 2) for number in range(8)]
    rows[at] |= change
    if twice:
        rows += [row | {"filter": "other"} for row in rows]
    path = folder / "samples_x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    quick, slow, _ = both_ways(lm_eval, path, ReadOptions(dimensions=("doc.category",), filter=asked))
    assert quick == slow


@pytest.mark.parametrize("name", ["f.jsonl", "f.ndjson", "samples_x.jsonl"])
def test_regular_lines_are_read_by_arrow(tmp_path: Path, name: str) -> None:
    """The tests above would say nothing if every file were read line by line."""
    path = tmp_path / name
    samples = name == "samples_x.jsonl"
    rows = [
        logs.sample(number, number % 2) if samples else {"id": f"e{number}", "score": number % 2, "g": "ab"[number % 2]}
        for number in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ReadOptions(dimensions=("doc.category" if samples else "g",))
    quick, slow, taken = both_ways(lm_eval if samples else tables, path, options)
    assert quick == slow
    assert taken


@pytest.mark.parametrize(
    "text",
    [
        '{"id": 1, "score": 1}{"id": 2, "score": 0}\n\n',
        '{"id": 1, "score": 1, "id": 2}\n',
        '{"id": 1,\n"score": 1}\n',
        '{"id": 1, "score": 1}\n[1]\n',
        '{"id": 1, "score": 1} x}\n',
        '{"id": 1, "score": 1}\r{"id": 2, "score": 1}\n',
        '{"id": 1, "score": 1, "d": {"g": "a"}, "d.g": null}\n',
        '\ufeff{"id": 1, "score": 1}\n',
    ],
)
def test_what_arrow_and_python_take_differently_is_the_same_either_way(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(text.encode())
    quick, slow, _ = both_ways(tables, path, ReadOptions(dimensions=("d.g",)))
    assert quick == slow


def test_bytes_that_are_no_text_are_refused_though_nobody_asked_for_them(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"id": 1, "score": 1, "x": "\xff"}\n')
    quick, slow, taken = both_ways(tables, path, ReadOptions())
    assert quick == slow
    assert "not UTF-8" in quick
    assert not taken


def test_a_line_longer_than_a_block_is_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps({"id": 1, "score": 1, "x": "y" * 10_000_000}) + '\n{"id": 2, "score": 0}\n')
    quick, slow, _ = both_ways(tables, path, ReadOptions())
    assert quick == slow
    assert quick[0][1]["example_id"] == ["1", "2"]


def test_fields_name_everything_that_is_read() -> None:
    fields = Fields("a", "b", "c", {"x": "d.e"}, {"prompt": "f"})
    assert fields.paths == ["a", "b", "c", "d.e", "f"]
