"""JSONL, JSON, CSV, TSV and Parquet files, text also packed by gzip or zstd -> rows that know where they come from."""

import csv
import io
import json
import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaintune.errors import ChaintuneError, DataError, nearest
from chaintune.files.rows import Row, Twice, kind, raise_problems

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 4096
_CODECS = {".gz": "gzip", ".zst": "zstd"}
_MOST_UNPACKED_BYTES = 2**30
_PIECE_BYTES = 2**22
_LONGEST_CELL = 2**31 - 1
# What writes a file of a run anew.
ANEW = "run the study again, which computes nothing twice"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def read_rows(path: Path) -> list[Row]:
    """All rows of a file, in file order.

    Raises:
        DataError: no such file, a suffix not known, a line that cannot be read, or no rows.
    """
    rows = list(iter_rows(path))
    if not rows:
        raise DataError(f"{path}: the file holds no rows")
    return rows


def iter_rows(path: Path) -> Iterator[Row]:
    """The rows of a file one after the other; what cannot be read is raised at the end, together.

    Raises:
        DataError: no such file, a suffix not known, or a line that cannot be read.
    """
    with readable(path):
        if path.is_dir():
            raise DataError(f"{path}: expected one file, got a folder; name a file that ends in {', '.join(READERS)}")
        reader = READERS.get(suffix_of(path))
        if reader is None:
            raise DataError(f"{path}: suffix '{path.suffix}' is not known; {nearest(path.suffix, READERS)}")
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        yield from reader(path)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise what the operating system says while a file is read as one sentence, and read no pointer of Git LFS.

    Raises:
        DataError: in place of an `OSError`, or it is such a pointer.
    """
    refuse_lfs_pointer(path, DataError)
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def refuse_lfs_pointer(path: Path, error: type[ChaintuneError]) -> None:
    """Refuse what a clone without git-lfs holds in place of a file; what cannot be read is left to its reader."""
    try:
        with path.open("rb") as stream:
            beginning = stream.read(len(_LFS_POINTER))
    except (OSError, ValueError):  # also a folder, or a name that no file can have
        return
    if beginning == _LFS_POINTER:
        raise error(f"{path}: this is a pointer of Git LFS, not the file; run 'git lfs pull' in its folder")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    with readable(path):
        return parse_json(path.read_bytes(), str(path))


def read_parquet(path: Path) -> "pa.Table":
    """The table of a Parquet file; the path is never a pattern, a folder of parts, or a URL.

    Raises:
        DataError: it cannot be read, or is no Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            return pq.ParquetFile(file).read()
    # Damaged metadata raise errors of Python's own.
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise DataError(f"{path}: not a readable Parquet file ({words})") from error


def parquet_columns(path: Path) -> list[str]:
    """The names of a Parquet file's columns.

    Raises:
        DataError: it cannot be read, or is no Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    refuse_lfs_pointer(path, DataError)
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error


def check_shape(value: Any, shape: Any, name: str = "it") -> None:
    """Refuse plain data of another shape.

    Args:
        value: from JSON.
        shape: a type, or several; a list with the shape of every entry; or a mapping with the shapes of names that
            have to be there, `*` standing for every name.
        name: what to call the value.

    Raises:
        TypeError: it has another shape.
    """
    kinds = type(shape) if isinstance(shape, dict | list) else shape
    if not isinstance(value, kinds):
        raise TypeError(f"{name} is {kind(value)}")
    if isinstance(shape, list):
        for entry in value:
            check_shape(entry, shape[0], f"an entry of {name}")
    elif isinstance(shape, dict):
        for key in value if "*" in shape else shape:
            if key not in value:
                raise TypeError(f"'{key}' is missing")
            check_shape(value[key], shape.get("*", shape.get(key)), f"'{key}'")


@contextmanager
def as_written(path: Path, remedy: str = ANEW) -> Iterator[None]:
    """Raise what comes of reading a file that is not as chaintune wrote it, as `DataError` that names the remedy."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}; {remedy}") from error
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, NotImplementedError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DataError(f"{path}: not as chaintune wrote it ({what}); {remedy}") from error


def suffix_of(path: Path) -> str:
    """The suffix that says how a file is read, in lower case; empty where no reader knows it.

    Example:
        >>> suffix_of(Path("items.v2.JSONL.gz")), suffix_of(Path("items.parquet.gz"))
        ('.jsonl', '')
    """
    suffix = path.suffix.lower()
    if suffix in _CODECS:
        suffix = Path(path.stem).suffix.lower()
        return suffix if suffix in READERS and suffix != ".parquet" else ""
    return suffix if suffix in READERS else ""


