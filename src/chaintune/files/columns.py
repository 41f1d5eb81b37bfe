"""Some fields of every row of a file, a column at a time, with the places of the rows.

JSON lines are read by Arrow, many times faster than one by one, where they are regular: a row a line, and what is asked
for of one type throughout and in no way doubtful. Other lines are read one by one, with the same result.
"""

import codecs
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.files.reading import (
    READERS,
    csv_lines,
    fields_do_not_fit,
    iter_rows,
    plain_values,
    read_bytes,
    readable,
    suffix_of,
)
from chaintune.files.rows import Row, raise_problems

_MOST_BYTES = 2**30
_BLOCK_BYTES = 2**23
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Columns:
    """Some fields of every row.

    Attributes:
        values: path of a field -> its value in each row; None where a row has none.
        place: number of a row, from 0 -> where it stands, the beginning of every error sentence.
        untyped: every value is text, numbers and lists too, as in CSV.
    """

    values: Mapping[str, Sequence[Any]]
    place: Callable[[int], str]
    untyped: bool = False

    def rows(self, numbers: Sequence[int]) -> "Columns":
        """Some of the rows."""
        chosen = {path: [column[number] for number in numbers] for path, column in self.values.items()}
        return Columns(chosen, lambda number: self.place(numbers[number]), self.untyped)


def read_columns(path: Path, fields: Sequence[str], first: Row, *, number: str = "") -> Columns:
    """Fields of every row of a file.

    Args:
        path: its suffix says how to read it.
        fields: a column, or `column.field` for a named field inside a column.
        first: the file's first row.
        number: the field whose whole numbers may be read as fractions.

    Raises:
        DataError: the file, or a row of it, cannot be read.
    """
    fields = list(dict.fromkeys(fields))
    reader = READERS.get(suffix_of(path))
    with readable(path):
        if reader is READERS[".csv"]:
            return _of_csv(path, fields)
        if reader is READERS[".parquet"]:
            return _of_parquet(path, fields)
        regular = _of_json_lines(path, fields, first, number) if reader is READERS[".jsonl"] else None
    return regular or columns_of(iter_rows(path), fields)


def columns_of(rows: Iterable[Row], fields: Sequence[str]) -> Columns:
    """Fields of rows.

    Raises:
        DataError: the rows come from several lists of one file, or a field appears twice.
    """
    values: dict[str, list[Any]] = {field: [] for field in fields}
    places: list[str] = []
    parts: dict[str, None] = {}
    for row in rows:
        places.append(row.where)
        parts[row.part] = None
        for field, column in values.items():
            column.append(row.get(field))
    if len(parts) > 1:
        listed = ", ".join(f"'{part}'" for part in list(parts)[:_SHOWN])
        raise DataError(
            f"{places[0]}: the first of {len(parts)} lists in one file ({listed}), which may be splits, tasks or parts "
            "of one table; write a file for each, or one list"
        )
    return Columns(values, places.__getitem__)


def _of_csv(path: Path, fields: Sequence[str]) -> Columns:
    names, lines = csv_lines(path)
    rows = list(lines)

    @cache
    def numbers() -> list[int]:
        # Read again, which only happens where something is wrong.
        _, again = csv_lines(path)
        return [again.line for _ in again]

    def place(row: int) -> str:
        return f"{path}, line {numbers()[row]}"

    problems = _repeated_names(f"{path}, line 1", names, fields)
    if set(map(len, rows)) - {len(names)}:
        problems += [
            f"{place(row)}: {fields_do_not_fit(values, names)}"
            for row, values in enumerate(rows)
            if len(values) != len(names)
        ]
    raise_problems(problems)
    columns = dict(zip(names, zip(*rows, strict=True), strict=False))
    empty = [None] * len(rows)
    return Columns({field: columns.get(field, empty) for field in fields}, place, untyped=True)


def _repeated_names(where: object, names: Sequence[str], fields: Iterable[str]) -> list[str]:
    """A sentence for each field that more than one column of a table is named."""
    return [
        f"{where}: column '{name}' appears twice; rename one, or remove it"
        for name in dict.fromkeys(fields)
        if names.count(name) > 1
    ]


