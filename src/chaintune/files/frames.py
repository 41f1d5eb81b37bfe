"""Tables in memory -> rows: pandas, polars, Arrow, Hugging Face data sets, lists of mappings.

They are known by what they offer and not by class, so that no library is imported for a question.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chaintune.errors import DataError
from chaintune.files.reading import plain_values
from chaintune.files.rows import Row

KINDS = "a frame of pandas or polars, an Arrow table, a Hugging Face data set or a list of mappings"


def frame_rows(table: Any, where: str) -> list[Row] | None:
    """The rows of a table in memory; None where it is no table.

    Raises:
        DataError: a table of which no rows can be made.
    """
    if isinstance(table, Mapping) and table and all(map(_is_data_set, table.values())):
        raise DataError(f"{where}: holds the splits {', '.join(map(str, table))}; give one of them, as data['test']")
    if hasattr(table, "collect") and hasattr(table, "collect_schema"):  # a lazy frame of polars
        table = table.collect()
    made = _mappings(table, where)
    if made is None:
        return None
    return [Row(f"{where}, row {number}", values) for number, values in enumerate(made, 1)]


def parts_in(table: Any, where: str) -> list[Row] | None:
    """As `frame_rows`; of a mapping of names to tables, such as a `DatasetDict`, all rows with their part."""
    if not isinstance(table, Mapping):
        return frame_rows(table, where)
    rows: list[Row] = []
    for name, inner in table.items():
        own = frame_rows(inner, f"{where}, {name}")
        if own is None:
            return None
        rows += [Row(row.where, row.values, part=str(name)) for row in own]
    return rows


def _is_data_set(table: Any) -> bool:
    return hasattr(table, "column_names") and hasattr(table, "features")


def _mappings(table: Any, where: str) -> Iterable[Mapping[str, Any]] | None:
    if isinstance(table, list | tuple):
        return table if table and all(isinstance(row, Mapping) for row in table) else None
    if _is_data_set(table):
        rows: Iterable[Mapping[str, Any]] = table.to_list() if hasattr(table, "to_list") else table
        return rows
    if hasattr(table, "to_dicts"):
        return _checked(table.columns, table.to_dicts(), where)
    if hasattr(table, "schema") and hasattr(table, "to_pylist"):
        values = zip(*map(plain_values, table.columns), strict=True)
        return _checked(table.schema.names, (dict(zip(table.schema.names, row, strict=True)) for row in values), where)
    if hasattr(table, "to_frame") and hasattr(table, "index"):
        table = table.to_frame("score").rename_axis("id")  # a series of pandas
    if hasattr(table, "itertuples") and hasattr(table, "columns"):
        return _pandas_rows(table, where)
    return None


def _pandas_rows(frame: Any, where: str) -> Iterator[Mapping[str, Any]]:
    """Rows with Python's own values: pandas holds lists as arrays, and what is missing in several ways."""
    if any(name is not None and name not in frame.columns for name in frame.index.names):
        frame = frame.reset_index()
    names = [str(name) for name in frame.columns]
    cells = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    rows = (
        {name: cell.tolist() if hasattr(cell, "tolist") else cell for name, cell in zip(names, row, strict=True)}
        for row in cells
    )
    return iter(_checked(names, rows, where))


def _checked(names: Iterable[str], rows: Iterable[Mapping[str, Any]], where: str) -> Iterable[Mapping[str, Any]]:
    listed = list(names)
    for name in dict.fromkeys(listed):
        if listed.count(name) > 1:
            raise DataError(f"{where}: column '{name}' appears twice; rename one, or remove it")
    return rows
