"""Leases that other machines see: the keys that a living process will still read."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from chaintune.errors import StoreError
from chaintune.store.lease import Lease
from chaintune.store.remote.bucket import Bucket
from chaintune.store.remote.claim import HURRY_SECONDS, Pulse, is_expired, read_told, told

FOLDER = ".leases"


class RemoteLease(Lease):
    """A lease on entries of a bucket and on their copies in this machine's cache."""

    def __init__(self, folder: Path, keys: Iterable[str], *, bucket: Bucket, pulse: Pulse, cache_id: str) -> None:
        super().__init__(folder, keys)
        self._bucket, self._pulse, self._cache_id = bucket, pulse, cache_id
        self._name = f"{FOLDER}/{self._path.name}"

    def take(self) -> None:
        """Let other processes know, on this machine and elsewhere."""
        super().take()
        self._pulse.start(self._name, self._content)

    def end(self) -> None:
        """Nothing is needed any more."""
        self._pulse.stop(self._name)
        with suppress(StoreError):  # it expires
            self._bucket.hurried(HURRY_SECONDS).remove(self._name)
        super().end()

    def _write(self) -> None:
        super()._write()
        self._bucket.write(self._name, self._content())

    def _content(self) -> bytes:
        return told(cache=self._cache_id, keys=sorted(self._keys))


def is_leased(bucket: Bucket, key: str, *, local: Path, cache_id: str) -> bool:
    """Whether a living process anywhere has a lease on a key.

    Args:
        bucket: of the leases.
        key: of an entry.
        local: folder of this machine's leases, whose locks tell at once who lives.
        cache_id: of this machine's cache.
    """
    # What another process is still writing has another ending.
    for name in [name for name in bucket.objects(FOLDER) if name.endswith(".json")]:
        content = bucket.read(name)
        facts = read_told(content) if content else {}
        keys = facts.get("keys")
        if content is None or not isinstance(keys, list) or key not in keys:
            continue
        here = facts.get("cache") == cache_id
        lock = (local / Path(name).name).with_suffix(".lock")
        if _is_held(lock) if here else not is_expired(bucket, name, content):
            return True
        bucket.remove(name)
    return False


def _is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with FileLock(lock, blocking=False):
            return False
    except Timeout:
        return True
