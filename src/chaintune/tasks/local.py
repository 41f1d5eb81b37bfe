"""Any JSONL, CSV or Parquet file of multiple-choice items -> examples."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.records import Example, canonical_digest
from chaintune.tasks.columns import Columns, resolve_columns
from chaintune.tasks.definition import Pool
from chaintune.tasks.files import files_digest, read_rows
from chaintune.tasks.prompts import choice_defect, continuation
from chaintune.tasks.rows import Row, build_all, checked_text, kind, raise_problems

VERSION = "local-1"
SPLITS = ("train", "test")


def read_local(path: Path, columns: Mapping[str, Any], test_path: Path | None) -> tuple[Pool, tuple[str, ...]]:
    """The examples of a user's own file, and the dimensions that they bear groups of.

    Args:
        path: of the items; of those that are taught when `test_path` is given.
        columns: as `columns.resolve_columns` takes them.
        test_path: of the items that are tested.

    Raises:
        ConfigError: the arguments do not go together.
        DataError: the file, or a row of it, cannot be used.
    """
    rows, found = _read(path, columns)
    source = f"{path} (sha256 {files_digest([path])})"
    if test_path is not None:
        if found.split:
            raise ConfigError(f"{path}: column '{found.split}' tells the split, so give no test_path beside it")
        tested, found_there = _read(test_path, columns)
        train, test = _examples(rows, found), _examples(tested, found_there)
        source += f", tested on {test_path} (sha256 {files_digest([test_path])})"
        return Pool(train, test, source), _dimensions(found, [*train, *test], path)
    examples = _examples(rows, found)
    dimensions = _dimensions(found, examples, path)
    if not found.split:
        return Pool(examples, None, source), dimensions
    splits = build_all(rows, lambda row: _split(row, found.split))
    parts = {
        split: [example for example, own in zip(examples, splits, strict=True) if own == split] for split in SPLITS
    }
    return Pool(parts["train"], parts["test"], source), dimensions


def _read(path: Path, columns: Mapping[str, Any]) -> tuple[list[Row], Columns]:
    rows = read_rows(path)
    return rows, resolve_columns(columns, dict.fromkeys(name for row in rows for name in row.values), path)


def _examples(rows: Sequence[Row], columns: Columns) -> list[Example]:
    examples = build_all(rows, lambda row: _example(row, columns))
    first: dict[str, str] = {}
    problems = []
    for row, example in zip(rows, examples, strict=True):
        if example.id not in first:
            first[example.id] = row.where
        elif columns.id:
            problems.append(f"{row.where}: id '{example.id}' is taken by {first[example.id]}; every row needs its own")
        else:
            problems.append(
                f"{row.where}: same prompt and choices as {first[example.id]}; remove one, or tell them apart by an id"
            )
    raise_problems(problems)
    return examples


def _example(row: Row, columns: Columns) -> Example:
    prompt = row.text(columns.prompt)
    choices = _choices(row, columns.choices)
    gold = _gold(row, columns.gold, choices)
    # Derived from content, not from the row number: keys must not change when rows change places.
    name = _name(row, columns.id) if columns.id else canonical_digest([prompt, choices])[:16]
    cluster = _name(row, columns.cluster) if columns.cluster else name
    texts = tuple(continuation(prompt, choice) for choice in choices)
    return Example(name, prompt, texts, gold, _groups(row, columns), cluster)


def _choices(row: Row, column: str) -> list[str]:
    value = row.value(column)
    if isinstance(value, str):
        value = _parsed(row, column, value) if value.lstrip().startswith("[") else value.split("|")
    if not isinstance(value, list | tuple):
        raise DataError(f"{row.where}: field '{column}' must be a list of texts, got {kind(value)}")
    texts = [checked_text(choice, f"{row.where}: choice {k}") for k, choice in enumerate(value)]
    if defect := choice_defect(texts):
        raise DataError(f"{row.where}: field '{column}': {defect}")
    return texts


def _parsed(row: Row, column: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{row.where}: field '{column}' is not the JSON that it begins like ({error.msg})") from error


def _gold(row: Row, column: str, choices: Sequence[str]) -> int:
    value = row.value(column)
    texts = [choice.strip() for choice in choices]
    listed = ", ".join(f"'{text}'" for text in texts)
    index = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str):
        # A CSV field is always text, so digits may be meant as an index; JSONL and Parquet can say which.
        index = int(value) if row.untyped and value.strip().isdecimal() else None
        text_index = texts.index(value.strip()) if value.strip() in texts else None
        if text_index is not None and index not in (None, text_index):
            raise DataError(
                f"{row.where}: gold '{value}' is the text of choice {text_index}, and could be an index too; "
                'write the data as JSONL, where 2 is an index and "2" a text'
            )
        index = index if text_index is None else text_index
    if index is None:
        raise DataError(f"{row.where}: gold must be an index or the text of a choice ({listed}), got {kind(value)}")
    if not 0 <= index < len(texts):
        raise DataError(f"{row.where}: gold {index} is out of range; valid: 0 to {len(texts) - 1}, for {listed}")
    return index


def _name(row: Row, column: str) -> str:
    value = row.value(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return checked_text(value, f"{row.where}: field '{column}'")


def _groups(row: Row, columns: Columns) -> dict[str, tuple[str, ...]]:
    if columns.group_map:
        held = _group_map(row, columns.group_map)
    else:
        held = {dimension: row.values.get(column) for dimension, column in (columns.groups or {}).items()}
    groups = {dimension: _group_names(row, dimension, value) for dimension, value in sorted(held.items())}
    return {dimension: names for dimension, names in groups.items() if names}


def _group_map(row: Row, column: str) -> dict[str, Any]:
    value = row.values.get(column)
    if value is None:
        return {}
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _parsed(row, column, value)
    # Parquet gives a column of type map as a list of pairs.
    if isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        value = dict(value)
    if not isinstance(value, Mapping):
        raise DataError(
            f"{row.where}: field '{column}' must map dimensions to groups, got {kind(value)}; "
            "or name a column for each dimension under 'columns'"
        )
    return dict(value)


def _group_names(row: Row, dimension: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) and row.untyped and value.lstrip().startswith("["):
        value = _parsed(row, dimension, value)
    what = f"{row.where}: group of dimension '{dimension}'"
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple(sorted({str(name) if type(name) is int else checked_text(name, what) for name in listed}))


def _split(row: Row, column: str) -> str:
    split = row.text(column)
    if split not in SPLITS:
        raise DataError(f"{row.where}: split '{split}' is not known; {nearest(split, SPLITS)}")
    return split


def _dimensions(columns: Columns, examples: Sequence[Example], path: Path) -> tuple[str, ...]:
    borne = {dimension for example in examples for dimension in example.groups}
    for dimension, column in (columns.groups or {}).items():
        if dimension not in borne:
            raise DataError(f"{path}: dimension '{dimension}': no row has a group in column '{column}'")
    return tuple(columns.groups) if columns.groups else tuple(sorted(borne))