def user_path(path: Path | str) -> Path:
    """A path as a person writes it: `~` is the home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - that of Path raises where there is no such user


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file, unpacked where its name ends in `.gz` or `.zst`; none where it cannot be unpacked.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if path.suffix.lower() not in _CODECS:
            return file.read(count)
        import pyarrow as pa

        try:
            return bytes(pa.CompressedInputStream(file, _CODECS[path.suffix.lower()]).read(count))
        except (pa.ArrowException, OSError):
            return b""


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked where its name ends in `.gz` or `.zst`.

    Raises:
        DataError: it cannot be unpacked, or to more than 1 GiB.
        OSError: it cannot be read.
    """
    if path.suffix.lower() not in _CODECS:
        return path.read_bytes()
    import pyarrow as pa

    data = bytearray()
    with path.open("rb") as packed:
        try:
            stream = pa.CompressedInputStream(packed, _CODECS[path.suffix.lower()])
            while piece := stream.read(_PIECE_BYTES):
                data += piece
                if len(data) > _MOST_UNPACKED_BYTES:
                    raise DataError(f"{path}: unpacks to more than 1 GiB; unpack it yourself, then name that file")
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be unpacked ({error}); it is damaged or cut off") from error
    return bytes(data)


def files_digest(paths: Sequence[Path]) -> str:
    """The first 12 hex digits of a SHA-256 over the names and bytes of files, whatever their order."""
    digest = sha256()
    for path in sorted(paths, key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + bytes.fromhex(sha256_of(path)))
    return digest.hexdigest()[:12]


def sha256_of(path: Path) -> str:
    """SHA-256 hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def parse_json(text: str | bytes, where: str, *, one_line: bool = False, marked: bool = False) -> Any:
    """JSON as plain data.

    Args:
        text: as it stands in the file.
        where: the beginning of the error sentence.
        one_line: `where` names the line already.
        marked: mark what is named twice, as `Row` reads it; else the last value counts.

    Raises:
        DataError: it is no JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_fields) if marked else json.loads(text)
    except UnicodeDecodeError as error:
        raise _not_utf8(error, where) from error
    except RecursionError:
        raise DataError(f"{where}: nested too deeply") from None
    except json.JSONDecodeError as error:
        line = "" if one_line else f", line {error.lineno}"
        raise DataError(f"{where}{line}: not JSON ({error.msg} at column {error.colno})") from error
    except ValueError as error:
        raise DataError(f"{where}: {str(error)[:200]}") from error


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        fields |= {name: Twice(name) for name, count in Counter(name for name, _ in pairs).items() if count > 1}
    return fields


