"""How figures look on a light and on a dark page; specs name styles and hold no colour of their own."""

from collections.abc import Iterator
from typing import Any, Literal

Theme = Literal["light", "dark"]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
# Okabe and Ito (2008), ordered so that neighbours differ in lightness too; what is too pale for a ground comes last.
_LIGHT_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#858585"]
_DARK_COLOURS = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#FFFFFF", "#F0E442", "#D55E00", "#9A9A9A"]
# One hue in order of lightness, nowhere so strong that a number on it is hard to read.
_LIGHT_RAMP = ["#F1F6FA", "#CFE1F0", "#A5C8E4", "#7FB0DA", "#5B9BD5"]
_DARK_RAMP = ["#1A222B", "#1F3345", "#24465F", "#275672", "#2A6689"]


def config(theme: Theme = "light") -> dict[str, Any]:
    """Vega-Lite's `config` for a page of this theme; the figure's ground is the page's own."""
    dark = theme == "dark"
    ink, quiet, faint = ("#E8E8E8", "#B4B4B4", "#3A3A3A") if dark else ("#1A1A1A", "#595959", "#E4E4E4")
    colours, ramp = (_DARK_COLOURS, _DARK_RAMP) if dark else (_LIGHT_COLOURS, _LIGHT_RAMP)
    words = {"labelColor": ink, "titleColor": quiet, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 400}
    return {
        "background": None,
        "font": FONT,
        "padding": {"left": 2, "right": 2, "top": 4, "bottom": 2},
        "view": {"stroke": None},
        "axis": words | {"gridColor": faint, "domainColor": quiet, "tickColor": quiet, "titlePadding": 8},
        "axisY": {"domain": False},
        "legend": words | {"symbolSize": 90, "rowPadding": 4, "columnPadding": 14},
        "range": {"category": colours, "ramp": ramp, "heatmap": ramp},
        "style": _styles(ink, quiet, colours[0]),
    }


def in_the_dark() -> dict[str, str]:
    """Each colour of the light theme -> the one that has its place in the dark theme."""
    return dict(_side_by_side(config("light"), config("dark")))


def _side_by_side(light: Any, dark: Any) -> Iterator[tuple[str, str]]:
    if isinstance(light, dict):
        for name, value in light.items():
            yield from _side_by_side(value, dark[name])
    elif isinstance(light, list):
        for value, other in zip(light, dark, strict=True):
            yield from _side_by_side(value, other)
    elif isinstance(light, str) and light.startswith("#"):
        yield light, dark


def _styles(ink: str, quiet: str, accent: str) -> dict[str, Any]:
    """Looks of marks by what they mean."""
    text = {"fontSize": 12, "color": ink, "font": FONT}
    return {
        "zero": {"color": quiet, "strokeWidth": 1},
        "whole": {"color": ink, "strokeWidth": 1.5, "strokeDash": [5, 3]},
        "whole-range": {"color": quiet, "opacity": 0.16},
        "goal": {"color": accent, "opacity": 0.12},
        "limit": {"color": ink, "strokeWidth": 1.5, "strokeDash": [2, 3]},
        "interval": {"color": quiet, "strokeWidth": 1.8},
        "best": {"color": ink, "thickness": 2.5, "size": 18},
        "ring": {"color": ink, "strokeWidth": 1.6, "filled": False, "size": 260, "shape": "circle"},
        "count": text,
        "head": text | {"color": quiet},
        "note": text | {"color": quiet, "fontStyle": "italic"},
    }
