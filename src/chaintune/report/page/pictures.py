"""Figures as the page holds them: a spec to draw from, and pictures for where nothing can be drawn."""

import base64
import re
from dataclasses import dataclass
from typing import Any

from chaintune.records.figures import Figure

_MOST_ROWS = 400
_ROOM = 18
_VIEW = re.compile(r'width="(?P<width>[\d.]+)" height="(?P<height>[\d.]+)" viewBox="0 0 [\d.]+ [\d.]+"')


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with everything that the template puts around it.

    Attributes:
        light, dark: SVG as `data:` addresses.
        header, rows: of its table, as text.
        left_out: rows that the table has beyond those.
    """

    figure: Figure
    light: str
    dark: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int


def picture(figure: Figure, drawing: str | None = None) -> Picture:
    """The figure drawn for a light page, unless its drawing is known, and for a dark one, and its table as text."""
    from chaintune.report.figures.saving import darkened, svg  # starts a JavaScript engine, which only a page needs

    table, light = figure.table, svg(figure) if drawing is None else drawing
    return Picture(
        figure,
        _address(light),
        _address(darkened(figure, light)),
        tuple(table.columns),
        tuple(tuple(map(_cell, row)) for row in table.head(_MOST_ROWS).iter_rows()),
        max(0, table.height - _MOST_ROWS),
    )


def _address(drawing: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(_VIEW.sub(_widened, drawing, count=1).encode()).decode()


def _widened(view: re.Match[str]) -> str:
    """Room on both sides: the reader's fonts may be wider than those that the chart was laid out with."""
    width, height = float(view["width"]), view["height"]
    return f'width="{width + 2 * _ROOM:g}" height="{height}" viewBox="{-_ROOM} 0 {width + 2 * _ROOM:g} {height}"'


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
