"""JSONL, JSON, CSV and Parquet files -> rows that know where they come from."""

import csv
import io
import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from chaintune.errors import ChaintuneError, DataError, nearest
from chaintune.files.rows import Row, kind, raise_problems

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 4096
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def read_rows(path: Path) -> list[Row]:
    """All rows of a file, in file order; NaN and infinity are refused.

    Raises:
        DataError: no such file, a suffix not known, a line that cannot be read, or no rows.
    """
    rows = list(iter_rows(path, finite=True))
    if not rows:
        raise DataError(f"{path}: the file holds no rows")
    return rows


def iter_rows(path: Path, *, finite: bool = False) -> Iterator[Row]:
    """The rows of a file one after the other; what cannot be read is raised at the end, together.

    Args:
        path: its suffix says how to read it.
        finite: refuse NaN and infinity in JSON.

    Raises:
        DataError: no such file, a suffix not known, or a line that cannot be read.
    """
    if path.is_dir():
        raise DataError(f"{path}: expected one file, got a folder; name a file that ends in {', '.join(READERS)}")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: suffix '{path.suffix}' is not known; {nearest(path.suffix, READERS)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    refuse_lfs_pointer(path, DataError)
    try:
        yield from reader(path, finite)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def refuse_lfs_pointer(path: Path, error: type[ChaintuneError]) -> None:
    """Refuse what a clone without git-lfs holds in place of a file.

    Args:
        path: of a file that exists; one that cannot be read is left for its reader to refuse.
        error: what is raised.
    """
    try:
        with path.open("rb") as stream:
            beginning = stream.read(len(_LFS_POINTER))
    except OSError:
        return
    if beginning == _LFS_POINTER:
        raise error(f"{path}: this is a pointer of Git LFS, not the file; run 'git lfs pull' in its folder")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        return parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


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


@contextmanager
def as_written(path: Path, remedy: str) -> Iterator[None]:
    """Raise what comes of reading a file that is not as chaintune wrote it, as `DataError`.

    Args:
        path: of the file.
        remedy: what writes it anew.

    Raises:
        DataError: in place of the errors of a value that is missing, or of another type.
    """
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}; {remedy}") from error
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DataError(f"{path}: not as chaintune wrote it ({what}); {remedy}") from error


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


def parse_json(text: str | bytes, where: str, *, finite: bool = False, one_line: bool = False) -> Any:
    """JSON as plain data.

    Args:
        text: as it stands in the file.
        where: the beginning of the error sentence.
        finite: refuse NaN and infinity.
        one_line: `where` names the line already.

    Raises:
        DataError: it is no JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant) if finite else json.loads(text)
    except UnicodeDecodeError as error:
        raise _not_utf8(error, where) from error
    except RecursionError:
        raise DataError(f"{where}: nested too deeply") from None
    except json.JSONDecodeError as error:
        line = "" if one_line else f", line {error.lineno}"
        raise DataError(f"{where}{line}: not JSON ({error.msg} at column {error.colno})") from error
    except ValueError as error:
        raise DataError(f"{where}: {str(error)[:200]}") from error


class CsvLines:
    """The rows of a CSV file that are not empty, and the number of the line that the last one ended on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)

    def __iter__(self) -> Iterator[list[str]]:
        try:
            yield from filter(None, self._reader)
        except csv.Error as error:
            raise DataError(f"{self._path}, line {self.line}: not readable as CSV ({error})") from error

    @property
    def line(self) -> int:
        """Of the last row."""
        return self._reader.line_num


def csv_lines(path: Path) -> tuple[list[str], CsvLines]:
    """The header of a CSV file, and its other rows.

    Raises:
        DataError: it is no CSV, no UTF-8, or separated by something else than commas.
    """
    lines = CsvLines(path)
    names: list[str] = next(iter(lines), [])
    for sign, called in ((";", "semicolons"), ("\t", "tabs")):
        # There are always two columns, or more.
        if len(names) == 1 and sign in names[0]:
            raise DataError(
                f"{path}, line 1: {called} lie between the fields, expected commas; save the file with commas"
            )
    return names, lines


def _jsonl_rows(path: Path, finite: bool) -> Iterator[Row]:
    problems: list[str] = []
    place = str(path)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            text = (line.removeprefix(BOM_UTF8) if number == 1 else line).rstrip(b"\r\n")
            if not text.strip():
                continue
            where = f"{place}, line {number}"
            try:
                yield Row(where, _object(_decoded(text, where), where, finite))
            except DataError as error:
                problems.append(str(error))
    raise_problems(problems)


def _object(line: str, where: str, finite: bool) -> Mapping[str, Any]:
    values = parse_json(line, where, finite=finite, one_line=True)
    if not isinstance(values, dict):
        raise DataError(f"{where}: expected a JSON object, got {kind(values)}")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a value; give a number or text, or remove the row")


def _json_rows(path: Path, finite: bool) -> Iterator[Row]:
    """The objects of a list, or of the lists that named parts hold, at whatever depth; else lines, as in JSONL."""
    try:
        data = parse_json(_text(path), str(path), finite=finite)
    except DataError as error:
        if not isinstance(error.__cause__, json.JSONDecodeError) or error.__cause__.msg != "Extra data":
            raise
        yield from _jsonl_rows(path, finite)
        return
    rows = list(_objects(data, f"{path}, "))
    if not rows:
        raise DataError(f"{path}: expected a list of JSON objects, got {kind(data)}")
    yield from rows


def _objects(data: Any, where: str) -> Iterator[Row]:
    if isinstance(data, dict):
        for name, inner in data.items():
            yield from _objects(inner, f"{where}{name} ")
    elif isinstance(data, list):
        for number, item in enumerate(data, start=1):
            if not isinstance(item, dict):
                raise DataError(f"{where}item {number}: expected a JSON object, got {kind(item)}")
            yield Row(f"{where}item {number}", item)


def _csv_rows(path: Path, _finite: bool) -> Iterator[Row]:
    names, lines = csv_lines(path)
    problems = repeated_names(f"{path}, line 1", names, names)
    try:
        for values in lines:
            where = f"{path}, line {lines.line}"
            if len(values) > len(names):
                problems.append(f"{where}: more fields than the header names; quote fields that hold a comma")
            fields = {name: value or None for name, value in zip(names, values, strict=False)}
            yield Row(where, dict.fromkeys(names) | fields, untyped=True)
    except DataError as error:
        problems.append(str(error))
    raise_problems(problems)


def repeated_names(where: object, names: Sequence[str], fields: Iterable[str]) -> list[str]:
    """A sentence for each field that more than one column of a table is named."""
    return [f"{where}: column '{name}' appears twice" for name in dict.fromkeys(fields) if names.count(name) > 1]


def _parquet_rows(path: Path, _finite: bool) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            raise_problems(repeated_names(path, names, names))
            batches = file.iter_batches(_BATCH_ROWS) if names else ()
            for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), start=1):
                yield Row(f"{path}, row {number}", row)
    except DataError:
        raise
    # Dates out of range are errors of Python's own.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error


def _text(path: Path) -> str:
    data = path.read_bytes().removeprefix(BOM_UTF8)
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


READERS: dict[str, Callable[[Path, bool], Iterator[Row]]] = {
    ".jsonl": _jsonl_rows,
    ".ndjson": _jsonl_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}
