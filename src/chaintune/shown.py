"""Results that show themselves: in a print, at the end of a notebook's cell, as a figure, as a report.

Results are values of the lower rooms, and the report room makes a report of them. The door of the package lies above
both and hands in how; nothing of a report is loaded before something is shown.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol


class Drawn(Protocol):
    """A figure that a notebook draws, and that can be saved."""

    @property
    def name(self) -> str:
        """By which it is asked for."""

    @property
    def caption(self) -> str:
        """What to see."""

    @property
    def table(self) -> Any:
        """The numbers behind it, a frame of polars."""

    @property
    def spec(self) -> dict[str, Any]:
        """Vega-Lite with its data inside."""

    def save(self, path: Path | str) -> Path:
        """Write it as `.svg` or `.png`."""

    def _repr_svg_(self) -> str: ...


class Presentation(Protocol):
    """Results as the report room presents them."""

    def text(self) -> str:
        """In words and aligned columns."""

    def html(self) -> str:
        """The same as HTML, every text of it escaped."""

    def figures(self) -> Mapping[str, Drawn]:
        """Name -> figure."""

    def figure(self, name: str) -> Drawn:
        """The one of a name, or of a part of it that no other has."""

    def write(self, path: Path) -> Path:
        """Write the report; where its page is."""


class Printed:
    """Results that print what the command line prints, in short."""

    __slots__ = ()
    present: ClassVar[Callable[[Any], Presentation]]

    def summary(self) -> str:
        """What the results say, in sentences and their first tables: what `print` shows."""
        return self.present().text()

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return self.present().html()


class Shown(Printed):
    """Results that have figures and a report as well."""

    __slots__ = ()

    def figures(self) -> Mapping[str, Drawn]:
        """Every figure of the report by its name, in reading order."""
        return self.present().figures()

    def figure(self, name: str) -> Drawn:
        """The figure of a name, or of a part of it that no other name has; a notebook draws it.

        Raises:
            ConfigError: there is none, or several.
        """
        return self.present().figure(name)

    def report(self, path: Path | str) -> Path:
        """Write the report, and return where its page is.

        Args:
            path: a folder, which gets `report.html`, `report.md` and `figures/`; or a file, `.html` for the page alone,
                `.md` for the text alone.

        Raises:
            ConfigError: a file of another kind.
            StoreError: it cannot be written.
        """
        return self.present().write(Path(path))
