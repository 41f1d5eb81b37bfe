"""Any JSONL, CSV or Parquet file of multiple-choice items -> examples."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.records import Example, canonical_digest
from chaintune.tasks.definition import Pool
from chaintune.tasks.files import files_digest, read_rows
from chaintune.tasks.prompts import choice_defect, continuation
from chaintune.tasks.rows import Row, build_all, checked_text, kind

VERSION = "local-1"
REQUIRED = ("prompt", "choices", "gold")
OPTIONAL = ("id", "cluster", "split")
SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what.

    Attributes:
        names: of `prompt`, `choices`, `gold`, and of `id`, `cluster`, `split` where the file has them.
        groups: dimension -> column.
        group_map: the column that maps dimensions to groups, where the file has one; else empty.
    """

    names: Mapping[str, str]
    groups: Mapping[str, str] = field(default_factory=dict)
    group_map: str = ""


def read_local(path: Path, columns: Mapping[str, Any] | None, test_path: Path | None) -> tuple[Pool, tuple[str, ...]]:
    """The examples of a file of the user's own, and the dimensions that they bear groups of.

    Args:
        path: of the items; of those that are taught when `test_path` is given.
        columns: `prompt`, `choices`, `gold`, `id`, `cluster`, `split` -> column, and `groups` ->
            a mapping of dimension to column, or the column that holds such a mapping in each row.
        test_path: of the items that are tested.

    Raises:
        ConfigError: `columns` names something that is not known.
        DataError: the file, or a row of it, cannot be used.
    """
    rows = read_rows(path)
    found = resolve_columns(columns or {}, rows, path)
    is_csv = path.suffix.lower() == ".csv"
    pairs = build_all(rows, lambda row: (_example(row, found, is_csv=is_csv), _split(row, found)))
    source = f"{path} (sha256 {files_digest([path])})"
    if test_path is not None:
        if "split" in found.names:
            raise ConfigError(f"{path}: has a column '{found.names['split']}' for the split, and a test_path; give one")
        tested, dimensions = read_local(test_path, columns, None)
        examples = [example for example, _ in pairs]
        return Pool(examples, tested.examples, f"{source}, tested on {tested.source}"), _dimensions(found, examples)
    train = [example for example, split in pairs if split != "test"]
    test = [example for example, split in pairs if split == "test"]
    dimensions = _dimensions(found, [*train, *test])
    return Pool(train, test if "split" in found.names else None, source), dimensions


def resolve_columns(columns: Mapping[str, Any], rows: Sequence[Row], path: Path) -> Columns:
    """Which column of the file holds what; a column of the same name where nothing is said.

    Raises:
        ConfigError: a key that is not known, or a column name that is no text.
        DataError: the file lacks a column.
    """
    known = (*REQUIRED, *OPTIONAL, "groups")
    for key, column in columns.items():
        if key not in known:
            raise ConfigError(f"columns: '{key}' is not known; {nearest(key, known)}")
        if not isinstance(column, str) and not (key == "groups" and isinstance(column, Mapping)):
            raise ConfigError(f"columns: '{key}' must name a column, got {kind(column)}")
    present = list(dict.fromkeys(name for row in rows for name in row.values))
    names = {key: columns.get(key, key) for key in REQUIRED}
    names |= {key: columns.get(key, key) for key in OPTIONAL if key in columns or key in present}
    groups = columns.get("groups", "groups" if "groups" in present else {})
    wanted = {**names, **(groups if isinstance(groups, Mapping) else {"groups": groups})}
    missing = [f"'{column}' ({key})" for key, column in wanted.items() if column not in present]
    if missing:
        first = next(column for column in wanted.values() if column not in present)
        what = "column" if len(missing) == 1 else "columns"
        raise DataError(f"{path}: {what} {', '.join(missing)} missing; {nearest(str(first), present)}")
    return Columns(names, groups, "") if isinstance(groups, Mapping) else Columns(names, {}, groups)


