"""Objects below a URL, by way of obstore, whose own settings say how long a service that is silent is waited for."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotSupportedError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from chaintune.errors import ConfigError, StoreError, nearest
from chaintune.store.store import credentials_of, hidden

VARIABLE = "CHAINTUNE_STORE_PATIENCE"
USUAL_SECONDS = 120.0
SCHEMES = ("abfs", "abfss", "adl", "az", "azure", "file", "gs", "memory", "s3", "s3a")

_READ_BYTES = 64 * 2**20  # each is a request with retries of its own, so a long download may meet many outages
_PART_BYTES, _PARTS = 5 * 2**20, 9000  # S3 takes 10,000 parts
_AT_ONCE = 4
_QUERY = re.compile(r"(?<=[^\s?])\?[^\s\"')]*=[^\s\"')]*")
T = TypeVar("T")


class Bucket:
    """Reads and writes objects.

    Attributes:
        address: the URL.
    """

    def __init__(self, store: ObjectStore, address: str) -> None:
        self._store, self.address = store, address

    def read(self, name: str) -> bytes | None:
        """The content of an object; None where there is none."""
        with suppress(FileNotFoundError):
            return self._ask(lambda: bytes(obstore.get(self._store, name).bytes()), "read")
        return None

    def size(self, name: str) -> int | None:
        """Bytes of an object; None where there is none."""
        with suppress(FileNotFoundError):
            return self._ask(lambda: int(obstore.head(self._store, name)["size"]), "read")
        return None

    def chunks(self, name: str, size: int) -> Iterator[bytes]:
        """The first `size` bytes of an object, a part at a time; fewer where it is shorter.

        Raises:
            FileNotFoundError: there is none.
        """
        for start in range(0, size, _READ_BYTES):
            end = min(start + _READ_BYTES, size)
            try:
                part = self._ask(partial(self._range, name, start, end), "read")
            except StoreError:
                there = self.size(name)
                if there is None or there > start:
                    raise
                return  # services refuse a range behind the end
            yield part
            if len(part) < end - start:
                return

    def write(self, name: str, content: bytes) -> None:
        """Write an object, in place of one that is there."""
        self._put(name, content)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object if there is none; whether what is there now is this content.

        Where the service knows no such condition the last of several writers wins.
        """
        try:
            self._put(name, content, mode="create")
        except AlreadyExistsError:  # perhaps by the same request, whose answer was lost
            return self.read(name) == content
        except (NotSupportedError, NotImplementedError):
            self._put(name, content)
        return True

    def upload(self, path: Path, name: str) -> None:
        """Copy a file of this machine to an object."""
        part = max(_PART_BYTES, path.stat().st_size // _PARTS)
        self._put(name, path, chunk_size=part, max_concurrency=_AT_ONCE)

    def folders(self) -> list[str]:
        """First parts of the names of all objects that have several, sorted."""
        return sorted(self._ask(lambda: obstore.list_with_delimiter(self._store)["common_prefixes"], "listed"))

    def objects(self, below: str) -> dict[str, tuple[int, datetime]]:
        """Name -> bytes and moment of writing of every object below a name."""

        def work() -> dict[str, tuple[int, datetime]]:
            pages = obstore.list(self._store, prefix=below)
            return {item["path"]: (item["size"], item["last_modified"]) for page in pages for item in page}

        return self._ask(work, "listed")

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, those that are there."""
        batch = list(names)
        try:
            if batch:
                self._ask(lambda: obstore.delete(self._store, batch), "written")
        except FileNotFoundError:  # a folder stops at the first that is gone already
            for name in batch:
                with suppress(FileNotFoundError):
                    self._ask(partial(obstore.delete, self._store, name), "written")

    def _range(self, name: str, start: int, end: int) -> bytes:
        return bytes(obstore.get(self._store, name, options={"range": (start, end)}).bytes())

    def _put(self, name: str, content: bytes | Path, **how: Any) -> None:
        try:
            self._ask(lambda: obstore.put(self._store, name, content, **how), "written")
        except FileNotFoundError as error:
            raise StoreError(f"{self.address}: the store cannot be written; {_sentence(error)}") from error

    def _ask(self, work: Callable[[], T], verb: str) -> T:
        """The result of a call of the library; what it raises is a `StoreError`, but for what callers tell apart."""
        try:
            return _interruptible(work)
        except (FileNotFoundError, AlreadyExistsError, NotSupportedError, NotImplementedError):
            raise
        except (BaseError, ValueError, OSError) as error:
            raise StoreError(
                f"{self.address}: the store cannot be {verb} ({_sentence(error)}); what is finished is kept: "
                f"run again when the store answers, or wait longer with {VARIABLE}"
            ) from error


def connect(url: str) -> Bucket:
    """The bucket at a URL. Credentials come from where obstore looks for them.

    Raises:
        ConfigError: `CHAINTUNE_STORE_PATIENCE` is no number.
        StoreError: the URL is invalid.
    """
    address, scheme, seconds = url.rstrip("/"), url.partition("://")[0], patience_seconds()
    _check(url, scheme)
    credentials = _credentials(scheme)
    if scheme == "memory":
        return Bucket(_memory(address), address)
    try:
        if scheme == "file":
            return Bucket(LocalStore(_path(address), mkdir=True, automatic_cleanup=True), address)
        store = from_url(
            address,
            client_options={"allow_http": True, "connect_timeout": "5s", "read_timeout": "30s", "timeout": "1h"},
            retry_config={
                "max_retries": 1_000_000,
                "retry_timeout": timedelta(seconds=seconds),
                "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
            },
            **credentials,
        )
    except (BaseError, ValueError, OSError) as error:
        raise StoreError(f"{address}: the store cannot be opened ({_sentence(error)})") from error
    return Bucket(store, address)


def patience_seconds() -> float:
    """`CHAINTUNE_STORE_PATIENCE`, else two minutes.

    Raises:
        ConfigError: it is no number of seconds.
    """
    text = os.environ.get(VARIABLE) or str(USUAL_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigError(f"{VARIABLE}: expected seconds, 0 or more, got {text!r}")
    return seconds


@cache
def _memory(_address: str) -> MemoryStore:
    """One store an address, for as long as this process lives."""
    return MemoryStore()


def _path(address: str) -> str:
    """The folder that a `file://` address names."""
    path = address.removeprefix("file://")
    if not path.startswith("/"):
        raise ValueError("expected file:// and an absolute path, as in file:///mnt/forgetting")
    return path.lstrip("/") if os.name == "nt" else path


def _credentials(scheme: str) -> dict[str, Any]:
    """A provider for a profile of AWS, which obstore by itself does not read."""
    if scheme not in {"s3", "s3a"} or not os.environ.get("AWS_PROFILE"):
        return {}
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise StoreError(
            "AWS_PROFILE: reading a profile needs a package that is not installed: pip install boto3"
        ) from error
    return {"credential_provider": Boto3CredentialProvider()}


def _check(url: str, scheme: str) -> None:
    shown = hidden(url)
    if credentials_of(url):
        raise StoreError(f"{shown}: an address is logged, so it must hold no credentials; use the environment")
    if "::" in url:
        raise StoreError(f"{shown}: expected one protocol, not a chain of them")
    if scheme not in SCHEMES:
        raise StoreError(f"{shown}: protocol '{scheme}' is not known; {nearest(scheme, SCHEMES)}")
    if set("?#") & set(url) or ".." in url.split("/"):
        raise StoreError(f"{shown}: expected protocol://place/prefix, without '..', '?' and '#'")
    if not url.partition("://")[2].strip("/"):
        raise StoreError(f"{shown}: names no place, such as a bucket or a folder")


def _interruptible(work: Callable[[], T]) -> T:
    """The result of a call that would not notice Ctrl-C and may wait for minutes."""
    if current_thread() is not main_thread():
        return work()
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            answer.set_exception(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)  # without a limit, a signal that another thread receives would be heard at the end only
    return answer.result()


def _sentence(error: BaseException) -> str:
    """The message of an error, without the source that the library prints behind it, and without signed queries."""
    text = " ".join(str(error).partition("\n\nDebug source")[0].split())
    return _QUERY.sub("", text) or type(error).__name__
