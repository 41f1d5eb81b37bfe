"""A store behind a URL: entries in an object store, copies of them in a folder of this machine."""

from chaintune.study.remote.store import RemoteStore

__all__ = ["RemoteStore"]
