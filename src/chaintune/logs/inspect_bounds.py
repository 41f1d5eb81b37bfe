"""How much a log of Inspect may unpack to: a few hundred kilobytes can hold what takes gigabytes once it is read."""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from chaintune.errors import DataError

# A value of JSON takes 50 to 100 bytes in memory, and each but the first of its list or mapping follows a comma.
_MOST_VALUES = 2**26
_MOST_BYTES = 2**32
_BLOCK_BYTES = 2**20


def check_json(path: Path) -> None:
    """Refuse a log that is one piece of JSON and holds more values than are read.

    Raises:
        DataError: it holds more, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            _check(_blocks(file), path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def check_members(path: Path, reads: Callable[[str], bool]) -> None:
    """Refuse an archive whose members hold more values, or more bytes, than are read.

    inspect-ai has to be imported, which teaches `zipfile` Zstandard.

    Args:
        path: of the archive.
        reads: whether the member of a name is to be read.

    Raises:
        DataError: they hold more.
    """
    with zipfile.ZipFile(path) as archive:
        names = [name for name in dict.fromkeys(archive.namelist()) if reads(name)]
        _check((block for name in names for block in _member(archive, name)), path)


def _member(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    with archive.open(name) as member:
        yield from _blocks(member)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(_BLOCK_BYTES), b"")


def _check(blocks: Iterable[bytes], path: Path) -> None:
    values = size = 0
    for block in blocks:
        values += sum(map(block.count, (b",", b"[", b"{")))
        size += len(block)
        if values > _MOST_VALUES or size > _MOST_BYTES:
            most = f"{_MOST_VALUES:,} values" if values > _MOST_VALUES else f"{_MOST_BYTES:,} bytes"
            raise DataError(
                f"{path}: unpacks to more than {most}, more than is read of one log; write what is compared as "
                "a table with the columns id and score"
            )
