"""Files and folders that appear whole or not at all, also after a power cut; no link leads them elsewhere."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from chaintune.errors import StoreError

PARTIAL = ".partial"
_LEFT = re.compile(r".+\.[0-9a-f]{12}\.partial")
_SECONDS_UNTIL_STALE = 3600


def partial_path(path: Path) -> Path:
    """A name beside `path` for what is still being written; nobody can foresee it."""
    return path.with_name(f"{path.name}.{uuid4().hex[:12]}{PARTIAL}")


def own_folder(folder: Path) -> Path:
    """A folder inside one of ours, made where it is missing.

    Raises:
        StoreError: a link stands in its place, which would have other files than ours overwritten.
    """
    if folder.is_symlink():
        raise StoreError(f"{folder}: is a link, and nothing is written through links; remove it, then run again")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fresh_folder(folder: Path) -> None:
    """Make an empty folder in place of whatever is there; where that is a link, what it leads to stays as it is."""
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def clear_leftovers(folder: Path) -> None:
    """Remove what writers that were killed an hour ago, or earlier, left in a folder and those directly below it."""
    for path in [*folder.glob(f"*{PARTIAL}"), *folder.glob(f"*/*{PARTIAL}")]:
        with suppress(OSError):
            if _LEFT.fullmatch(path.name) and time.time() - path.lstat().st_mtime > _SECONDS_UNTIL_STALE:
                path.unlink()


def sync_file(path: Path) -> None:
    """Push a file's bytes, or a folder's names, to the disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder, and journals its names
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Push everything under a folder to the disk, the folder's own names last."""
    for path in sorted(folder.rglob("*"), reverse=True):
        sync_file(path)
    sync_file(folder)


@contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary file to write to; it takes the place of `path` when the block ends without an error.

    Of a link that stands at `path` the link is replaced, not what it leads to.

    Args:
        path: of the file.
        durable: whether it must survive a power cut; a journal that is written every second need not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))  # never one that is there, or a link
        yield partial
        if durable:
            sync_file(partial)
        partial.replace(path)
        if durable:
            sync_file(path.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """A temporary folder to write to; its files take their places in `folder` when the block ends without an error.

    A folder that was not there appears whole. In one that was, other files stay.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(folder)
    partial.mkdir()
    try:
        yield partial
        if folder.exists():
            for path in [path for path in sorted(partial.rglob("*")) if path.is_file()]:
                target = folder / path.relative_to(partial)
                for inner in reversed(target.relative_to(folder).parents[:-1]):
                    own_folder(folder / inner)
                path.replace(target)
        else:
            publish(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    with atomic_write(path, durable=durable) as partial:
        partial.write_bytes(content)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write JSON with sorted keys, whole or not at all.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON has no word for.
    """
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode(), durable=durable)


def publish(partial: Path, final: Path) -> None:
    """Rename a finished folder to its final name, which must not exist."""
    sync_tree(partial)
    partial.rename(final)
    sync_file(final.parent)


def remove_atomically(folder: Path) -> None:
    """Remove a folder: its name first and at once, its bytes then. A kill between leaves a `.partial` folder."""
    doomed = partial_path(folder)
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    sync_file(folder.parent)
    shutil.rmtree(doomed, ignore_errors=True)
