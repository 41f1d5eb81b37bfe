"""A row with choices -> its prompt, its choices and which of them is right."""

from collections import Counter
from collections.abc import Iterable, Sequence
from string import ascii_uppercase
from typing import Any

from chaintune.errors import DataError, number_of
from chaintune.files.cells import json_in, plain_text
from chaintune.files.rows import Row, checked_text, kind
from chaintune.records import Example
from chaintune.tasks.columns import IN_BRACES, ColumnNames, filled
from chaintune.tasks.prompts import choice_defect

# Fewer rows may well have no answer that comes first.
_ENOUGH_TO_DOUBT = 20
_FROM_1 = "where the data counts from 1, add 'labels: [{}]' under 'columns'"


def question(row: Row, columns: ColumnNames) -> tuple[str, list[str], int]:
    """The prompt, the choices, and the index of the right one.

    Raises:
        DataError: a column holds something else, or the choices cannot be told apart.
    """
    prompt = filled(row, columns.prompt) if IN_BRACES.search(columns.prompt) else row.text(columns.prompt)
    choices = _choices(row, columns.choices)
    return prompt, choices, _gold(row, columns, choices)


def check_bars(rows: Iterable[Row], columns: ColumnNames, where: str) -> None:
    """Nothing, unless rows write different numbers of choices with `|` between: one of them may hold a `|`.

    Raises:
        DataError: they do; the message says what each reading is.
    """
    if columns.form != "choices" or isinstance(columns.choices, tuple):
        return
    first: dict[int, str] = {}
    counts: Counter[int] = Counter()
    for row in rows:
        value = row.get(columns.choices)
        if isinstance(value, str) and "|" in value and not value.lstrip().startswith("["):
            counts[value.count("|") + 1] += 1
            first.setdefault(value.count("|") + 1, row.where)
    if len(counts) > 1:
        (usual, many), *_, (odd, few) = counts.most_common()
        raise DataError(
            f"{where}: {number_of(many, 'row has', 'rows have')} {usual} choices with '|' between and "
            f"{number_of(few, 'has', 'have')} {odd}, first {first[odd]}: "
            "rows of more choices, or a choice that holds a '|'; write choices as JSON lists, which can say both"
        )


def note_on_first(rows: Sequence[Row], columns: ColumnNames, examples: Sequence[Example]) -> list[str]:
    """A sentence where no right answer is the first of three or more, as where they are counted from 1."""
    if columns.form != "choices" or columns.labels or not isinstance(columns.gold, str) or len(rows) < _ENOUGH_TO_DOUBT:
        return []
    counted = all(str(row.get(columns.gold)).strip().isdecimal() for row in rows)
    golds = {example.choices.gold for example in examples}
    if not counted or 0 in golds or len(golds) == 1:
        return []
    return [f"no row has gold 0; {_FROM_1.format(_numbers(max(len(one.choices.texts) for one in examples)))}"]


def _numbers(count: int) -> str:
    return ", ".join(map(str, range(1, count + 1)))


def _choices(row: Row, columns: str | tuple[str, ...]) -> list[str]:
    if isinstance(columns, tuple):
        texts, what = [filled(row, text) for text in columns], "the choices"
    else:
        texts, what = _listed_choices(row, columns), f"field '{columns}'"
    if defect := choice_defect(texts):
        raise DataError(f"{row.where}: {what}: {defect}")
    return texts


def _listed_choices(row: Row, column: str) -> list[str]:
    value, what = row.value(column), f"{row.where}: field '{column}'"
    if isinstance(value, str):
        if "|" not in value and not value.lstrip().startswith("["):
            raise DataError(
                f"{what} is one text, {kind(value)}; write a list of texts, or all of them in one with '|' between"
            )
        value = json_in(value, what) if value.lstrip().startswith("[") else _between_bars(value, what)
    if not isinstance(value, list | tuple):
        raise DataError(f"{what} must be a list of texts, got {kind(value)}")
    return [checked_text(choice, f"{row.where}: choice {k}") for k, choice in enumerate(value)]


def _between_bars(text: str, what: str) -> list[str]:
    """The texts between `|`, unless one of them may itself hold a `|`."""
    parts = text.split("|")
    if any(part.count(left) != part.count(right) for part in parts for left, right in ("()", "[]", "{}")) or any(
        not part.strip() for part in parts
    ):
        raise DataError(
            f"{what} is {kind(text)}: {len(parts)} choices with '|' between, or fewer of which one holds a '|'; write "
            'them as a JSON list such as ["P(A|B)", "P(B)"]'
        )
    return parts


def _gold(row: Row, columns: ColumnNames, choices: Sequence[str]) -> int:
    if isinstance(columns.gold, int):
        return _in_range(row, columns.gold, choices)
    if IN_BRACES.search(columns.gold):
        value: Any = filled(row, columns.gold)
        untyped = True
    else:
        value, untyped = row.value(columns.gold), row.untyped
    if columns.labels:
        return _index_of_label(row, value, columns.labels, len(choices))
    return _index(row, value, choices, untyped=untyped)


def _index_of_label(row: Row, gold: Any, named: str | tuple[str, ...], count: int) -> int:
    labels = list(named[:count]) if isinstance(named, tuple) else row.entries(named)
    where = "under 'columns'" if isinstance(named, tuple) else f"in field '{named}'"
    if len(labels) < count:
        raise DataError(f"{row.where}: {number_of(len(labels), 'label')} {where} for {count} choices")
    texts = [plain_text(label) for label in labels]
    own = plain_text(gold)
    if own is None or texts.count(own.strip()) != 1:
        raise DataError(f"{row.where}: gold {gold!r} must be one of the labels {labels} {where}")
    return texts.index(own.strip())


def _index(row: Row, value: Any, choices: Sequence[str], *, untyped: bool) -> int:
    texts = [choice.strip() for choice in choices]
    index = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str):
        # A CSV field is always text, so digits may be meant as an index; JSONL and Parquet can say which.
        index = int(value) if untyped and value.strip().isdecimal() else None
        text_index = texts.index(value.strip()) if value.strip() in texts else None
        if text_index is not None and index not in (None, text_index):
            raise DataError(
                f"{row.where}: gold '{value}' is the text of choice {text_index}, and could be an index too; "
                'write the data as JSONL, where 2 is an index and "2" a text'
            )
        index = index if text_index is None else text_index
    if index is None:
        listed = ", ".join(f"'{text}'" for text in texts)
        what = f"{row.where}: gold must be an index or the text of a choice ({listed}), got {kind(value)}"
        raise DataError(what + _gold_hint(value, len(texts)))
    return _in_range(row, index, texts)


def _in_range(row: Row, index: int, choices: Sequence[str]) -> int:
    if not 0 <= index < len(choices):
        listed = ", ".join(f"'{text.strip()}'" for text in choices)
        hint = f"; {_FROM_1.format(_numbers(len(choices)))}" if index == len(choices) else ""
        valid = f"valid: 0 to {len(choices) - 1}, for {listed}{hint}"
        raise DataError(f"{row.where}: gold {index} is out of range; {valid}")
    return index


def _gold_hint(value: Any, count: int) -> str:
    """A hint on a gold that is a number in quotes, or one letter."""
    text = value.strip() if isinstance(value, str) else ""
    if text.isdecimal():
        return f"; write {text} without quotes for an index, which counts from 0"
    if len(text) == 1 and text.isalpha():
        letters = ", ".join(ascii_uppercase[:count] if text.isupper() else ascii_uppercase[:count].lower())
        return f"; where it is the label of a choice, add 'labels: [{letters}]' under 'columns', or their column"
    return ""
