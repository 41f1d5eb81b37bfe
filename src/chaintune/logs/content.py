"""What a file holds: its beginning, its JSON, and no more than a machine can hold.

A few hundred kilobytes can unpack to what takes gigabytes once it is read, as lists of empty lists do.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from chaintune.errors import DataError
from chaintune.files.reading import first_bytes, parse_json, read_bytes, readable

_SUFFIX = re.compile(r"\.(jsonl|ndjson|json)(\.gz|\.zst)?$", re.IGNORECASE)
_FIRST_BYTES = 4096
# A value of JSON takes 50 to 100 bytes in memory, and each but the first of its list or mapping follows a comma.
_MOST_VALUES = 2**26
_MOST_BYTES = 2**32
_BLOCK_BYTES = 2**20


def beginning(path: Path) -> bytes:
    """The first bytes of a file, without a byte order mark and blanks before them.

    Raises:
        DataError: it cannot be read.
    """
    with readable(path):
        return first_bytes(path, _FIRST_BYTES).removeprefix(BOM_UTF8).lstrip()


def stem(path: Path) -> str:
    """The name of a file of JSON without what says how it is read.

    Example:
        >>> stem(Path("results/arc.v2.jsonl.gz"))
        'arc.v2'
    """
    return _SUFFIX.sub("", path.name)


def read_json(path: Path) -> Any:
    """The JSON of a file as plain data.

    Raises:
        DataError: it cannot be read, is no JSON, or holds more than is read.
    """
    with readable(path):
        data = read_bytes(path)
    check_size([data], path)
    return parse_json(data.removeprefix(BOM_UTF8), str(path))


def check_json(path: Path) -> None:
    """Refuse a file of JSON that holds more values than are read.

    Raises:
        DataError: it holds more, or cannot be read.
    """
    with readable(path), path.open("rb") as file:
        check_size(blocks(file), path)


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The bytes of a file in pieces."""
    return iter(lambda: file.read(_BLOCK_BYTES), b"")


def check_size(pieces: Iterable[bytes], path: Path) -> None:
    """Refuse JSON that holds more values, or more bytes, than are read.

    Raises:
        DataError: it holds more.
    """
    values = size = 0
    for piece in pieces:
        values += sum(map(piece.count, (b",", b"[", b"{")))
        size += len(piece)
        if values > _MOST_VALUES or size > _MOST_BYTES:
            most = f"{_MOST_VALUES:,} values" if values > _MOST_VALUES else f"{_MOST_BYTES:,} bytes"
            raise DataError(
                f"{path}: unpacks to more than {most}, more than is read of one log; write what is compared as "
                "a table with the columns id and score"
            )


def mapping(value: Any) -> Mapping[str, Any]:
    """The value where it holds named fields, else none."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The parts of a list that hold named fields; none where it is no list."""
    return [part for part in value if isinstance(part, Mapping)] if isinstance(value, list) else []
