"""From a URL to a bucket, by way of fsspec."""

from urllib.parse import urlsplit

import fsspec
from fsspec.registry import known_implementations, registry

from chaintune.errors import StoreError, nearest
from chaintune.store.remote.bucket import Bucket
from chaintune.store.remote.mount import Mount
from chaintune.store.remote.patience import Patience, asked_seconds


def connect(url: str) -> Bucket:
    """The bucket at a URL. Credentials come from where the protocol's package looks for them.

    Raises:
        ConfigError: `CHAINTUNE_STORE_PATIENCE` is no number.
        StoreError: the URL cannot be meant, or its protocol's package is not installed.
    """
    address = url.rstrip("/")
    protocol = url.partition("://")[0]
    _check(url, protocol)
    try:
        # A listing that is remembered would hide what other processes do.
        system, root = fsspec.core.url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        raise StoreError(
            f"{protocol}:// needs a package that is not installed: pip install {_package(protocol)}"
        ) from error
    except (ValueError, TypeError, OSError) as error:
        raise StoreError(f"{address}: the store cannot be opened ({error})") from error
    kind = Mount if protocol in {"file", "local"} else Bucket
    return kind(system, root, address=address, patience=Patience(address, asked_seconds()))


def _check(url: str, protocol: str) -> None:
    if "::" in url:
        raise StoreError(f"{url}: a store lies behind one protocol, not behind a chain of them")
    if protocol not in (known := {*known_implementations, *registry}):
        raise StoreError(f"{url}: protocol '{protocol}' is not known; {nearest(protocol, known)}")
    parts = urlsplit(url)
    if parts.username or parts.password:
        hidden = f"{protocol}://{parts.hostname or ''}{parts.path}"
        raise StoreError(f"{hidden}: credentials do not belong into an address, which is logged; use the environment")
    if parts.query or parts.fragment or ".." in parts.path.split("/"):
        raise StoreError(f"{url}: expected protocol://place/prefix, without '..', '?' and '#'")
    if not (parts.netloc + parts.path).strip("/"):
        raise StoreError(f"{url}: names no place, such as a bucket or a folder")


def _package(protocol: str) -> str:
    return str(known_implementations[protocol]["class"]).partition(".")[0]
