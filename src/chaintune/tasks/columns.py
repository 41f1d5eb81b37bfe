"""The columns of a user's own data."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.rows import Row, kind

REQUIRED = ("prompt", "choices", "gold")
OPTIONAL = ("id", "cluster", "split")
KEYS = (*REQUIRED, *OPTIONAL, "labels", "groups")
IN_BRACES = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Column names; `column.field` is a named field inside a column.

    Attributes:
        prompt: a column, or a text in which `{column}` stands for what that column holds.
        choices: a column that holds them all, or a text of that kind for each.
        gold: always there.
        id, cluster, split: empty where the data has none.
        labels: the column that holds a label for each choice, when gold is one of them; else empty.
        groups: dimension -> the column that holds its group or list of groups.
        group_map: the column that maps dimensions to groups in each row; empty where there is none.
    """

    prompt: str
    choices: str | tuple[str, ...]
    gold: str
    id: str = ""
    cluster: str = ""
    split: str = ""
    labels: str = ""
    groups: Mapping[str, str] | None = None
    group_map: str = ""


def resolve_columns(rows: Iterable[Row], columns: Mapping[str, Any], where: str) -> ColumnNames:
    """The columns to read: those named, else those of the very names, as far as the data has them.

    Args:
        rows: of the data.
        columns: `prompt`, `choices`, `gold`, `id`, `cluster`, `split`, `labels` -> column, and `groups` ->
            a mapping of dimension to column, or one column that holds such a mapping in each row. `prompt`
            may be a text with columns in braces, `choices` a list of such texts. A key whose value is None
            counts as absent.
        where: of the data, for messages.

    Raises:
        ConfigError: a key that is not known, or a column name that is no text.
        DataError: the data lacks a column.
    """
    if not isinstance(columns, Mapping):
        raise ConfigError(f"columns: expected a mapping such as {{'prompt': 'question'}}, got {kind(columns)}")
    columns = {key: column for key, column in columns.items() if column is not None}
    _check_keys(columns)
    there = list(dict.fromkeys(name for row in rows for name in row.columns()))
    names: dict[str, Any] = {key: columns.get(key, key) for key in REQUIRED}
    names |= {key: columns.get(key, key) for key in OPTIONAL if key in columns or key in there}
    names |= {"labels": columns["labels"]} if "labels" in columns else {}
    groups = columns.get("groups", "groups" if "groups" in there else {})
    by_dimension = dict(groups) if isinstance(groups, Mapping) else {}
    group_map = "" if isinstance(groups, Mapping) else str(groups)
    _check_present([*_named_columns(names), *_group_columns(by_dimension, group_map)], there, where)
    if isinstance(names["choices"], list | tuple):
        names["choices"] = tuple(names["choices"])
    return ColumnNames(**names, groups=by_dimension, group_map=group_map)


def template_columns(template: str) -> list[str]:
    """The columns that a text names in braces; the text itself when it names none."""
    return IN_BRACES.findall(template) or [template]


def _named_columns(names: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key -> each column that is read for it."""
    for key, named in names.items():
        if isinstance(named, list | tuple):
            yield from ((key, column) for text in named for column in IN_BRACES.findall(text))
        else:
            yield from ((key, column) for column in (template_columns(named) if key == "prompt" else [named]))


def _group_columns(by_dimension: Mapping[str, str], group_map: str) -> Iterator[tuple[str, str]]:
    yield from ((f"groups.{dimension}", column) for dimension, column in by_dimension.items())
    if group_map:
        yield "groups", group_map


def _check_present(named: Iterable[tuple[str, str]], there: list[str], where: str) -> None:
    missing = [(key, column) for key, column in named if column not in there]
    if not missing:
        return
    listed = ", ".join(f"'{column}' for {key}" if column != key else f"'{column}'" for key, column in missing)
    raise DataError(
        f"{where}: no column {listed}; {nearest(missing[0][1], there)}; name the data's own columns under 'columns'"
    )


def _check_keys(columns: Mapping[str, Any]) -> None:
    for key, column in columns.items():
        if key not in KEYS:
            raise ConfigError(f"columns: '{key}' is not known; {nearest(str(key), KEYS)}")
        if key == "groups" and isinstance(column, Mapping):
            named = [*column.keys(), *column.values()]
        else:
            named = list(column) if key == "choices" and isinstance(column, list | tuple) else [column]
        if wrong := [value for value in named if not isinstance(value, str)]:
            raise ConfigError(f"columns: '{key}' must name a column, got {kind(wrong[0])}")
