"""Rows of JSONL, JSON, CSV and Parquet files, each with the place where it stands."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import DataError

Row = Mapping[str, Any]

_BATCH_ROWS = 4096
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")


def rows_of(path: Path, columns: Sequence[str] = ()) -> Iterator[tuple[str, Row]]:
    """Rows of a file as mappings, each with its place as `FILE:LINE`.

    Args:
        path: its name's ending tells the format.
        columns: the only ones to read, where the format allows that; none for all.

    Raises:
        DataError: the file cannot be read, or a row is none.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in (".jsonl", ".ndjson"):
            yield from _json_lines(path)
        elif suffix == ".json":
            yield from _json_list(path)
        elif suffix == ".csv":
            yield from _csv(path)
        elif suffix == ".parquet":
            yield from _parquet(path, columns)
        else:
            raise DataError(f"{path}: files of scores end in {', '.join(SUFFIXES)}; got '{suffix}'")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error


def parsed(text: str | bytes, where: str) -> Any:
    """JSON as plain data.

    Raises:
        DataError: it is no JSON.
    """
    try:
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text (byte {error.start})") from error
    except RecursionError:
        raise DataError(f"{where}: nested too deeply") from None
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({str(error)[:200]})") from error


def _json_lines(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig") as lines:
        name = str(path)
        for number, line in enumerate(lines, 1):
            if line.isspace():
                continue
            where = f"{name}:{number}"
            yield where, _mapping(parsed(line, where), where)


def _json_list(path: Path) -> Iterator[tuple[str, Row]]:
    found = parsed(path.read_text(encoding="utf-8-sig"), str(path))
    if not isinstance(found, list):
        raise DataError(f"{path}: expected a list of rows, got a {type(found).__name__}")
    for number, row in enumerate(found, 1):
        where = f"{path}, row {number}"
        yield where, _mapping(row, where)


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            _check_commas(reader.fieldnames or (), path)
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise DataError(f"{where}: not as many cells as the header has names")
                yield where, row
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: not CSV ({error})") from error


def _check_commas(names: Sequence[str], path: Path) -> None:
    for sign, called in ((";", "semicolons"), ("\t", "tabs")):
        # An id and a score are always two columns, or more.
        if len(names) == 1 and sign in names[0]:
            raise DataError(f"{path}:1: {called} lie between the fields, expected commas; save the file with commas")


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            chosen = [name for name in names if name in columns] if columns else names
            # Without any column there are no rows either, whatever the file says.
            batches = file.iter_batches(_BATCH_ROWS, columns=chosen) if chosen else ()
            for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
                yield f"{path}, row {number}", row
    # Dates out of range are errors of Python's own.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error


def _mapping(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a row with named fields, got a {type(row).__name__}")
    return row
