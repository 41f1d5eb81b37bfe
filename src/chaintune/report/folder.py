"""The report in a folder: Markdown, one HTML page, and its figures as files."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaintune.errors import ChaintuneError, DataError
from chaintune.files.atomic import write_bytes
from chaintune.files.disk import os_errors_as_store_error
from chaintune.files.reading import as_written, check_shape, read_json, read_parquet
from chaintune.records import Answers, Estimate, Limits, ResultRow, Task, rows_to_polars
from chaintune.records.answers import Outcome
from chaintune.records.checkpoint import BASE
from chaintune.records.results import LATER_NUMBERS
from chaintune.report.comparison import comparison_json, read_comparisons
from chaintune.report.external import EXTERNAL
from chaintune.report.markdown import markdown
from chaintune.report.page import Step, render, results_page
from chaintune.report.results import Results
from chaintune.results import RESOLVED

if TYPE_CHECKING:
    import pyarrow as pa

_LOG = logging.getLogger(__name__)

PAGE, RESULTS, COMPARISON = "report.html", "results.parquet", "comparison.json"
_TEXT_OF_TASK = ("role", "version", "source", "licence", "train_digest", "test_digest")
_PROVENANCE = {
    **dict.fromkeys(("study", "written_at", "python", "platform"), str),
    "command": [str],
    "packages": {"*": str},
    "bases": {"*": str},
    "precision": [str],
    "seeds": list,
    "tasks": {"*": {**dict.fromkeys(_TEXT_OF_TASK, str), "train_examples": int, "test_examples": int}},
}
_ESTIMATE = tuple(Estimate.__dataclass_fields__)
_ANSWERS = tuple(Answers.__dataclass_fields__)


def read_rows(path: Path) -> list[ResultRow]:
    """The rows of a `results.parquet`.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise DataError(f"{path}: no results there; expected the --out folder of a finished run")
    with as_written(path):
        return _base_once([_row(row) for row in _typed(read_parquet(path)).to_pylist()])


