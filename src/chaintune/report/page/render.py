"""A page as one HTML file that needs nothing else: no network, no second file, no inline handler."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any

from chaintune.records import Figure
from chaintune.report.cells import Table
from chaintune.report.figures.themes import config
from chaintune.report.page.content import Page
from chaintune.report.page.items import as_script

SECTIONS = {
    "accuracy": "Scores of every checkpoint",
    "groups": "Who forgot",
    "variants": "Does the variant matter?",
    "mitigations": "What brings it back",
    "curvature": "Curvature",
    "training": "Training",
    "power": "What could have been seen",
}
_SHOWN_PARAGRAPHS = 6
# Figures of a section that the contents show at once.
_LISTED_FIGURES = 8
_COUNTS = (("shown",), ("forgot", "learned"))
# Of the table below a figure.
_MOST_ROWS = 400
# Beside a picture, in pixels.
_ROOM = 18
_VIEW = re.compile(r'width="(?P<width>[\d.]+)" height="(?P<height>[\d.]+)" viewBox="0 0 [\d.]+ [\d.]+"')
VERDICT_MARKS = {"forgot": "▼", "kept": "=", "gained": "▲", "inconclusive": "?"}


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


def render(page: Page, drawings: Mapping[str, str] | None = None) -> str:
    """The page as HTML.

    Everything that comes from data is escaped by the template or lies in JSON that the script turns into text nodes.
    A content security policy allows the scripts and the style that are in the file, by their hashes, and nothing else.

    Args:
        page: what it is made of.
        drawings: name of a figure -> its SVG for a light page, as `figures.saving.save` returns them; others are drawn.
    """
    import jinja2  # only a page needs it

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_web),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = [_libraries(), _web("page.js")] if page.figures else [_web("page.js")]
    style = _web("page.css")
    pictures = [picture(figure, (drawings or {}).get(figure.name)) for figure in page.figures]
    html = environment.get_template("page.html").render(
        page=page,
        policy=_policy(scripts, style),
        style=style,
        scripts=scripts,
        sections=_sections(pictures),
        marks=VERDICT_MARKS,
        tables=[(f"table-{number}", table) for number, table in enumerate(page.tables, start=1)],
        numeric=[_numeric(table) for table in page.tables],
        unseen_numeric=_numeric(page.unseen),
        shown=_SHOWN_PARAGRAPHS,
        listed=_LISTED_FIGURES,
        sample=_sample(page.examples),
        prompts=_prompts(page.written),
        data=as_script(_data(page)),
    )
    # A lone surrogate, which JSON from elsewhere may hold, cannot be written to a file.
    return html.encode("utf-8", "replace").decode()


def _web(name: str) -> str:
    return resources.files("chaintune.report.page").joinpath("web", name).read_text(encoding="utf-8")


@cache
def _libraries() -> str:
    """Vega, Vega-Lite and vega-embed in one script, in a scope of their own."""
    import vl_convert  # starts a JavaScript engine, which only a page needs

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    bundle = bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")  # would end the element it stands in
    return f"(() => {{\n{bundle}\n}})();"


def _policy(scripts: list[str], style: str) -> str:
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


def _sections(pictures: list[Picture]) -> list[tuple[str, str, list[Picture]]]:
    sections = [
        (name, title, [one for one in pictures if one.figure.section == name]) for name, title in SECTIONS.items()
    ]
    return [section for section in sections if section[2]]


def _numeric(table: Table) -> list[bool]:
    """Which columns of a table hold numbers, to be set in line."""
    return [_is_numeric([row[place] for row in table.rows]) for place in range(len(table.header))]


def _is_numeric(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(cell[0] in "+-.<0123456789" for cell in filled)


def _sample(examples: Mapping[str, Any]) -> str:
    """A sentence on the sample of flipped items, where the page does not hold all of them."""
    steps = examples.get("steps", ())
    shown, every = (sum(sum(step[name] for name in names) for step in steps) for names in _COUNTS)
    if shown == every:
        return ""
    return (
        f"This page holds a sample: {shown:,} of {every:,} of them, an equal share of each pair of checkpoints, chosen "
        "by a hash of the ids and so the same in every pair."
    )


def _prompts(written: Mapping[str, Any]) -> str:
    """A sentence on the sample of prompts, where the page does not hold all of them."""
    steps = written.get("steps", ())
    shown, every = (sum(step[name] for step in steps) for name in ("shown", "total"))
    if shown == every:
        return ""
    return (
        f"This page holds {shown:,} of {every:,} pairs of answers, an equal share of each pair of checkpoints: those "
        "whose score changed first, and of each kind those that a hash of the ids puts first."
    )


def _data(page: Page) -> dict[str, Any]:
    return {
        "figures": {figure.name: figure.spec for figure in page.figures},
        "themes": {"light": config("light"), "dark": config("dark")},
        "examples": dict(page.examples),
        "written": dict(page.written),
    }


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
