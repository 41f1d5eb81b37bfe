"""Objects that say "I am at it": claims on entries in the making, leases on entries still to be read.

A holder writes its object anew every few seconds. One that was not written for a minute counts for nothing,
so the death of a process or of a machine blocks nobody for longer.
"""

import json
import logging
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import Any
from uuid import uuid4

from chaintune.errors import StoreError
from chaintune.store.remote.bucket import Bucket

BEAT_SECONDS = 15.0
EXPIRY_SECONDS = 60.0
HURRY_SECONDS = 2.0  # who leaves does not wait long for a store that is silent

_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.2, 5.0
_SECONDS_OF_SILENCE = 2.0
_log = logging.getLogger(__name__)


class Pulse:
    """Writes what this process holds again and again, in a thread that lives while there is something to write."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket.hurried(0)
        self._held: dict[str, Callable[[], bytes]] = {}
        self._lock, self._change = Lock(), Event()

    def start(self, name: str, content: Callable[[], bytes]) -> None:
        """Keep an object fresh."""
        with self._lock:
            if not self._held:
                self._change = Event()
                self._thread().start()
            self._held[name] = content

    def stop(self, name: str) -> None:
        """Leave an object alone; when this returns no write of it is under way."""
        with self._lock:
            self._held.pop(name, None)
            if not self._held:
                self._change.set()

    def _thread(self) -> Thread:
        return Thread(target=self._beat, args=(self._change,), name="chaintune-store-pulse", daemon=True)

    def _beat(self, ended: Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            for name in list(self._held):
                with self._lock:
                    if content := self._held.get(name):
                        self._write(name, content)

    def _write(self, name: str, content: Callable[[], bytes]) -> None:
        try:
            with suppress(StoreError):  # the next beat may get through, and an outage hits all alike
                self._bucket.write(name, content())
        except Exception:  # noqa: BLE001 - a pulse that ends would give away everything that is held
            _log.warning("%s could not be written; the next beat tries again", name, exc_info=True)


class Claims:
    """The right to make, rebuild or drop an entry, held by one process at a time as far as the store can tell.

    What is read never depends on it: two holders make the same entry twice, and its manifest decides.
    """

    def __init__(self, bucket: Bucket, pulse: Pulse, cache_id: str) -> None:
        self._bucket, self._pulse, self._cache_id = bucket, pulse, cache_id

    @contextmanager
    def held(self, kind: str, key: str) -> Iterator[None]:
        """Wait for the claim on an entry, and hold it. Call with this machine's lock on the entry held."""
        name = f".claims/{kind}/{key}.json"
        owner = uuid4().hex

        def content() -> bytes:
            return told(owner=owner, cache=self._cache_id)

        self._take(name, content(), f"{kind}/{key}")
        self._pulse.start(name, content)
        try:
            yield
        finally:
            self._pulse.stop(name)
            with suppress(StoreError):  # it expires
                self._release(name, owner)

    def _take(self, name: str, content: bytes, entry: str) -> None:
        started, look, said = time.monotonic(), _FIRST_LOOK_SECONDS, False
        while not self._bucket.create(name, content):
            if not self._is_void(name) and not said and time.monotonic() - started > _SECONDS_OF_SILENCE:
                said = True
                _log.info("another machine is working on %s; waiting for it", entry)
            time.sleep(look)
            look = min(1.5 * look, _LONGEST_LOOK_SECONDS)

    def _is_void(self, name: str) -> bool:
        """Whether nobody holds a claim any more; what a dead holder left is removed."""
        content = self._bucket.read(name)
        if content is None:
            return True
        if not self._is_of_the_dead(name, content):
            return False
        if self._bucket.read(name) == content:
            self._bucket.remove(name)
        return True

    def _is_of_the_dead(self, name: str, content: bytes) -> bool:
        # Who shares this cache shares the lock that we hold, so that holder is gone.
        return read_told(content).get("cache") == self._cache_id or is_expired(self._bucket, name, content)

    def _release(self, name: str, owner: str) -> None:
        hurried = self._bucket.hurried(HURRY_SECONDS)
        if read_told(hurried.read(name) or b"").get("owner") == owner:
            hurried.remove(name)


def told(**facts: Any) -> bytes:
    """The content of a claim or lease: JSON, with the host's name and the time for those who look."""
    return json.dumps(facts | {"host": platform.node(), "at": time.time()}).encode()


def read_told(content: bytes) -> dict[str, Any]:
    """What a claim or lease says; empty where it is no JSON object."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_expired(bucket: Bucket, name: str, content: bytes) -> bool:
    """Whether a claim or lease was not written for so long that its holder must be dead."""
    age = bucket.age_seconds(name)
    if age is None:  # no clock but the holder's
        at = read_told(content).get("at")
        age = time.time() - at if isinstance(at, int | float) else EXPIRY_SECONDS + 1
    return age > EXPIRY_SECONDS