class CsvLines:
    """The rows of a CSV or TSV file that are not empty, and the number of the line that the last one ended on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        csv.field_size_limit(_LONGEST_CELL)  # of the whole process; 131072 unless someone says otherwise
        self._reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=_separator(path), strict=True)

    def __iter__(self) -> Iterator[list[str]]:
        try:
            yield from filter(None, self._reader)
        except csv.Error as error:
            name = suffix_of(self._path)[1:].upper()
            raise DataError(f"{self._path}, line {self.line}: not readable as {name} ({error})") from error

    @property
    def line(self) -> int:
        """Of the last row."""
        return self._reader.line_num


def csv_lines(path: Path) -> tuple[list[str], CsvLines]:
    """The header of a CSV or TSV file, and its other rows.

    Raises:
        DataError: it is no CSV, no UTF-8, or separated by something else than its suffix says.
    """
    lines = CsvLines(path)
    names: list[str] = next(iter(lines), [])
    expected = _SEPARATORS[_separator(path)]
    for sign, called in _SEPARATORS.items():
        # There are always two columns, or more.
        if len(names) == 1 and sign in names[0] and called != expected:
            raise DataError(
                f"{path}, line 1: {called} lie between the fields, expected {expected}; save the file with {expected}"
            )
    return names, lines


_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas"}


def _separator(path: Path) -> str:
    return "\t" if suffix_of(path) == ".tsv" else ","


def _jsonl_rows(path: Path) -> Iterator[Row]:
    """A row a line; where the file holds one JSON list all the same, its objects."""
    with _lines(path) as lines:
        first = next((line for line in lines if line.strip()), b"").removeprefix(BOM_UTF8).strip()
    if _begins_a_document(first):
        try:
            rows = list(_json_rows(path))
        except DataError:
            if first in (b"{", b"["):  # no line of JSONL, so what is wrong is not told line by line
                raise
        else:
            yield from rows
            return
    yield from _line_rows(path)


def _line_rows(path: Path) -> Iterator[Row]:
    problems: list[str] = []
    place = str(path)
    with _lines(path) as lines:
        for number, line in enumerate(lines, start=1):
            text = (line.removeprefix(BOM_UTF8) if number == 1 else line).rstrip(b"\r\n")
            if not text.strip():
                continue
            where = f"{place}, line {number}"
            try:
                yield Row(where, _object(_decoded(text, where), where))
            except DataError as error:
                problems.append(str(error))
    raise_problems(problems)


def _lines(path: Path) -> "io.BufferedIOBase":
    return path.open("rb") if path.suffix.lower() not in _CODECS else io.BytesIO(read_bytes(path))


def _begins_a_document(line: bytes) -> bool:
    """Whether a first line is not a row by itself but may begin a JSON document."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return line.startswith((b"[", b"{"))
    return isinstance(value, list) and all(isinstance(item, dict) for item in value) and bool(value)


def _object(line: str, where: str) -> Mapping[str, Any]:
    values = parse_json(line, where, one_line=True, marked=True)
    if not isinstance(values, dict):
        raise DataError(f"{where}: expected a JSON object, got {kind(values)}")
    return values


def _json_rows(path: Path) -> Iterator[Row]:
    """The objects of a list, or of the lists that named parts hold, at whatever depth; else lines, as in JSONL."""
    try:
        data = parse_json(_text(path), str(path), marked=True)
    except DataError as error:
        if not isinstance(error.__cause__, json.JSONDecodeError) or error.__cause__.msg != "Extra data":
            raise
        yield from _line_rows(path)
        return
    rows = list(_objects(data, f"{path}, "))
    if not rows:
        raise DataError(f"{path}: expected a list of JSON objects, got {_shape(data)}")
    yield from rows


def _objects(data: Any, where: str, part: str = "") -> Iterator[Row]:
    if isinstance(data, dict):
        for name, inner in data.items():
            yield from _objects(inner, f"{where}{name} ", f"{part} {name}".strip())
    elif isinstance(data, list) and (not part or any(isinstance(item, dict) for item in data)):
        for number, item in enumerate(data, start=1):
            if not isinstance(item, dict):
                raise DataError(f"{where}item {number}: expected a JSON object, got {kind(item)}")
            yield Row(f"{where}item {number}", item, part=part)


def _shape(data: Any) -> str:
    """What a document without rows holds, and what to write instead."""
    if not isinstance(data, dict) or not data or not all(isinstance(inner, dict | list) for inner in data.values()):
        return kind(data)
    named = ", ".join(f"'{name}'" for name in list(data)[:2])
    return (
        f"a mapping of names ({named}, ...) to rows or columns; write one list with an object a row, in pandas "
        "to_json(orient='records')"
    )


def _csv_rows(path: Path) -> Iterator[Row]:
    names, lines = csv_lines(path)
    twice = {name: Twice(name) for name in names if names.count(name) > 1}
    problems: list[str] = []
    try:
        for values in lines:
            where = f"{path}, line {lines.line}"
            if len(values) != len(names):
                problems.append(f"{where}: {fields_do_not_fit(values, names)}")
                continue
            yield Row(where, {name: value or None for name, value in zip(names, values, strict=True)} | twice, True)
    except DataError as error:
        problems.append(str(error))
    raise_problems(problems)


def fields_do_not_fit(values: Sequence[str], names: Sequence[str]) -> str:
    """Why a line of CSV fits its header not."""
    hint = "; quote fields that hold a separator" if len(values) > len(names) else ""
    return f"{len(values)} fields, the header names {len(names)}{hint}"


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            twice = {name: Twice(name) for name in names if names.count(name) > 1}
            number = 0
            for batch in file.iter_batches(_BATCH_ROWS) if names else ():
                for values in zip(*(plain_values(column) for column in batch.columns), strict=True):
                    number += 1
                    yield Row(f"{path}, row {number}", dict(zip(names, values, strict=True)) | twice)
    except DataError:
        raise
    # Dates out of range, and maps that name a key twice, are errors of Python's own.
    except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error


def plain_values(column: Any) -> list[Any]:
    """The values of a column of Arrow as Python's own, a map as a dictionary."""
    values: list[Any] = column.to_pylist(maps_as_pydicts="strict")
    return values


def _text(path: Path) -> str:
    data = read_bytes(path).removeprefix(BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        line = data[data.rfind(b"\n", 0, error.start) + 1 :]
        _decoded(line, f"{path}, line {number}")
        raise


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(error, where) from error


def _not_utf8(error: UnicodeDecodeError, where: str) -> DataError:
    byte = error.object[error.start]
    return DataError(f"{where}: not UTF-8 (byte 0x{byte:02x} at {error.start}); save the file as UTF-8")


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl_rows,
    ".ndjson": _jsonl_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".parquet": _parquet_rows,
}
