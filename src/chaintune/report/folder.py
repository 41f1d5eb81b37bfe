"""The report of a run's folder: Markdown, one HTML page, and its figures as files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from chaintune.errors import DataError
from chaintune.records import Estimate, Limits, ResultRow, Task
from chaintune.report.figures import save, study_figures
from chaintune.report.markdown import markdown
from chaintune.report.page import render, study_page

PAGE = "report.html"
_ESTIMATE = tuple(Estimate.__dataclass_fields__)


def read_rows(path: Path) -> list[ResultRow]:
    """The rows of a `results.parquet`.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    try:
        table = pl.read_parquet(path)
    except (FileNotFoundError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: no results there ({error}); expected the --out folder of a finished run") from error
    try:
        return [_row(row) for row in table.iter_rows(named=True)]
    except (TypeError, KeyError) as error:
        raise DataError(f"{path}: not a table of results ({error})") from error


def write_report(folder: Path, tasks: Mapping[str, Task] | None = None) -> str:
    """Write `report.md`, `report.html` and `figures/` from the results in a folder, each file whole or not at all.

    Args:
        folder: of the run.
        tasks: name -> task, whose texts stand beside the examples on the page; without them ids do.

    Returns:
        The text of `report.md`.

    Raises:
        DataError: the folder holds no results.
    """
    rows = read_rows(folder / "results.parquet")
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    limits, level = _limits(folder / "results.json")
    title = f"Forgetting in the study {provenance['study']}"
    text = markdown(rows, title=title, provenance=provenance, limits=limits, level=level)
    write_whole(folder / "report.md", text)
    figures = study_figures(rows, limits=limits, out=folder, level=level)
    page = study_page(
        folder, rows, provenance=provenance, tasks=tasks or {}, figures=figures, limits=limits, level=level
    )
    write_whole(folder / PAGE, render(page, save(figures, folder / "figures")))
    return text


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _limits(path: Path) -> tuple[Limits, float]:
    """What a recommended dose had to reach when the results were written, and the level of the intervals."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return Limits(**content.get("limits", {})), content.get("level", 0.95)


def _row(row: dict[str, Any]) -> ResultRow:
    numbers: dict[str, Any] = {name: math.nan if row[name] is None else row[name] for name in _ESTIMATE}
    own: dict[str, Any] = {name: value for name, value in row.items() if name not in numbers}
    lists = {name: tuple(value) for name, value in own.items() if isinstance(value, list)}
    # What the first edition wrote has neither.
    first = {"steps": (row["chain"],) if row["stage"] else (), "settings": tuple(filter(None, (row["variant"],)))}
    return ResultRow(**first | own | lists, estimate=Estimate(**numbers))
