"""A figure as files of their own: PNG and SVG, drawn without a network."""

from pathlib import Path
from typing import Any

import vl_convert

from chaintune.records import Figure
from chaintune.report.figures.themes import Theme, config

_PIXELS = 760
_NO_ADDRESS: list[str] = []


def sized(spec: dict[str, Any], pixels: int) -> dict[str, Any]:
    """The spec of a figure that is so wide, all told, where there is no container to ask."""
    return spec | {"width": pixels, "autosize": {"type": "fit-x", "contains": "padding"}}


def svg(figure: Figure, *, pixels: int = _PIXELS, theme: Theme = "light") -> str:
    """The figure as SVG.

    Args:
        figure: with its data inside.
        pixels: wide, axes and legend included.
        theme: of the page it is for.
    """
    drawn: str = vl_convert.vegalite_to_svg(
        sized(figure.spec, pixels), config=config(theme), allowed_base_urls=_NO_ADDRESS
    )
    return drawn


def png(figure: Figure, *, pixels: int = _PIXELS, theme: Theme = "light", scale: float = 2) -> bytes:
    """The figure as PNG on a ground of its own, `scale` dots a pixel."""
    ground = {"background": "#121212" if theme == "dark" else "#FFFFFF"}
    drawn: bytes = vl_convert.vegalite_to_png(
        sized(figure.spec, pixels), config=config(theme) | ground, scale=scale, allowed_base_urls=_NO_ADDRESS
    )
    return drawn


def save(figure: Figure, folder: Path) -> tuple[Path, Path]:
    """Write `NAME.png` and `NAME.svg`, each whole or not at all; returns where they are.

    Args:
        figure: with its data inside.
        folder: is made where it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture, drawing = folder / f"{figure.name}.png", folder / f"{figure.name}.svg"
    for path, content in ((picture, png(figure)), (drawing, svg(figure).encode())):
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(content)
        partial.replace(path)
    return picture, drawing
