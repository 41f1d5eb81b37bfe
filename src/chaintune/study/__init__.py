"""A study file in; a plan, then a run of it over the store."""

from chaintune.study.address import open_store
from chaintune.study.file import Study
from chaintune.study.store import Store

__all__ = ["Store", "Study", "open_store"]
