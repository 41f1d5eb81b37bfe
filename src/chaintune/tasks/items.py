"""Rows of a user's own data -> examples, by the columns that the user names."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.files.cells import group_names, has_stray_blanks, json_in, plain_text
from chaintune.files.rows import Row, build_all, build_some, checked_text, kind, raise_problems
from chaintune.records import Choices, Example, canonical_digest
from chaintune.records.examples import is_no_group
from chaintune.tasks.columns import IN_BRACES, ColumnNames, resolve_columns
from chaintune.tasks.definition import Part
from chaintune.tasks.left_out import REPEATED, note_unusable
from chaintune.tasks.prompts import choice_defect, continuation

SPLITS: tuple[Part, Part] = ("train", "test")
UNUSABLE = ("error", "skip")
_SHOWN = 6
# Fewer rows may well have no answer that comes first.
_ENOUGH_TO_DOUBT = 20
_FROM_1 = "where the data counts from 1, add 'labels: [{}]' under 'columns'"


@dataclass(frozen=True)
class Items:
    """Rows of a user's own data that are used, and what was made of them.

    Attributes:
        rows: in the order of the data.
        columns: that were read.
        examples: one a row.
        notes: a sentence for each rule by which cells were read, with the number of rows.
    """

    rows: Sequence[Row]
    columns: ColumnNames
    examples: Sequence[Example]
    notes: Sequence[str] = ()


def read_items(
    rows: Sequence[Row], columns: Mapping[str, Any], where: str, left_out: Counter[str], *, unusable: str = "error"
) -> Items:
    """The items of rows.

    Args:
        rows: of the data.
        columns: as `resolve_columns` takes them.
        where: of the data, for messages.
        left_out: counts what is skipped.
        unusable: `error`, or `skip` for rows that cannot be used.

    Raises:
        ConfigError: the columns, or `unusable`, are none.
        DataError: of every row that cannot be used, in one message; of all rows, where they are skipped.
    """
    if not isinstance(unusable, str) or unusable not in UNUSABLE:
        raise ConfigError(f"unusable: {kind(unusable)} is no valid value; {nearest(str(unusable), UNUSABLE)}")
    named = resolve_columns(rows, columns, where)
    _check_bars(rows, named, where)
    built, problems = build_some(rows, lambda row: _example(row, named))
    used = [(row, example) for row, example in zip(rows, built, strict=True) if example is not None]
    if unusable == "error" or not used:
        raise_problems(problems)
    note_unusable(problems, left_out)
    kept, examples = [row for row, _ in used], [example for _, example in used]
    return Items(kept, named, examples, _notes_on(kept, named, examples))


def each_once(items: Items, left_out: Counter[str], *, unusable: str = "error") -> Items:
    """The items without those that repeat another, which are one item; an id that two items bear is an error.

    Args:
        items: of a file of the user's own.
        left_out: counts what is left out.
        unusable: as `read_items` takes it.

    Raises:
        DataError: of every row whose id is taken, or that gives the same question another right answer.
    """
    first: dict[str, tuple[Row, Example]] = {}
    kept, problems = [], []
    for row, example in zip(items.rows, items.examples, strict=True):
        one, other = first.setdefault(example.id, (row, example))
        split = items.columns.split
        if other is example:
            kept.append((row, example))
        elif items.columns.id:
            problems.append(f"{row.where}: id '{example.id}' is taken by {one.where}; every row needs its own")
        elif split and row.get(split) != one.get(split):
            problems.append(f"{row.where}: same prompt and choices as {one.where}, of another split; remove one")
        elif other.target != example.target:
            problems.append(
                f"{row.where}: same prompt and choices as {one.where}; remove one, or tell them apart by an id"
            )
        else:
            left_out[REPEATED] += 1
    if unusable == "error":
        raise_problems(problems)
    note_unusable(problems, left_out)
    return Items([row for row, _ in kept], items.columns, [example for _, example in kept], items.notes)


def split_names(where: str, split: Any, there: Sequence[str]) -> dict[str, str]:
    """`train` and `test`, or `all`, -> the part of the data that is read as such.

    Args:
        where: of the data, for messages.
        split: as the user names it: one part, or one for each of train and test; None where there is no doubt.
        there: names of the parts.

    Raises:
        ConfigError: something else is named.
        DataError: there is no such part, or there are several and none is named.
    """
    if split is None:
        if set(there) == set(SPLITS):
            return dict(zip(SPLITS, SPLITS, strict=True))
        if len(there) > 1:
            raise DataError(
                f"{where} has the splits {', '.join(there[:_SHOWN])}{', ...' if len(there) > _SHOWN else ''}; name one "
                f"as 'split', to be cut by cluster, or two: 'split: {{train: {there[0]}, test: {there[-1]}}}'"
            )
        return {"all": there[0]}
    if not isinstance(split, str) and (not isinstance(split, Mapping) or set(split) != set(SPLITS)):
        raise ConfigError(f"split: expected one name, or one for each of train and test, got {kind(split)}")
    names = {"all": split} if isinstance(split, str) else dict(split)
    for name in names.values():
        if name not in there:
            raise DataError(f"{where}: no split '{name}'; {nearest(str(name), there)}")
    return names


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
    groups = {
        dimension: group_names(value, f"{row.where}: group of dimension '{dimension}'", untyped=row.untyped)
        for dimension, value in sorted(by_dimension.items())
    }
    return {dimension: names for dimension, names in groups.items() if names}


def _notes_on(rows: Sequence[Row], columns: ColumnNames, examples: Sequence[Example]) -> list[str]:
    """What was made of cells that are read by a rule: a sentence each, with the number of rows."""
    named = [columns.group_map] if columns.group_map else list((columns.groups or {}).values())
    blanks = sum(any(_blanks_in(row.get(column)) for column in named) for row in rows)
    alone = sum(_is_blank(row, columns.cluster) for row in rows) if columns.cluster else 0
    notes = [f"{number_of(blanks, 'row')} with blanks around a group's name, which were removed"] if blanks else []
    notes += [f"{number_of(alone, 'row')} without a cluster, each one of its own"] if alone else []
    return notes + _note_on_first(rows, columns, examples)


def _note_on_first(rows: Sequence[Row], columns: ColumnNames, examples: Sequence[Example]) -> list[str]:
    """A sentence where no right answer is the first of three or more, as where they are counted from 1."""
    if columns.labels or not isinstance(columns.gold, str) or len(rows) < _ENOUGH_TO_DOUBT:
        return []
    counted = all(str(row.get(columns.gold)).strip().isdecimal() for row in rows)
    golds = {example.choices.gold for example in examples}
    if not counted or 0 in golds or len(golds) == 1:
        return []
    return [f"no row has gold 0; {_FROM_1.format(_numbers(max(len(one.choices.texts) for one in examples)))}"]


def _numbers(count: int) -> str:
    return ", ".join(map(str, range(1, count + 1)))


def _blanks_in(value: Any) -> bool:
    return any(map(has_stray_blanks, value.values())) if isinstance(value, Mapping) else has_stray_blanks(value)


def name_of(row: Row, column: str) -> str:
    """What names something, as text: a text, whole number, date or time.

    Raises:
        DataError: the column holds something else.
    """
    value = row.value(column)
    # A join, or a value that was missing once, makes fractions of whole numbers.
    fraction = isinstance(value, float) and not value.is_integer()
    text = value if isinstance(value, bool) or fraction else plain_text(value)
    return checked_text(value if text is None else text, f"{row.where}: field '{column}'")


def _example(row: Row, columns: ColumnNames) -> Example:
    prompt = _filled(row, columns.prompt) if IN_BRACES.search(columns.prompt) else row.text(columns.prompt)
    choices = _choices(row, columns.choices)
    gold = _gold(row, columns, choices)
    # Derived from content, not from the row number: keys must not change when rows change places.
    name = name_of(row, columns.id) if columns.id else canonical_digest([prompt, choices])[:16]
    cluster = name_of(row, columns.cluster) if columns.cluster and not _is_blank(row, columns.cluster) else name
    texts = tuple(continuation(prompt, choice) for choice in choices)
    return Example(name, prompt, Choices(texts, gold), groups_of(row, columns), cluster)


def _is_blank(row: Row, column: str) -> bool:
    value = row.get(column)
    return is_no_group(value.strip() if isinstance(value, str) else value)


def _filled(row: Row, template: str) -> str:
    return IN_BRACES.sub(lambda field: _printed(row, field[1]), template)


def _printed(row: Row, column: str) -> str:
    """A value as part of a text."""
    value = row.value(column)
    text = plain_text(value)
    return checked_text(value if text is None else text, f"{row.where}: field '{column}'")


def _choices(row: Row, columns: str | tuple[str, ...]) -> list[str]:
    if isinstance(columns, tuple):
        texts, what = [_filled(row, text) for text in columns], "the choices"
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


def _check_bars(rows: Iterable[Row], columns: ColumnNames, where: str) -> None:
    """Nothing, unless rows write different numbers of choices with `|` between: one of them may hold a `|`.

    Raises:
        DataError: they do; the message says what each reading is.
    """
    if isinstance(columns.choices, tuple):
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


def _gold(row: Row, columns: ColumnNames, choices: Sequence[str]) -> int:
    if isinstance(columns.gold, int):
        return _in_range(row, columns.gold, choices)
    if IN_BRACES.search(columns.gold):
        value: Any = _filled(row, columns.gold)
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


def _group_map(row: Row, column: str) -> dict[str, Any]:
    value = row.get(column)
    if value is None:
        return {}
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json_in(value, f"{row.where}: field '{column}'")
    if not isinstance(value, Mapping):
        raise DataError(
            f"{row.where}: field '{column}' must map dimensions to groups, got {kind(value)}; "
            "or name a column for each dimension under 'columns'"
        )
    return dict(value)


def _split(row: Row, column: str) -> str:
    split = row.text(column)
    if split not in SPLITS:
        raise DataError(f"{row.where}: split '{split}' is not known; {nearest(split, SPLITS)}")
    return split
