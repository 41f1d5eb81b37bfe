"""Notes that living processes leave in a store: which entries each of them will still read.

A lease is a list of keys beside a lock that its process holds. A process that ends, in whatever way,
lets go of the lock, and its lease counts for nothing.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from chaintune.files import atomic


class Lease:
    """The keys that this process still needs, from `take` to `end`."""

    def __init__(self, folder: Path, keys: Iterable[str]) -> None:
        self._path = folder / f"{uuid4().hex}.json"
        self._lock = FileLock(self._path.with_suffix(".lock"))
        self._keys = set(keys)

    def take(self) -> None:
        """Let other processes know."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        self._write()

    def give_back(self, key: str) -> None:
        """This process has read the entry for the last time."""
        if key in self._keys:
            self._keys.discard(key)
            with suppress(OSError):  # on a full disk the old list stands, which only keeps more
                self._write()

    def end(self) -> None:
        """Nothing is needed any more."""
        _remove(self._path)
        self._lock.release()

    def _write(self) -> None:
        atomic.write_json(self._path, sorted(self._keys), durable=False)


def is_leased(folder: Path, key: str) -> bool:
    """Whether a living process has a lease on the key. Leases of dead ones are removed on the way."""
    return any(_names(path, key) and _is_held(path) for path in folder.glob("*.json"))


def _names(path: Path, key: str) -> bool:
    """Whether a lease is on a key; one that was damaged is on every key."""
    try:
        return key in json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except (ValueError, TypeError, RecursionError):
        return True


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path.with_suffix(".lock"), blocking=False):
            _remove(path)
    except Timeout:
        return True
    return False


def _remove(path: Path) -> None:
    for leftover in (path, path.with_suffix(".lock")):
        with suppress(FileNotFoundError):
            leftover.unlink()
