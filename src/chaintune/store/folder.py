"""Content-addressed folders that appear whole or not at all, shared by all studies and processes.

ROOT/<kind>/<key>/manifest.json      written last; an entry without it does not exist
ROOT/<kind>/.locks/<key>.lock        held while an entry is made, rebuilt or dropped
ROOT/<kind>/<key>.<random>.partial   being written, or left by a killed writer
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from chaintune.errors import StoreError
from chaintune.files import atomic
from chaintune.files.disk import os_errors_as_store_error
from chaintune.store.lease import Lease, is_leased
from chaintune.store.manifest import FORMAT, MANIFEST, Entry, damage_of, entry_of, files_of, load_manifest, sealed
from chaintune.store.store import Make, checked_name, default_address, hidden, is_name, is_url

LEASES = "leases"
_SECONDS_OF_SILENCE = 2.0
_log = logging.getLogger(__name__)


class FolderStore:
    """A folder of finished work, kept in order among processes by the file system's locks.

    Attributes:
        root: the folder.
        address: the same, as text.
        shares_leases: always; a lease is a lock in the folder.
    """

    shares_leases: bool = True

    def __init__(self, root: Path | str | None = None) -> None:
        place = default_address() if root is None else root
        if is_url(place):
            raise StoreError(f"{hidden(place)}: is a URL, not a folder; chaintune.store.open_store opens both")
        self.root = Path(place).absolute()
        self.address = str(self.root)
        self._verified: set[tuple[str, str]] = set()
        self._warned: set[str] = set()
        with os_errors_as_store_error(self.root, "the store cannot be opened"):
            self.root.mkdir(parents=True, exist_ok=True)
            self._sweep()

    def has(self, kind: str, key: str) -> bool:
        """Whether a finished entry is there; its bytes are not checked."""
        return (self.folder(kind, key) / MANIFEST).is_file()

    def peek(self, kind: str, key: str) -> Entry | None:
        """The finished entry; None where there is none. Only files that were written to since are read."""
        folder = self.folder(kind, key)
        manifest = load_manifest(folder / MANIFEST)
        return None if damage_of(folder, manifest, deep=False) else entry_of(folder, manifest)

    def get(self, kind: str, key: str) -> Entry | None:
        """The finished entry, its digests checked at the first read of this process; None where there is none.

        A damaged entry counts as none; `get_or_make` rebuilds it.
        """
        with os_errors_as_store_error(self.root, f"entry {kind}/{key} cannot be read"):
            return self._read(kind, key)

    def read(self, kind: str, key: str, name: str) -> bytes | None:
        """One file of a finished entry, without the others; None where there is none."""
        path = self.folder(kind, key) / name
        with os_errors_as_store_error(self.root, f"entry {kind}/{key} cannot be read"):
            return path.read_bytes() if self.has(kind, key) and path.is_file() else None

    def get_or_make(self, kind: str, key: str, make: Make) -> Entry:
        """The finished entry, made now if it is not there, by one of all the processes that ask for it."""
        if entry := self.get(kind, key):
            return entry
        with self._locked(kind, key):
            return self._read(kind, key) or self._make(kind, key, make)

    def is_being_made(self, kind: str, key: str) -> bool:
        """Whether a process makes the entry now."""
        lock = self.folder(kind, key).parent / ".locks" / f"{key}.lock"
        with os_errors_as_store_error(self.root, f"entry {kind}/{key} cannot be read"):
            return lock.exists() and _is_held(lock)

    def damage(self, kind: str, key: str) -> str:
        """The damage of an entry, every byte of it read; empty when it is whole."""
        with os_errors_as_store_error(self.root, f"entry {kind}/{key} cannot be read"):
            folder = self.folder(kind, key)
            return damage_of(folder, load_manifest(folder / MANIFEST), deep=True)

    def kinds(self) -> list[str]:
        """The kinds of entries that are there, sorted."""
        return sorted(
            path.name
            for path in self.root.glob("*")
            if path.name != LEASES and is_name(path.name) and path.is_dir() and not path.is_symlink()
        )

    def keys(self, kind: str) -> list[str]:
        """The keys of a kind, sorted, of damaged entries too."""
        folder = self.root / checked_name(kind, "kind")
        return sorted(path.name for path in folder.glob("*") if is_name(path.name) and path.is_dir())

    @contextmanager
    def lease(self, keys: Iterable[str]) -> Iterator[Lease]:
        """A note to other processes that this one will read the entries of these keys."""
        lease = Lease(self.root / LEASES, keys)
        with os_errors_as_store_error(self.root, "the store cannot be written"), self._leases_still():
            lease.take()
        try:
            yield lease
        finally:
            lease.end()

    def drop(
        self, kind: str, key: str, *, unless_leased: bool = False, spared: Callable[[Entry], bool] | None = None
    ) -> bool:
        """Remove an entry; whether it was there and is gone. `spared` is called with the lock held."""
        with self._locked(kind, key):
            there = self.has(kind, key)
            if spared and (entry := self.peek(kind, key)) and spared(entry):
                return False
            # A lease that is taken while this looks for one would be on an entry that is on its way out.
            with self._leases_still() if unless_leased else nullcontext():
                if unless_leased and self.is_leased(key):
                    return False
                atomic.remove_atomically(self.folder(kind, key))
            self._verified.discard((kind, key))
        return there

    def annotate(self, kind: str, key: str, **info: Any) -> None:
        """Change what is noted about an entry; its files stay as they are."""
        with self._locked(kind, key):
            folder = self.folder(kind, key)
            manifest = load_manifest(folder / MANIFEST)
            if not damage_of(folder, manifest, deep=False):
                manifest["info"] |= info
                atomic.write_json(folder / MANIFEST, sealed(manifest))

    def entries(self, kind: str) -> Iterator[Entry]:
        """Every finished entry of a kind, sorted by key; bytes are not checked."""
        folder = self.root / checked_name(kind, "kind")
        for path in sorted(folder.glob(f"*/{MANIFEST}")):
            if is_name(path.parent.name) and (entry := self.peek(kind, path.parent.name)):
                yield entry

    def is_leased(self, key: str) -> bool:
        """Whether a living process has a lease on a key."""
        return is_leased(self.root / LEASES, key)

    def folder(self, kind: str, key: str) -> Path:
        """The folder of an entry, whether it exists or not."""
        return self.root / checked_name(kind, "kind") / checked_name(key, "key")

    def sweep(self) -> None:
        """Remove the leftovers of killed writers; opening a store does so too."""
        with os_errors_as_store_error(self.root, "the store cannot be written"):
            self._sweep()

    @contextmanager
    def _leases_still(self) -> Iterator[None]:
        """While this lasts, no process of this machine takes a lease."""
        with FileLock(self.root / f".{LEASES}.lock"):
            yield

    @contextmanager
    def _locked(self, kind: str, key: str) -> Iterator[None]:
        folder = self.folder(kind, key)
        lock = FileLock(folder.parent / ".locks" / f"{key}.lock")
        with os_errors_as_store_error(self.root, f"entry {kind}/{key} cannot be written"):
            atomic.own_folder(atomic.own_folder(folder.parent) / ".locks")
            self._acquire(lock, f"{kind}/{key}")
        try:
            _clear_partials(folder)
            yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock, name: str) -> None:
        try:
            lock.acquire(timeout=_SECONDS_OF_SILENCE)
        except Timeout:
            _log.info("another process is working on %s; waiting for it", name)
            lock.acquire()

    def _read(self, kind: str, key: str) -> Entry | None:
        folder = self.folder(kind, key)
        if not (folder / MANIFEST).is_file():
            return None
        manifest = load_manifest(folder / MANIFEST)
        damage = damage_of(folder, manifest, deep=(kind, key) not in self._verified)
        if damage:
            self._warn(f"store entry {folder} is damaged ({damage}); it will be rebuilt")
            return None
        self._verified.add((kind, key))
        return entry_of(folder, manifest)

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            _log.warning(text)

    def _make(self, kind: str, key: str, make: Make) -> Entry:
        folder = self.folder(kind, key)
        partial = atomic.partial_path(folder)
        manifest = {"format": FORMAT, "kind": kind, "key": key, "created_at": _now()}
        try:
            with os_errors_as_store_error(self.root, f"entry {kind}/{key} cannot be written"):
                atomic.remove_atomically(folder)
                partial.mkdir()
            with os_errors_as_store_error(self.root):
                manifest |= {"info": dict(make(partial))}
            with os_errors_as_store_error(self.root, f"entry {kind}/{key} cannot be written"):
                manifest |= {"files": files_of(partial)}
                atomic.write_json(partial / MANIFEST, sealed(manifest), durable=False)  # publish pushes it
                atomic.publish(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._verified.add((kind, key))
        return entry_of(folder, manifest, made=True)

    def _sweep(self) -> None:
        """Remove the leftovers of killed writers: partial folders whose lock is free."""
        for partial in self.root.glob(f"*/*{atomic.PARTIAL}"):
            if partial.parent.is_symlink():
                continue
            key = partial.name.split(".")[0]
            lock = partial.parent / ".locks" / f"{key}.lock"
            try:
                with FileLock(lock, blocking=False):
                    shutil.rmtree(partial, ignore_errors=True)
            except (Timeout, FileNotFoundError):
                continue


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, blocking=False):
            return False
    except Timeout:
        return True


def _clear_partials(folder: Path) -> None:
    """Remove what earlier writers of this entry left. Call with its lock held."""
    for partial in folder.parent.glob(f"{folder.name}.*{atomic.PARTIAL}"):
        shutil.rmtree(partial, ignore_errors=True)
