"""Objects under one prefix of a file system that fsspec knows; no name leaves the prefix."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from uuid import uuid4

from chaintune.errors import StoreError
from chaintune.files.disk import is_disk_full
from chaintune.store.manifest import is_plain
from chaintune.store.remote.patience import Patience

# There a folder is part of a name. Making one could make a bucket, which is for its owner to do.
FOLDERLESS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "r2"})
_CHUNK_BYTES = 4 * 2**20
T = TypeVar("T")


class Bucket:
    """Reads and writes objects, and waits while the store does not answer.

    Attributes:
        address: the URL.
        patience: how long.
    """

    def __init__(self, system: Any, root: str, *, address: str, patience: Patience) -> None:
        self._system, self._root = system, root.rstrip("/")
        self.address, self.patience = address, patience
        self._clock_ahead: float | None = None

    def hurried(self, seconds: float) -> "Bucket":
        """The same objects, with less patience."""
        patience = Patience(self.address, min(seconds, self.patience.seconds))
        return type(self)(self._system, self._root, address=self.address, patience=patience)

    def read(self, name: str) -> bytes | None:
        """The content of an object; None where there is none."""
        return self._or_none(lambda: bytes(self._system.cat_file(self._path(name))), "cannot be read")

    def size(self, name: str) -> int | None:
        """Bytes of an object; None where there is none."""
        found = self._or_none(lambda: self._system.info(self._path(name)), "cannot be read")
        return int(found["size"]) if found and found["type"] == "file" else None

    def digest(self, name: str) -> str | None:
        """SHA-256 of an object, read in parts; None where there is none."""

        def work() -> str:
            found = hashlib.sha256()
            with self._system.open(self._path(name), "rb") as stream:
                while part := stream.read(_CHUNK_BYTES):
                    found.update(part)
            return found.hexdigest()

        return self._or_none(work, "cannot be read")

    def write(self, name: str, content: bytes) -> None:
        """Write an object, in place of one that is there."""
        self._try(lambda: self._write(self._path(name), content), "cannot be written")

    def create(self, name: str, content: bytes) -> bool:
        """Write an object if there is none; whether this call wrote it.

        Two callers at once can both be told that they did where the file system cannot refuse.
        """
        try:
            self._try(lambda: self._create(self._path(name), content), "cannot be written")
        except FileExistsError:
            # An answer that got lost makes the second attempt meet what the first one wrote.
            return self.read(name) == content
        return True

    def upload(self, path: Path, name: str) -> None:
        """Copy a file of this machine to an object."""

        def work() -> None:
            self._put(path, self._path(name))
            if (arrived := self._system.info(self._path(name))["size"]) != path.stat().st_size:
                raise ConnectionError(f"{arrived} of {path.stat().st_size} bytes arrived")

        self._try(work, "cannot be written")

    def download(self, name: str, path: Path) -> bool:
        """Copy an object to a file of this machine; whether there was one."""
        path.parent.mkdir(parents=True, exist_ok=True)

        def work() -> bool:
            self._system.get_file(self._path(name), str(path))
            return path.is_file()

        try:
            return bool(self._or_none(work, "cannot be read"))
        except StoreError as error:
            if is_disk_full(error.__cause__) and error.__cause__:  # this machine's disk, of which others tell better
                raise error.__cause__ from None
            raise

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        self._or_none(lambda: self._system.rm_file(self._path(name)), "cannot be written")

    def folders(self, name: str = "") -> list[str]:
        """Last names of what lies one level below and has something below itself, sorted."""
        return sorted(self._last(found["name"]) for found in self._listed(name) if found["type"] == "directory")

    def objects(self, name: str) -> Iterator[str]:
        """Names of all objects below a name, at any depth."""
        for found in self._listed(name):
            below = f"{name}/{self._last(found['name'])}"
            if found["type"] == "directory":
                yield from self.objects(below)
            else:
                yield below

    def remove_all(self, name: str) -> None:
        """Remove everything below a name."""
        for below in list(self.objects(name)):
            self.remove(below)

    def age_seconds(self, name: str) -> float | None:
        """Seconds since an object was written, both moments told by the store's own clock; None if it cannot tell."""
        written = self._written_at(name)
        if written is None:
            return None
        if self._clock_ahead is None:
            self._clock_ahead = self._measured_clock()
        return max(0.0, time.time() + self._clock_ahead - written)

    def _measured_clock(self) -> float:
        """How far the store's clock is ahead of this machine's."""
        probe = f".clock/{uuid4().hex}"
        self.write(probe, b"{}")
        written = self._written_at(probe)
        self.remove(probe)
        return written - time.time() if written is not None else 0.0

    def _written_at(self, name: str) -> float | None:
        def work() -> float | None:
            try:
                found = self._system.modified(self._path(name))
            except NotImplementedError:
                return None
            aware = found if found.tzinfo else found.replace(tzinfo=UTC)
            return float(aware.timestamp())

        return self._or_none(work, "cannot be read")

    def _path(self, name: str) -> str:
        if name and not is_plain(name):
            raise StoreError(f"{self.address}: {name!r} is not a name below the store's own")
        return f"{self._root}/{name}" if name else self._root

    def _listed(self, name: str) -> list[dict[str, Any]]:
        path = self._path(name)
        found = self._or_none(lambda: self._system.ls(path, detail=True), "cannot be listed") or []
        # Object stores may name the folder itself among its members.
        return [one for one in found if one["name"].strip("/") != path.strip("/")]

    def _last(self, path: str) -> str:
        return PurePosixPath(path).name

    def _write(self, path: str, content: bytes, **how: str) -> None:
        try:
            self._system.pipe_file(path, content, **how)
        except FileNotFoundError:
            if FOLDERLESS & _protocols(self._system):
                raise
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(path, content, **how)

    def _create(self, path: str, content: bytes) -> None:
        try:
            self._write(path, content, mode="create")
        except OSError as error:
            if isinstance(error, FileNotFoundError | FileExistsError) or not self._system.exists(path):
                raise
            # Some servers refuse with an error that has another name.
            raise FileExistsError(path) from error
        except TypeError as error:  # a file system that knows no such way of writing
            if self._system.exists(path):
                raise FileExistsError(path) from error
            self._write(path, content)

    def _put(self, path: Path, remote: str) -> None:
        self._system.put_file(str(path), remote)

    def _try(self, work: Callable[[], T], trouble: str) -> T:
        try:
            return self.patience.wait_out(work, f"the store {trouble}")
        except FileNotFoundError as error:
            raise StoreError(f"{self.address}: the store {trouble}; {error} is not there") from error

    def _or_none(self, work: Callable[[], T], trouble: str) -> T | None:
        with suppress(FileNotFoundError):
            return self.patience.wait_out(work, f"the store {trouble}")
        return None


def _protocols(system: Any) -> set[str]:
    names = system.protocol
    return {names} if isinstance(names, str) else set(names)
