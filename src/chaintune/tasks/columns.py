"""Which column of a user's own file holds what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.tasks.rows import kind

REQUIRED = ("prompt", "choices", "gold")
OPTIONAL = ("id", "cluster", "split")
KEYS = (*REQUIRED, *OPTIONAL, "groups")


@dataclass(frozen=True, slots=True)
class Columns:
    """Column names.

    Attributes:
        prompt, choices, gold: always there.
        id, cluster, split: empty where the file has none.
        groups: dimension -> the column that holds its group or list of groups.
        group_map: the column that maps dimensions to groups in each row; empty where there is none.
    """

    prompt: str
    choices: str
    gold: str
    id: str = ""
    cluster: str = ""
    split: str = ""
    groups: Mapping[str, str] | None = None
    group_map: str = ""


def resolve_columns(columns: Mapping[str, Any], present: Iterable[str], path: Path) -> Columns:
    """The columns to read: those named, else those of the very names, as far as the file has them.

    Args:
        columns: `prompt`, `choices`, `gold`, `id`, `cluster`, `split` -> column, and `groups` -> a
            mapping of dimension to column, or one column that holds such a mapping in each row. A
            key whose value is None counts as not given.
        present: columns of the file.
        path: of the file, for messages.

    Raises:
        ConfigError: a key that is not known, or a column name that is no text.
        DataError: the file lacks a column.
    """
    columns = {key: column for key, column in columns.items() if column is not None}
    _check_keys(columns)
    there = list(present)
    names = {key: str(columns.get(key, key)) for key in REQUIRED}
    names |= {key: str(columns.get(key, key)) for key in OPTIONAL if key in columns or key in there}
    groups = columns.get("groups", "groups" if "groups" in there else {})
    by_dimension = dict(groups) if isinstance(groups, Mapping) else {}
    group_map = "" if isinstance(groups, Mapping) else str(groups)
    wanted = names | {f"groups.{dimension}": column for dimension, column in by_dimension.items()}
    if group_map:
        wanted["groups"] = group_map
    missing = {key: column for key, column in wanted.items() if column not in there}
    if missing:
        listed = ", ".join(
            f"'{column}' for {key}" if column != key else f"'{column}'" for key, column in missing.items()
        )
        first = next(iter(missing.values()))
        raise DataError(
            f"{path}: no column {listed}; {nearest(first, there)}; name the file's own columns under 'columns'"
        )
    return Columns(**names, groups=by_dimension, group_map=group_map)


def _check_keys(columns: Mapping[str, Any]) -> None:
    for key, column in columns.items():
        if key not in KEYS:
            raise ConfigError(f"columns: '{key}' is not known; {nearest(str(key), KEYS)}")
        if key == "groups" and isinstance(column, Mapping):
            wrong = [value for value in (*column.keys(), *column.values()) if not isinstance(value, str)]
        else:
            wrong = [] if isinstance(column, str) else [column]
        if wrong:
            raise ConfigError(f"columns: '{key}' must name a column, got {kind(wrong[0])}")