def _example(row: Row, columns: Columns, *, is_csv: bool) -> Example:
    prompt = row.text(columns.names["prompt"])
    choices = _choices(row, columns.names["choices"])
    gold = _gold(row, columns.names["gold"], choices, is_csv=is_csv)
    name = _name(row, columns.names["id"]) if "id" in columns.names else canonical_digest([prompt, choices])[:16]
    cluster = _name(row, columns.names["cluster"]) if "cluster" in columns.names else name
    texts = tuple(continuation(prompt, choice) for choice in choices)
    return Example(name, prompt, texts, gold, _groups(row, columns), cluster)


def _choices(row: Row, column: str) -> list[str]:
    value = row.value(column)
    if isinstance(value, str):
        value = _json_list(row, column, value) if value.lstrip().startswith("[") else value.split("|")
    choices = Row(row.where, {column: value}).value(column)
    if not isinstance(choices, list | tuple):
        raise DataError(f"{row.where}: field '{column}' must be a list of texts, got {kind(choices)}")
    if defect := choice_defect([choice if isinstance(choice, str) else kind(choice) for choice in choices]):
        raise DataError(f"{row.where}: field '{column}': {defect}")
    return [checked_text(choice, f"{row.where}: choice {k}") for k, choice in enumerate(choices)]


def _json_list(row: Row, column: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{row.where}: field '{column}' begins like a JSON list but is none ({error.msg})") from error


def _gold(row: Row, column: str, choices: Sequence[str], *, is_csv: bool) -> int:
    value = row.value(column)
    texts = [choice.strip() for choice in choices]
    as_text = texts.index(value.strip()) if isinstance(value, str) and value.strip() in texts else None
    as_index = value if isinstance(value, int) and not isinstance(value, bool) else None
    if is_csv and isinstance(value, str) and value.strip().isdecimal():
        as_index = int(value)
    if as_text is not None and as_index is not None and as_text != as_index:
        raise DataError(
            f"{row.where}: gold '{value}' is the text of choice {as_text} and could be an index too; "
            'write the file as JSONL, where 2 is an index and "2" a text'
        )
    if as_text is not None:
        return as_text
    if as_index is None:
        listed = ", ".join(f"'{text}'" for text in texts)
        raise DataError(f"{row.where}: gold must be an index or the text of a choice ({listed}), got {kind(value)}")
    if not 0 <= as_index < len(choices):
        raise DataError(f"{row.where}: gold {as_index} is out of range, valid: 0 to {len(choices) - 1}")
    return as_index


def _name(row: Row, column: str) -> str:
    value = row.value(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return checked_text(value, f"{row.where}: field '{column}'")


def _groups(row: Row, columns: Columns) -> dict[str, tuple[str, ...]]:
    if columns.group_map:
        held = _group_map(row, columns.group_map)
    else:
        held = {dimension: row.values.get(column) for dimension, column in columns.groups.items()}
    groups = {dimension: _group_names(row, dimension, value) for dimension, value in sorted(held.items())}
    return {dimension: names for dimension, names in groups.items() if names}


def _group_map(row: Row, column: str) -> dict[str, Any]:
    value = row.values.get(column)
    if isinstance(value, str):
        value = _json_list(row, column, value)
    if value is None:
        return {}
    pairs = value.items() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list):
        raise DataError(f"{row.where}: field '{column}' must map dimensions to groups, got {kind(value)}")
    return {checked_text(dimension, f"{row.where}: a dimension"): held for dimension, held in pairs}


def _group_names(row: Row, dimension: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    what = f"{row.where}: group of '{dimension}'"
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple(sorted({str(name) if type(name) is int else checked_text(name, what) for name in listed}))


def _split(row: Row, columns: Columns) -> str:
    if "split" not in columns.names:
        return ""
    split = row.text(columns.names["split"])
    if split not in SPLITS:
        raise DataError(f"{row.where}: split '{split}' is not known; {nearest(split, SPLITS)}")
    return split


def _dimensions(columns: Columns, examples: Sequence[Example]) -> tuple[str, ...]:
    borne: dict[str, int] = defaultdict(int)
    for example in examples:
        for dimension in example.groups:
            borne[dimension] += 1
    empty = [dimension for dimension in columns.groups if dimension not in borne]
    if empty:
        raise DataError(f"dimension '{empty[0]}': no row has a group in column '{columns.groups[empty[0]]}'")
    return tuple(columns.groups) if columns.groups else tuple(sorted(borne))