def _of_parquet(path: Path, fields: Sequence[str]) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            roots = {field: field if field in names else field.partition(".")[0] for field in fields}
            raise_problems(_repeated_names(path, names, roots.values()))
            table = file.read([name for name in dict.fromkeys(roots.values()) if name in names])
            length = file.metadata.num_rows
        columns = {name: plain_values(table.column(name)) for name in table.column_names}
    except DataError:
        raise
    # Dates out of range, and maps that name a key twice, are errors of Python's own.
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error
    values: dict[str, Sequence[Any]] = {}
    for field, root in roots.items():
        column = columns.get(root, [None] * length)
        values[field] = column if field == root else [Row("", {root: value}).get(field) for value in column]
    return Columns(values, lambda number: f"{path}, row {number + 1}")


def _of_json_lines(path: Path, fields: Sequence[str], first: Row, number: str) -> Columns | None:
    """The fields of a regular file; None for any other."""
    import pyarrow as pa
    import pyarrow.json as pj

    schema = _schema(first.values, fields, number)
    if schema is None or path.stat().st_size > _MOST_BYTES:
        return None
    data = read_bytes(path).removeprefix(codecs.BOM_UTF8)
    lines = _lines(data)
    if not lines or any(_may_be_a_name(field, data) for field in fields):
        return None
    try:
        table = pj.read_json(
            pa.BufferReader(data),
            read_options=pj.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowException:
        return None
    # Arrow takes several objects on one line for several rows.
    if table.num_rows != lines:
        return None
    values = {field: _deep(table, field) for field in fields}
    return Columns(values, lambda row: f"{path}, line {row + 1}")


def _may_be_a_name(field: str, data: bytes) -> bool:
    """Whether a dotted path could be the whole name of a field somewhere, which would come before what lies deeper."""
    plain = field.isascii() and not any(sign in field for sign in '"\\')
    return "." in field and (not plain or f'"{field}"'.encode() in data)


def _lines(data: bytes) -> int:
    """The number of lines if each begins and ends with a brace and all is UTF-8; else 0."""
    inner = data.count(b"\n") - data.endswith(b"\n")
    if not data.startswith(b"{") or not data.endswith((b"}", b"}\n")) or b"\r" in data:
        return 0
    if data.count(b"}\n{") != inner:
        return 0
    if not data.isascii():
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for start in range(0, len(data), _BLOCK_BYTES):
                decoder.decode(data[start : start + _BLOCK_BYTES])
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return 0
    return inner + 1


def _schema(first: Mapping[str, Any], fields: Sequence[str], number: str) -> Any:
    """Types that the first row promises; None where it promises nothing that can be read a column at a time."""
    import pyarrow as pa

    tree: dict[str, Any] = {}
    for field in fields:
        here: Any = first
        branch = tree
        *parents, leaf = field.split(".")
        for part in parents:
            here = here.get(part) if isinstance(here, Mapping) else None
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                return None
        value = here.get(leaf) if isinstance(here, Mapping) else None
        kind = pa.float64() if field == number and type(value) in (int, float) else _type(value)
        if kind is None or leaf in branch:
            return None
        branch[leaf] = kind
    return pa.schema(_nested(tree))


def _nested(tree: Mapping[str, Any]) -> list[Any]:
    import pyarrow as pa

    return [
        pa.field(name, pa.struct(_nested(inner)) if isinstance(inner, dict) else inner) for name, inner in tree.items()
    ]


def _type(value: Any) -> Any:
    import pyarrow as pa

    if isinstance(value, list):
        # Of lists only those of texts, and of such lists.
        parts = {_type(part) if isinstance(part, str | list) else None for part in value} or {pa.string()}
        (inner,) = parts if len(parts) == 1 else (None,)
        return pa.list_(inner) if inner is not None else None
    return {str: pa.string(), bool: pa.bool_(), int: pa.int64(), type(None): pa.string()}.get(type(value))


def _deep(table: Any, field: str) -> list[Any]:
    import pyarrow.compute as pc

    name, *inner = field.split(".")
    column = table.column(name)
    values: list[Any] = (pc.struct_field(column, inner) if inner else column).to_pylist()
    return values
