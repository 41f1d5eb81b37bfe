"""A figure: one chart, the words around it, and the table behind it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import polars as pl

Section = Literal["accuracy", "groups", "variants", "mitigations", "curvature", "training", "power"]


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """One chart for the page and for a file of its own.

    Every text may hold names that come from data sets: none of it is markup, escape it like any other text.

    Attributes:
        name: unique among the figures of a report and made of `a-z`, `0-9` and `-`: file name and anchor.
        section: where in the report it stands.
        title: what it shows; the chart itself has no title.
        caption: what to see, in one or two sentences made from the numbers.
        alt: what someone who cannot see it should know, with the main numbers.
        spec: Vega-Lite with its data inside and `width` set to `container`, without a `config`:
            `report.figures.themes` has one for light and one for dark.
        table: its data with columns named for people, units in the name; undefined values are null and have their
            reason in a column of its own.
    """

    name: str
    section: Section
    title: str
    caption: str
    alt: str
    spec: dict[str, Any]
    table: "pl.DataFrame"