def _base_once(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The rows, those of the base once; what was written before has them for every variant."""
    kept: list[ResultRow] = []
    known: set[tuple[object, ...]] = set()
    for row in rows:
        if row.chain == BASE and row.variant:
            row = replace(row, variant="", settings=())
            about = (row.key, row.metric, row.item_metric, row.dimension, row.group, row.seed)
            if about in known:
                continue
            known.add(about)
        kept.append(row)
    return kept


def read_results(folder: Path, rows: Sequence[ResultRow] | None = None) -> Results:
    """The results of a run in its `--out` folder: a study's, whose rows may be known, a mitigation's, or an audit's.

    Raises:
        DataError: the folder holds no results.
    """
    if (folder / COMPARISON).is_file() and not (folder / RESULTS).is_file():
        return Results.of(*read_comparisons(folder / COMPARISON))
    rows = read_rows(folder / RESULTS) if rows is None else rows
    provenance = read_provenance(folder)
    limits, level = _limits(folder / "results.json")
    title = f"Forgetting in the study {provenance['study']}"
    sized = {name: task["by"] for name, task in provenance["tasks"].items() if "by" in task}
    rows = sorted(rows, key=lambda row: bool(row.dimension) and row.dimension != sized.get(row.task, row.dimension))
    return Results(title, rows, level, limits, provenance=provenance, folder=folder)


def read_provenance(folder: Path) -> Mapping[str, Any]:
    """The content of a run's `provenance.json`.

    Raises:
        DataError: there is none, or it holds something else.
    """
    with as_written(folder / "provenance.json"):
        provenance: Mapping[str, Any] = read_json(folder / "provenance.json")
        check_shape(provenance, _PROVENANCE)
        check_shape(provenance.get("cost", {}), {"*": (int, float)}, "'cost'")
        check_shape(provenance.get("backend", ""), str, "'backend'")
        check_shape(provenance.get("cautions", {}), {"*": str}, "'cautions'")
        run = {"seeds": list, "command": [str], "written_at": str, "platform": str}
        check_shape(provenance.get("joined", []), [run], "'joined'")
        check_shape(provenance.get("recipe", {}), {"*": str}, "'recipe'")
        check_shape([task.get("by", "") for task in provenance["tasks"].values()], [str], "'by'")
        check_shape(provenance.get("variants", {}), {"*": {"*": str}}, "'variants'")
        check_shape(provenance.get("external", {}), {"*": EXTERNAL}, "'external'")
        return provenance


def write_report(
    folder: Path,
    tasks: Mapping[str, Task] | None = None,
    *,
    results: Results | None = None,
    steps: Iterable[Step] = (),
) -> str:
    """Write `report.md`, `report.html` and `figures/`, each file whole or not at all; of comparisons their JSON too.

    Args:
        folder: for the report.
        tasks: name -> task, whose texts stand beside the examples on the page; without them ids do.
        results: None reads those of the run in the folder.
        steps: scores of both sides, for the items that flipped; those of a run are read from its folder.

    Returns:
        The text of `report.md`.

    Raises:
        DataError: the folder holds no results.
        StoreError: it cannot be written.
    """
    from chaintune.report.figures.every import result_figures  # loads Altair and Vega, and most commands draw nothing
    from chaintune.report.figures.saving import save

    results = results or read_results(folder)
    text = markdown(results)
    with os_errors_as_store_error(folder, "the report cannot be written"):
        write_bytes(folder / "report.md", text.encode(), durable=False)
        if results.comparisons:
            gate = results.gate.to_dict() if results.gate else None
            content = comparison_json(results.comparisons, gate) + "\n"
            write_bytes(folder / COMPARISON, content.encode(), durable=False)
        figures = result_figures(results)
        page = results_page(results, figures=figures, steps=steps, tasks=tasks)
        write_bytes(folder / PAGE, render(page, save(figures, folder / "figures")).encode(), durable=False)
    return text


def tasks_of(folder: Path) -> dict[str, Task]:
    """The tasks of a study's run whose data can be loaded again; what cannot is told."""
    from chaintune.study.study import Study
    from chaintune.study.task_spec import both_ways, load_spec

    loaded: dict[str, Task] = {}
    if not (folder / RESOLVED).is_file():
        return loaded
    try:
        read = Study.from_yaml(folder / RESOLVED)
    except ChaintuneError as error:
        _LOG.warning("the page has ids instead of texts: %s", error)
        return loaded
    for name, spec in read.tasks.items():
        try:
            loaded[name] = load_spec(name, spec, chat=read.chat, allow_overlap=read.allow_overlap)
            loaded |= both_ways({name: loaded[name]}, read.tasks, read.chat)
        except ChaintuneError as error:
            _LOG.warning("the page has ids instead of the texts of task '%s': %s", name, error)
    return loaded


def _limits(path: Path) -> tuple[Limits, float]:
    """The limits of a recommended dose, and the level of the intervals, of the time of the run."""
    with as_written(path):
        content = read_json(path) if path.is_file() else {}
        check_shape(content, dict)
        check_shape(content.get("limits", {}), {"*": (int, float)}, "'limits'")
        return Limits(**content.get("limits", {})), float(content.get("level", 0.95))


def _typed(table: "pa.Table") -> "pa.Table":
    """The table with the types of a table of results; an error where a column has another one, or an empty text."""
    for field in _schema():
        if field.name in table.column_names:
            column = table.column(field.name).cast(field.type)
            if column.null_count and field.name not in _ESTIMATE:
                raise ValueError(f"'{field.name}' is empty in some rows")
            table = table.set_column(table.column_names.index(field.name), field, column)
    return table


@cache
def _schema() -> "pa.Schema":
    one = ResultRow("", "", "", "", 0, "", "", "", "", "", "", Estimate.undefined(""))
    return rows_to_polars([one]).to_arrow().schema


def _row(row: dict[str, Any]) -> ResultRow:
    # What was written before some of the columns has none.
    numbers: dict[str, Any] = {name: row[name] for name in _ESTIMATE if name in row or name not in LATER_NUMBERS}
    numbers = {name: math.nan if value is None else value for name, value in numbers.items()}
    answers: dict[str, Any] = {name: row[name] for name in _ANSWERS if name in row}
    answers = {name: math.nan if value is None else value for name, value in answers.items()}
    answers |= {name: tuple(Outcome(**one) for one in answers[name]) for name in ("outcomes",) if name in answers}
    own: dict[str, Any] = {name: value for name, value in row.items() if name not in numbers | answers}
    lists = {name: tuple(value) for name, value in own.items() if isinstance(value, list)}
    # What the first edition wrote has neither.
    first = {"steps": (row["chain"],) if row["stage"] else (), "settings": tuple(filter(None, (row["variant"],)))}
    return ResultRow(**first | own | lists, estimate=Estimate(**numbers), answers=Answers(**answers))
