"""Rows of a user's own data -> examples, by the columns that the user names."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chaintune.errors import DataError, nearest
from chaintune.files.rows import Row, build_all, checked_text, kind
from chaintune.records import Choices, Example, canonical_digest
from chaintune.records.examples import is_no_group
from chaintune.tasks.columns import IN_BRACES, ColumnNames
from chaintune.tasks.definition import Part
from chaintune.tasks.prompts import choice_defect, continuation

SPLITS: tuple[Part, Part] = ("train", "test")


def examples_of(rows: Iterable[Row], columns: ColumnNames) -> list[Example]:
    """The example of each row.

    Raises:
        DataError: of every row that cannot be used, in one message.
    """
    return build_all(rows, lambda row: _example(row, columns))


def by_split(
    rows: Sequence[Row], examples: Sequence[Example], column: str
) -> tuple[Sequence[Example], Sequence[Example] | None]:
    """The examples that are taught and tested, as a column says; all and None where there is no such column.

    Raises:
        DataError: the column holds something else.
    """
    if not column:
        return examples, None
    splits = build_all(rows, lambda row: _split(row, column))
    train, test = ([e for e, own in zip(examples, splits, strict=True) if own == split] for split in SPLITS)
    return train, test


def dimensions_of(columns: ColumnNames, examples: Iterable[Example], where: str) -> tuple[str, ...]:
    """The dimensions that examples bear groups of, in the order in which the user names them.

    Raises:
        DataError: no example has a group of a dimension that is named.
    """
    present = {dimension for example in examples for dimension in example.groups}
    for dimension, column in (columns.groups or {}).items():
        if dimension not in present:
            raise DataError(f"{where}: dimension '{dimension}': no row has a group in column '{column}'")
    return tuple(columns.groups) if columns.groups else tuple(sorted(present))


def groups_of(row: Row, columns: ColumnNames) -> dict[str, tuple[str, ...]]:
    """Dimension -> the groups that a row bears; without the dimensions of which it bears none.

    Raises:
        DataError: something that is no name.
    """
    if columns.group_map:
        by_dimension = _group_map(row, columns.group_map)
    else:
        by_dimension = {dimension: row.get(column) for dimension, column in (columns.groups or {}).items()}
    groups = {dimension: _group_names(row, dimension, value) for dimension, value in sorted(by_dimension.items())}
    return {dimension: names for dimension, names in groups.items() if names}


def name_of(row: Row, column: str) -> str:
    """A text or whole number that names something, as text.

    Raises:
        DataError: the column holds something else.
    """
    value = row.value(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return checked_text(value, f"{row.where}: field '{column}'")


def _example(row: Row, columns: ColumnNames) -> Example:
    prompt = _filled(row, columns.prompt) if IN_BRACES.search(columns.prompt) else row.text(columns.prompt)
    choices = _choices(row, columns.choices)
    gold = _gold_by_label(row, columns) if columns.labels else _gold(row, columns.gold, choices)
    # Derived from content, not from the row number: keys must not change when rows change places.
    name = name_of(row, columns.id) if columns.id else canonical_digest([prompt, choices])[:16]
    cluster = name_of(row, columns.cluster) if columns.cluster else name
    texts = tuple(continuation(prompt, choice) for choice in choices)
    return Example(name, prompt, Choices(texts, gold), groups_of(row, columns), cluster)


def _filled(row: Row, template: str) -> str:
    return IN_BRACES.sub(lambda field: name_of(row, field[1]), template)


def _choices(row: Row, columns: str | tuple[str, ...]) -> list[str]:
    if isinstance(columns, tuple):
        texts, what = [_filled(row, text) for text in columns], "the choices"
    else:
        texts, what = _listed_choices(row, columns), f"field '{columns}'"
    if defect := choice_defect(texts):
        raise DataError(f"{row.where}: {what}: {defect}")
    return texts


def _listed_choices(row: Row, column: str) -> list[str]:
    value = row.value(column)
    if isinstance(value, str):
        if "|" not in value and not value.lstrip().startswith("["):
            raise DataError(
                f"{row.where}: field '{column}' is one text, {kind(value)}; write a list of texts, or all of them in "
                "one with '|' between"
            )
        value = _parsed(row, column, value) if value.lstrip().startswith("[") else value.split("|")
    if not isinstance(value, list | tuple):
        raise DataError(f"{row.where}: field '{column}' must be a list of texts, got {kind(value)}")
    return [checked_text(choice, f"{row.where}: choice {k}") for k, choice in enumerate(value)]


def _parsed(row: Row, column: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{row.where}: field '{column}' is not the JSON that it begins like ({error.msg})") from error


def _gold_by_label(row: Row, columns: ColumnNames) -> int:
    gold, labels = row.value(columns.gold), row.entries(columns.labels)
    if labels.count(gold) != 1:
        raise DataError(f"{row.where}: gold {gold!r} must be one of the labels {labels} in field '{columns.labels}'")
    return labels.index(gold)


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
        what = f"{row.where}: gold must be an index or the text of a choice ({listed}), got {kind(value)}"
        raise DataError(what + _gold_hint(value))
    if not 0 <= index < len(texts):
        raise DataError(f"{row.where}: gold {index} is out of range; valid: 0 to {len(texts) - 1}, for {listed}")
    return index


def _gold_hint(value: Any) -> str:
    """A hint on a gold that is a number in quotes, or one letter."""
    text = value.strip() if isinstance(value, str) else ""
    if text.isdecimal():
        return f"; write {text} without quotes for an index, which counts from 0"
    if len(text) == 1 and text.isalpha():
        return "; where it is the label of a choice, name the column that lists the labels as 'labels' under 'columns'"
    return ""


def _group_map(row: Row, column: str) -> dict[str, Any]:
    value = row.get(column)
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
    if isinstance(value, str) and row.untyped and value.lstrip().startswith("["):
        value = _parsed(row, dimension, value)
    what = f"{row.where}: group of dimension '{dimension}'"
    listed = [] if value is None else value if isinstance(value, list | tuple) else [value]
    named = [name for name in listed if not is_no_group(name) or name in (None, "")]
    return tuple(sorted({str(name) if type(name) is int else checked_text(name, what) for name in named}))


def _split(row: Row, column: str) -> str:
    split = row.text(column)
    if split not in SPLITS:
        raise DataError(f"{row.where}: split '{split}' is not known; {nearest(split, SPLITS)}")
    return split
