"""The report of a run's folder."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl

from chaintune.errors import DataError
from chaintune.forgetting.choice import USUAL
from chaintune.records import Estimate, Limits, ResultRow
from chaintune.report.markdown import markdown

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


def write_report(folder: Path) -> str:
    """Write `report.md` from the results in a run's folder, whole or not at all; returns its text.

    Raises:
        DataError: the folder holds no results.
    """
    rows = read_rows(folder / "results.parquet")
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    title = f"Forgetting in the study {provenance['study']}"
    text = markdown(rows, title=title, provenance=provenance, limits=_limits(folder / "results.json"))
    partial = folder / "report.md.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / "report.md")
    return text


def _limits(path: Path) -> Limits:
    """What a recommended dose had to reach when the results were written."""
    if not path.is_file():
        return USUAL
    return Limits(**json.loads(path.read_text(encoding="utf-8")).get("limits", {}))


def _row(row: dict[str, Any]) -> ResultRow:
    numbers: dict[str, Any] = {name: math.nan if row[name] is None else row[name] for name in _ESTIMATE}
    own = {name: value for name, value in row.items() if name not in numbers}
    return ResultRow(**own, estimate=Estimate(**numbers))
