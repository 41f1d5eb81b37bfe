"""A seam: names and the objects behind them, shipped with chaintune or offered by an installed package."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from chaintune.errors import ConfigError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Objects of one kind by name, each loaded when it is asked for.

    Attributes:
        kind: of the objects, as a message calls one of them (`log reader`).
        group: of entry points, under which an installed package offers more.
        expected: the class of the objects.
        shipped: name -> `module:attribute`.
    """

    kind: str
    group: str
    expected: type[T]
    shipped: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, those of other packages first."""
        return (*self._offered(), *self.shipped)

    def get(self, name: str) -> T:
        """The object of a name; a shipped one cannot be replaced.

        Raises:
            ConfigError: there is no such name, or a package offers something else under it.
        """
        if name in self.shipped:
            module, attribute = self.shipped[name].split(":")
            loaded = getattr(import_module(module), attribute)
        elif name in (offered := self._offered()):
            loaded = offered[name].load()
        else:
            raise ConfigError(f"{self.kind} '{name}': {nearest(name, self.names)}")
        if not isinstance(loaded, self.expected):
            raise ConfigError(
                f"{self.kind} '{name}': its entry point gives a {type(loaded).__name__}, "
                f"expected a {self.expected.__name__}"
            )
        return loaded

    def _offered(self) -> "dict[str, EntryPoint]":
        points = _entry_points(self.group, tuple(sys.path))
        return {point.name: point for point in points if point.name not in self.shipped}


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> "EntryPoints":
    selected: EntryPoints = _every_entry_point(path).select(group=group)
    return selected


@cache
def _every_entry_point(_path: tuple[str, ...]) -> Any:  # of a class that changed in Python 3.12
    """Those of every package that is installed in the folders of a path; each of them has a file to be read."""
    from importlib.metadata import entry_points

    return entry_points()
