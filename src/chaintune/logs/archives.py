"""Logs of Inspect taken apart: an archive or a JSON file into header, samples and reductions, with a bound on each.

Inspect's own reader decompresses whatever an archive holds. A few kilobytes can become gigabytes that way, so the
members are read here, and never further than the size that the archive declares.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.files.lines import parsed

MOST_BYTES_A_MEMBER = 64 * 2**20
MOST_BYTES = 4 * 2**30
# A decompressor may answer a read with all that the read bytes unpack to, so little is read at a time.
_READ_BYTES = 4096
_ZSTANDARD = 93
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, _ZSTANDARD)
_ENCRYPTED = 1
_HEADER, _START, _REDUCTIONS, _SAMPLES = "header.json", "_journal/start.json", "reductions.json", "samples/"


@dataclass(frozen=True)
class Parts:
    """What an Inspect log consists of, as plain data that nobody has checked.

    Attributes:
        header: everything but the samples and reductions.
        samples: one an example and epoch, read as they are asked for.
        reductions: scores over the epochs; none when there are none.
    """

    header: Mapping[str, Any]
    samples: Iterator[Any]
    reductions: Any


@contextmanager
def opened(path: Path) -> Iterator[Parts]:
    """A log's parts; the file is closed afterwards.

    Raises:
        DataError: it cannot be read, or would unpack to more than is read.
    """
    try:
        if path.suffix.lower() == ".eval":
            with zipfile.ZipFile(path) as archive:
                yield _of_archive(archive, path)
        else:
            yield _of_json(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _unreadable() as error:
        raise DataError(f"{path}: not a readable .eval archive ({str(error)[:200]})") from error


def _unreadable() -> tuple[type[Exception], ...]:
    """What broken archives make the decompressors raise."""
    known = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, OverflowError)
    try:
        from zstandard import ZstdError
    except ModuleNotFoundError:
        return known
    return (*known, ZstdError)


def _of_json(path: Path) -> Parts:
    found = _mapping(parsed(path.read_bytes(), str(path)), str(path))
    header = {name: value for name, value in found.items() if name not in ("samples", "reductions")}
    samples = found.get("samples") or []
    if not isinstance(samples, list):
        raise DataError(f"{path}: expected a list of samples, got a {type(samples).__name__}")
    return Parts(header, iter(samples), found.get("reductions"))


def _of_archive(archive: zipfile.ZipFile, path: Path) -> Parts:
    # A sample that was run again is there twice under one name, and the last one holds.
    members = {info.filename: info for info in archive.infolist()}
    samples = {name: info for name, info in members.items() if name.startswith(_SAMPLES) and name.endswith(".json")}
    needed = [*(members[name] for name in (_HEADER, _START, _REDUCTIONS) if name in members), *samples.values()]
    for info in needed:
        _check(info, path)
    if sum(info.file_size for info in needed) > MOST_BYTES:
        raise DataError(f"{path}: would unpack to more than {MOST_BYTES // 2**30} GiB; {_INSTEAD}")
    name = _HEADER if _HEADER in members else _START
    if name not in members:
        raise DataError(f"{path}: no log of Inspect, there is no {_HEADER} in it")
    header = _mapping(_member(archive, members[name], path), f"{path}, {name}")
    reductions = _member(archive, members[_REDUCTIONS], path) if _REDUCTIONS in members else None
    return Parts(header, (_member(archive, info, path) for info in samples.values()), reductions)


_INSTEAD = "write its scores as a table with the columns id and score"


def _check(info: zipfile.ZipInfo, path: Path) -> None:
    where = f"{path}, {info.filename[:80]!r}"
    if info.file_size > MOST_BYTES_A_MEMBER:
        raise DataError(f"{where}: would unpack to more than {MOST_BYTES_A_MEMBER // 2**20} MiB; {_INSTEAD}")
    if info.compress_type not in _METHODS:
        raise DataError(f"{where}: compressed in a way that Inspect does not use (method {info.compress_type})")
    if info.flag_bits & _ENCRYPTED:
        raise DataError(f"{where}: encrypted, which logs of Inspect are not")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Any:
    with archive.open(info) as file:
        data = b"".join(iter(lambda: file.read(_READ_BYTES), b""))
    # Some decompressors end early without a word.
    if len(data) != info.file_size:
        raise DataError(f"{path}, {info.filename[:80]!r}: truncated")
    return parsed(data, f"{path}, {info.filename[:80]!r}")


def _mapping(found: Any, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise DataError(f"{where}: expected a mapping, got a {type(found).__name__}")
    return found


def canonical(value: Any) -> str:
    """JSON with sorted names, for telling whether two values are the same."""
    return json.dumps(value, sort_keys=True, default=str)
