"""Errors of the operating system, wherever they are hidden, as sentences with its own words."""

import errno
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from chaintune.errors import ModelError, StoreError
from chaintune.files import disk

MEMORY = Path("/dev/shm")  # noqa: S108 - nothing is written there


def behind(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "no room"), errno.ENOSPC),
        (PermissionError(errno.EACCES, "no", "x"), errno.EACCES),
        (RuntimeError("I/O error: Too many open files (os error 24)"), errno.EMFILE),
        (ImportError(f"libx.so: cannot open shared object file: {os.strerror(errno.EMFILE)}"), errno.EMFILE),
        (behind(ModelError("the model cannot be read"), OSError(errno.EIO, "x")), errno.EIO),
        (OSError("a sentence of a library"), None),
        (KeyError("x"), None),
        (None, None),
    ],
)
def test_the_number_of_an_error(error: Exception | None, number: int | None) -> None:
    assert disk.errno_of(error) == number


def test_the_words_name_the_file() -> None:
    assert disk.words_of(PermissionError(errno.EACCES, "x", "/a/b")) == "Permission denied: /a/b"
    assert disk.words_of(RuntimeError("Too many open files (os error 24)")) == "Too many open files (os error 24)"
    assert disk.words_of(behind(OSError("no model"), OSError(errno.EIO, "x"))) == "no model (Input/output error)"
    assert disk.words_of(OSError("a sentence\nof a library")) == "a sentence of a library"


def fails(folder: Path, number: int) -> str:
    with pytest.raises(StoreError) as caught, disk.os_errors_as_store_error(folder, "the report cannot be written"):
        raise OSError(number, os.strerror(number), str(folder / "x"))
    return str(caught.value)


def test_each_error_has_its_own_words(tmp_path: Path) -> None:
    assert fails(tmp_path, errno.EROFS).startswith(f"{tmp_path}: the report cannot be written (Read-only file system: ")
    assert fails(tmp_path, errno.ENAMETOOLONG).startswith(f"{tmp_path}: the report cannot be written (File name too lo")
    assert fails(tmp_path, errno.EDQUOT).startswith(f"Disk quota exceeded at {tmp_path}; nothing half-written was kept")


def test_a_disk_without_room_for_a_further_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=52_000_000))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=100, f_favail=0))
    words = f"disk full: room for no further file at {tmp_path} (it is out of inodes, 52 MB are free); nothing"
    assert fails(tmp_path, errno.ENOSPC).startswith(words)


@pytest.mark.skipif(not MEMORY.is_dir(), reason="this system has no second disk that is always there")
def test_where_the_disk_of_temporary_files_is_the_full_one_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(MEMORY))
    free = {tmp_path: 9_000_000_000, MEMORY: 1_000_000}
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=free[place]))
    assert fails(tmp_path, errno.ENOSPC).startswith(f"disk full: 1 MB free at {MEMORY}; nothing")
