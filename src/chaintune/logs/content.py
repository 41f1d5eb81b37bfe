"""What a file holds, told by its beginning."""

from codecs import BOM_UTF8
from pathlib import Path

from chaintune.errors import DataError

_FIRST_BYTES = 4096


def beginning(path: Path) -> bytes:
    """The first bytes of a file, without a byte order mark and blanks before them.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(_FIRST_BYTES).removeprefix(BOM_UTF8).lstrip()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
