"""Errors of the operating system: their numbers, wherever they are hidden, and sentences of `StoreError`."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EIO, EMFILE, ENFILE, ENOSPC, EROFS
from pathlib import Path

from chaintune.errors import ChaintuneError, StoreError

# Writers and readers in other languages (safetensors, Arrow, the linker) lose the number and keep the words.
EXHAUSTED = (EDQUOT, EIO, EMFILE, ENFILE, ENOSPC, EROFS)
_BY_WORDS = {os.strerror(number): number for number in EXHAUSTED}
_NUMBER = re.compile(r"\(os error (\d+)\)|Os \{ code: (\d+),")


@contextmanager
def os_errors_as_store_error(folder: Path, trouble: str = "") -> Iterator[None]:
    """Raise a full disk as `StoreError`, and with `trouble`, the end of a sentence, every other error of the system."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise StoreError(_disk_full(folder, errno_of(error))) from error
        if trouble and isinstance(error, OSError) and not isinstance(error, ChaintuneError):
            raise StoreError(f"{folder}: {trouble} ({words_of(error)})") from error
        raise


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, says that the disk or the quota is full."""
    return errno_of(error) in {ENOSPC, EDQUOT}


def errno_of(error: BaseException | None) -> int | None:
    """The number of the operating system's error that an error is, or was caused by; None where none is known."""
    while error is not None and not isinstance(error, StoreError):
        if isinstance(error, OSError) and error.errno:
            return error.errno
        if named := _NUMBER.search(str(error)):
            return int(named[1] or named[2])
        if number := next((number for words, number in _BY_WORDS.items() if words in str(error)), None):
            return number
        error = error.__cause__ or error.__context__
    return None


def words_of(error: BaseException) -> str:
    """What the operating system says of an error, and the file that it is about."""
    if isinstance(error, OSError) and error.errno:
        name = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
        return os.strerror(error.errno) + name
    text, number = " ".join(str(error).split()), errno_of(error)
    return f"{text} ({os.strerror(number)})" if number and os.strerror(number) not in text else text


def _disk_full(folder: Path, number: int | None) -> str:
    """The sentence for a full disk: that of the folder, or that of temporary files where it is another, fuller one."""
    folder = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    places = [folder, Path(tempfile.gettempdir())]
    place = min(places, key=_room) if places[0].stat().st_dev != places[1].stat().st_dev else folder
    any_file, free = _room(place)
    full = f"disk full: {free / 1e6:,.0f} MB free at {place}"
    if number == EDQUOT:
        full = f"{os.strerror(EDQUOT)} at {folder}"
    elif not any_file:
        full = f"disk full: room for no further file at {place} (it is out of inodes, {free / 1e6:,.0f} MB are free)"
    return (
        f"{full}; nothing half-written was kept; "
        "free some space or choose another place (--store, --out), then run again to go on"
    )


def _room(folder: Path) -> tuple[bool, int]:
    """Whether the disk of a folder has room for another file, and its free bytes."""
    inodes = os.statvfs(folder) if hasattr(os, "statvfs") else None
    # A file system without a limit tells none.
    return inodes is None or not inodes.f_files or inodes.f_favail > 0, shutil.disk_usage(folder).free
