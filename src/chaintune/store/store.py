"""The interface of every store of finished work, and the rules for addresses and names."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from chaintune.errors import StoreError
from chaintune.store.lease import Lease
from chaintune.store.manifest import Entry

__all__ = [
    "Entry",
    "Lease",
    "Make",
    "Store",
    "checked_name",
    "credentials_of",
    "default_address",
    "hidden",
    "is_damaged",
    "is_name",
    "is_url",
]

Make = Callable[[Path], Mapping[str, Any]]

_URL = re.compile(r"[a-z0-9][a-z0-9+.:-]+://", re.IGNORECASE)  # one letter is a drive
_SCHEME = re.compile(r"[a-z0-9][a-z0-9+.:-]+:/", re.IGNORECASE)  # also where a path has lost a slash
_NAME = re.compile(r"[0-9a-z][0-9a-z_-]{0,127}")


class Store(Protocol):
    """Finished work, addressed by what determines it. Safe for several processes at once.

    `open_store` opens one in a folder or behind a URL.

    Attributes:
        root: the folder of this machine in which entries are made.
        address: what `open_store` opens this store by, in another process too.
        shares_leases: whether every process that uses the store sees a lease, and not those of this machine alone.
    """

    root: Path
    address: str
    shares_leases: bool

    def has(self, kind: str, key: str) -> bool:
        """Whether a finished entry is there; its bytes are not checked."""

    def peek(self, kind: str, key: str) -> Entry | None:
        """The finished entry; None where there is none. Sizes are checked, bytes only where they may have changed."""

    def get(self, kind: str, key: str) -> Entry | None:
        """The finished entry on this machine, its digests checked at the first read of this process, or None.

        A damaged entry counts as none; `get_or_make` rebuilds it.
        """

    def read(self, kind: str, key: str, name: str) -> bytes | None:
        """One file of a finished entry, without the others; None where there is none."""

    def get_or_make(self, kind: str, key: str, make: Make) -> Entry:
        """The finished entry, made now if it is not there.

        Of several processes of one machine that ask for the same entry one makes it, the others wait and reuse.

        Args:
            kind: a short word, `stage` or `score`.
            key: digest of everything that determines the content.
            make: writes files into the folder it is given and returns what to note about them.

        Raises:
            StoreError: the disk is full or the store cannot be written; nothing half-written stays.
        """

    def is_being_made(self, kind: str, key: str) -> bool:
        """Whether a process of this machine makes the entry now; of a folder that machines share, any process."""

    def damage(self, kind: str, key: str) -> str:
        """The damage of an entry, every byte of it read; empty when it is whole."""

    def kinds(self) -> list[str]:
        """The kinds of entries that are there, sorted."""

    def keys(self, kind: str) -> list[str]:
        """The keys of a kind, sorted, of damaged entries too."""

    def entries(self, kind: str) -> Iterator[Entry]:
        """Every finished entry of a kind, sorted by key; bytes are not checked."""

    def lease(self, keys: Iterable[str]) -> AbstractContextManager[Lease]:
        """A note to other processes that this one will read the entries of these keys."""

    def drop(
        self, kind: str, key: str, *, unless_leased: bool = False, spared: Callable[[Entry], bool] | None = None
    ) -> bool:
        """Remove an entry; whether it was there and is gone.

        Args:
            kind: of the entry.
            key: of the entry.
            unless_leased: leave it when a living process has a lease on it.
            spared: whether to leave an undamaged entry.
        """

    def annotate(self, kind: str, key: str, **info: Any) -> None:
        """Change what is noted about an entry; its files stay as they are."""

    def sweep(self) -> None:
        """Remove the leftovers of killed writers."""


def is_damaged(store: Store, kind: str, key: str) -> bool:
    """Whether an entry is there whose files changed since it was made, as far as sizes and times tell."""
    return store.has(kind, key) and store.peek(kind, key) is None


def default_address() -> str:
    """`CHAINTUNE_STORE`, else `.chaintune` in the current folder."""
    return os.environ.get("CHAINTUNE_STORE") or ".chaintune"


def is_url(address: Path | str) -> bool:
    """Whether an address names something else than a folder that this machine sees."""
    return isinstance(address, str) and bool(_URL.match(address))


def credentials_of(address: str) -> str:
    """The user and password at the beginning of an address, up to the `@`; empty where it has none."""
    scheme, _, rest = address.partition(":")
    user, at, _ = rest.lstrip("/").rpartition("@")
    # Of a folder `@` is part of its name, and of abfss the container stands before it.
    is_user = scheme not in {"file", "memory"} and (":" in user or ("/" not in user and scheme != "abfss"))
    return user + at if is_user else ""


def hidden(address: Path | str) -> str:
    """An address as a message may show it: without credentials, query and fragment, which may be secrets."""
    text = str(address)
    return re.split(r"[?#]", text.replace(credentials_of(text), "", 1))[0] if _SCHEME.match(text) else text


def is_name(name: str) -> bool:
    """Whether something can be the name of a kind or a key: such a name cannot leave its folder."""
    return bool(_NAME.fullmatch(name))


def checked_name(name: str, what: str) -> str:
    """A name of a kind or a key.

    Raises:
        StoreError: it is none.
    """
    if not is_name(name):
        raise StoreError(f"store: {what} {name!r} is not made of lower-case letters, digits, '-' and '_'")
    return name
