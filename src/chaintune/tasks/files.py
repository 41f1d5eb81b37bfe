"""JSONL, JSON, CSV and Parquet files -> rows that know where they come from."""

import csv
import io
import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from chaintune.errors import DataError, nearest
from chaintune.tasks.rows import Row, kind, raise_problems


def read_rows(path: Path) -> list[Row]:
    """Every row of a file, in file order; the suffix says how to read it.

    Raises:
        DataError: no such file, a suffix not known, a line that cannot be read, or no rows.
    """
    if path.is_dir():
        raise DataError(f"{path}: expected one file, got a folder; name a file that ends in {', '.join(READERS)}")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: suffix '{path.suffix}' is not known; {nearest(path.suffix, READERS)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        rows = reader(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not rows:
        raise DataError(f"{path}: the file holds no rows")
    return rows


def files_digest(paths: Sequence[Path]) -> str:
    """The first 12 hex digits of a SHA-256 over the names and bytes of files, whatever their order."""
    digest = sha256()
    for path in sorted(paths, key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _read_jsonl(path: Path) -> list[Row]:
    decoder, place = json.JSONDecoder(parse_constant=_refuse_constant), str(path)
    rows, problems = [], []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{place}, line {number}"
        try:
            values = decoder.decode(_decoded(line, where))
        except json.JSONDecodeError as error:
            problems.append(f"{where}: not a JSON object ({error.msg} at column {error.colno})")
        except ValueError as error:
            problems.append(str(error) if isinstance(error, DataError) else f"{where}: {error}")
        else:
            if isinstance(values, dict):
                rows.append(Row(where, values))
            else:
                problems.append(f"{where}: expected a JSON object, got {kind(values)}")
    raise_problems(problems)
    return rows


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a value; give a number or text, or remove the row")


def _read_csv(path: Path) -> list[Row]:
    text = "\n".join(_decoded(line, f"{path}, line {number}") for number, line in enumerate(_lines(path), start=1))
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows, problems = [], []
    try:
        names = list(reader.fieldnames or ())
        _check_commas(names, path)
        problems += [f"{path}, line 1: column '{name}' appears twice" for name in set(names) if names.count(name) > 1]
        for values in reader:
            where = f"{path}, line {reader.line_num}"
            if None in values:
                problems.append(f"{where}: more fields than the header names; quote fields that hold a comma")
            rows.append(Row(where, {str(name): value or None for name, value in values.items()}, untyped=True))
    except csv.Error as error:
        problems.append(f"{path}, line {reader.reader.line_num}: not readable as CSV ({error})")
    raise_problems(problems)
    return rows


def _check_commas(names: Sequence[str], path: Path) -> None:
    for sign, called in ((";", "semicolons"), ("\t", "tabs")):
        # Of choices and a prompt there are always two columns, or more.
        if len(names) == 1 and sign in names[0]:
            raise DataError(
                f"{path}, line 1: {called} lie between the fields, expected commas; save the file with commas"
            )


def _read_parquet(path: Path) -> list[Row]:
    try:
        table: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error
    return [Row(f"{path}, row {number}", values) for number, values in enumerate(table, start=1)]


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().removeprefix(BOM_UTF8).split(b"\n")


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: not UTF-8 (byte 0x{line[error.start]:02x} at {error.start}); save the file as UTF-8"
        ) from error


def _read_json(path: Path) -> list[Row]:
    """The objects of a list, or of the lists that named parts hold, at whatever depth; else lines, as in JSONL."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    text = "\n".join(_decoded(line, f"{path}, line {number}") for number, line in enumerate(_lines(path), start=1))
    try:
        held = decoder.decode(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return _read_jsonl(path)
        raise DataError(f"{path}, line {error.lineno}: not JSON ({error.msg} at column {error.colno})") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    rows = list(_objects(held, f"{path}, "))
    if not rows:
        raise DataError(f"{path}: expected a list of JSON objects, got {kind(held)}")
    return rows


def _objects(held: Any, where: str) -> Iterator[Row]:
    if isinstance(held, dict):
        for name, inner in held.items():
            yield from _objects(inner, f"{where}{name} ")
    elif isinstance(held, list):
        for number, item in enumerate(held, start=1):
            if not isinstance(item, dict):
                raise DataError(f"{where}item {number}: expected a JSON object, got {kind(item)}")
            yield Row(f"{where}item {number}", item)


READERS: dict[str, Callable[[Path], list[Row]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
