"""What is done already: finished work, addressed by what determines it."""

from chaintune.store.address import open_store
from chaintune.store.store import Store

__all__ = ["Store", "open_store"]
