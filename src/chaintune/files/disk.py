"""Errors of the operating system as `StoreError`, above all a full disk."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from chaintune.errors import ChaintuneError, StoreError


@contextmanager
def os_errors_as_store_error(folder: Path, trouble: str = "") -> Iterator[None]:
    """Raise a full disk as `StoreError`, and with `trouble` every other error of the operating system.

    Args:
        folder: that is written to.
        trouble: what did not work, as the end of a sentence; empty leaves other errors as they are.

    Raises:
        StoreError: in place of the operating system's error.
    """
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise StoreError(_disk_full(folder)) from error
        if trouble and isinstance(error, OSError) and not isinstance(error, ChaintuneError):
            raise StoreError(f"{folder}: {trouble} ({error})") from error
        raise


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, says that the disk or the quota is full."""
    if error is None or isinstance(error, StoreError):
        return False
    if isinstance(error, OSError) and error.errno in {ENOSPC, EDQUOT}:
        return True
    # writers in other languages (safetensors, Arrow) lose the number and keep the words
    return os.strerror(ENOSPC) in str(error) or is_disk_full(error.__cause__ or error.__context__)


def _disk_full(folder: Path) -> str:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free / 1e6
    return (
        f"disk full: {free:,.0f} MB free at {folder}; nothing half-written was kept; "
        "free some space or choose another place (--store, --out), then run again to go on"
    )
