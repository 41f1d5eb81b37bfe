"""A store behind a URL: entries in an object store, copies of them in a folder of this machine."""

from chaintune.store.remote.store import RemoteStore

__all__ = ["RemoteStore"]
