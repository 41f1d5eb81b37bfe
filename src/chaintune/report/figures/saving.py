"""A figure as files of their own: PNG and SVG, drawn without a network."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import vl_convert

from chaintune.files.atomic import own_folder, write_bytes
from chaintune.records import Figure
from chaintune.report.figures.themes import Theme, config, in_the_dark

_PIXELS = 760
_NO_ADDRESS: list[str] = []
_TAG = re.compile(r'<(?:[^"<>]|"[^"]*")*>')
_CLIP = re.compile(r'( clip-path="url\(#| id=")clip([0-9]+)')
_PAINT = re.compile(r'(?<= )(fill|stroke)="([^"]*)"')


def sized(spec: dict[str, Any], pixels: int) -> dict[str, Any]:
    """The spec of a figure of this width, axes and legend included, where no container sets it."""
    return spec | {"width": pixels, "autosize": {"type": "fit-x", "contains": "padding"}}


def svg(figure: Figure, *, pixels: int = _PIXELS, theme: Theme = "light") -> str:
    """The figure as SVG for a page of a theme, so many pixels wide with axes and legend."""
    drawn: str = vl_convert.vegalite_to_svg(
        sized(figure.spec, pixels), config=config(theme), allowed_base_urls=_NO_ADDRESS
    )
    return _TAG.sub(_numbered({}), drawn)


def _numbered(known: dict[str, int]) -> Callable[[re.Match[str]], str]:
    """Numbers clips by their place in the drawing: Vega counts on, and no two drawings of a figure would be alike."""
    return lambda tag: _CLIP.sub(lambda clip: f"{clip[1]}clip{known.setdefault(clip[2], len(known) + 1)}", tag[0])


def darkened(figure: Figure, drawing: str) -> str:
    """The figure as SVG for a dark page, made of its drawing for a light one where nothing but its colours differs.

    To exchange colours takes a few milliseconds, to draw ten times as long and more. Colours that a scale has blended
    are in no theme, and such a figure is drawn.
    """
    colours = in_the_dark() | {"none": "none", "transparent": "transparent"}
    tags = _TAG.findall(drawing)
    if any(paint not in colours for tag in tags for _, paint in _PAINT.findall(tag)):
        return svg(figure, theme="dark")

    def painted(tag: re.Match[str]) -> str:
        return _PAINT.sub(lambda paint: f'{paint[1]}="{colours[paint[2]]}"', tag[0])

    return _TAG.sub(painted, drawing)


def png(drawing: str) -> bytes:
    """A drawing for a light page, SVG as `svg` makes it, as PNG on a ground of its own, two dots a pixel."""
    inner = drawing.index(">") + 1
    ground = '<rect width="100%" height="100%" fill="#FFFFFF"/>'
    painted: bytes = vl_convert.svg_to_png(drawing[:inner] + ground + drawing[inner:], scale=2)
    return painted


def save(figures: Sequence[Figure], folder: Path) -> dict[str, str]:
    """Write `NAME.png` and `NAME.svg` of each, whole or not at all; returns name -> SVG, for a page that shows it."""
    own_folder(folder)
    drawings = {figure.name: svg(figure) for figure in figures}
    for name, drawing in drawings.items():
        for path, content in ((folder / f"{name}.svg", drawing.encode()), (folder / f"{name}.png", png(drawing))):
            write_bytes(path, content, durable=False)
    return drawings
