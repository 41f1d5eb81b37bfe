"""Opens the store at an address: a folder, or a URL."""

import re
from pathlib import Path

from chaintune.errors import StoreError
from chaintune.store.folder import FolderStore
from chaintune.store.store import Store, default_address, hidden, is_url

_BROKEN_URL = re.compile(r"[a-z0-9][a-z0-9+.-]+:/[^/]", re.IGNORECASE)


def open_store(address: Store | Path | str | None = None) -> Store:
    """The store at an address; every process that opens the same address shares it. A store is returned as it is.

    Args:
        address: a folder, or a URL (`s3://bucket/prefix`, `gs://`, `az://`, `file://`); None is `CHAINTUNE_STORE`,
            else `.chaintune` in the current folder.

    Raises:
        StoreError: it cannot be opened.
    """
    if address is not None and not isinstance(address, Path | str):
        if not hasattr(address, "get_or_make"):
            raise StoreError(f"store {address!r}: expected a folder, a URL, or an open store")
        return address
    place = default_address() if address is None else address
    if "\0" in str(place):
        raise StoreError(f"store {str(place)!r}: no folder can have this name")
    if is_url(place):
        from chaintune.store.remote import RemoteStore  # loads obstore

        return RemoteStore(str(place))
    if isinstance(place, Path) and _BROKEN_URL.match(place.as_posix()):
        raise StoreError(f"{hidden(place)}: a URL as a Path has lost a slash; pass it as text")
    return FolderStore(place)
