"""Rows of a user's own data -> examples, by the columns that the user names."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.files.cells import group_names, has_stray_blanks, json_in, plain_text
from chaintune.files.rows import Row, build_all, build_some, checked_text, kind, raise_problems
from chaintune.records import Choices, Example, Target, canonical_digest
from chaintune.records.examples import EXPECTS, Text, checked_expects, is_no_group
from chaintune.tasks.answer_rows import answer, content_of, conversation, pair, prompt_alone, text_alone
from chaintune.tasks.choice_rows import check_bars, note_on_first, question
from chaintune.tasks.columns import ColumnNames, resolve_columns
from chaintune.tasks.definition import Part
from chaintune.tasks.left_out import REPEATED, note_unusable
from chaintune.tasks.prompts import continuation

SPLITS: tuple[Part, Part] = ("train", "test")
UNUSABLE = ("error", "skip")
_SHOWN = 6
_ANSWERS = {"choices": "choices", "preference": "answers"}
_READ: Mapping[str, Callable[[Row, ColumnNames], tuple[Text, Target]]] = {
    "messages": conversation,
    "response": answer,
    "preference": pair,
    "text": text_alone,
    "prompt": prompt_alone,
}


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


def check_unusable(unusable: Any) -> None:
    """Refuse what does not say what becomes of rows that cannot be used.

    Raises:
        ConfigError: it is neither `error` nor `skip`.
    """
    if not isinstance(unusable, str) or unusable not in UNUSABLE:
        raise ConfigError(f"unusable: {kind(unusable)} is no valid value; {nearest(str(unusable), UNUSABLE)}")


def read_items(
    rows: Sequence[Row],
    columns: Mapping[str, Any],
    where: str,
    left_out: Counter[str],
    *,
    unusable: str = "error",
    generated: bool = False,
) -> Items:
    """The items of rows.

    Args:
        rows: of the data.
        columns: as `resolve_columns` takes them.
        where: of the data, for messages.
        left_out: counts what is skipped.
        unusable: `error`, or `skip` for rows that cannot be used.
        generated: whether a model writes the answers, so that prompts alone will do.

    Raises:
        ConfigError: the columns, or `unusable`, are none.
        DataError: of every row that cannot be used, in one message; of all rows, where they are skipped.
    """
    check_unusable(unusable)
    named = resolve_columns(rows, columns, where, generated=generated)
    check_bars(rows, named, where)
    built, problems = build_some(rows, lambda row: _example(row, named))
    used = [(row, example) for row, example in zip(rows, built, strict=True) if example is not None]
    if unusable == "error" or not used:
        raise_problems(problems)
    note_unusable(problems, left_out)
    kept, examples = [row for row, _ in used], [example for _, example in used]
    return Items(kept, named, examples, _notes_on(kept, named, examples))


def each_once(items: Items, left_out: Counter[str], *, unusable: str = "error") -> Items:
    """The items without those that repeat another, which are one item; an id that two items bear is an error.

    Rows without ids that ask the same of other groups, or in other clusters, are items of their own.

    Raises:
        DataError: of every row whose id is taken, or that gives the same question another right answer.
    """
    first: dict[str, tuple[Row, Example]] = {}
    bearers: dict[str, set[str]] = {}
    kept, problems = [], []
    for row, example in zip(items.rows, items.examples, strict=True):
        one, other = first.setdefault(example.id, (row, example))
        split, alike = (
            items.columns.split,
            f"same prompt and {_ANSWERS.get(items.columns.form, 'answer')} as {one.where}",
        )
        known = bearers.setdefault(example.id, set())
        bearer = canonical_digest([example.id, example.groups, example.cluster])[:16]
        if other is not example and items.columns.id:
            problems.append(
                f"{row.where}: id '{example.id}' is taken by {one.where}; every row needs its own, and repeats of one "
                "example share a cluster"
            )
        elif split and row.get(split) != one.get(split):
            problems.append(f"{row.where}: {alike}, of another split; remove one")
        elif other.target != example.target:
            problems.append(f"{row.where}: {alike}; remove one, or tell them apart by an id")
        elif bearer in known:
            left_out[REPEATED] += 1
        else:
            known.add(bearer)
            kept.append((row, example, bearer))
    if unusable == "error":
        raise_problems(problems)
    note_unusable(problems, left_out)
    # All that share a question are named anew, not the later ones: names must not hang on the order of the rows.
    examples = [replace(one, id=bearer) if len(bearers[one.id]) > 1 else one for _, one, bearer in kept]
    return Items([row for row, _, _ in kept], items.columns, examples, items.notes)


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
    return notes + note_on_first(rows, columns, examples)


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
    # A name is derived from content, not from the row number: keys must not change when rows change places. Which of
    # several answers is right is no part of it.
    prompt: Text
    target: Target
    if columns.form == "choices":
        prompt, choices, gold = question(row, columns)
        target = Choices(tuple(continuation(prompt, choice) for choice in choices), gold)
        content: Any = [prompt, choices]
    else:
        prompt, target = _READ[columns.form](row, columns)
        content = content_of(prompt, target)
    name = name_of(row, columns.id) if columns.id else canonical_digest(content)[:16]
    partners = name_of(row, columns.pair) if columns.pair and not _is_blank(row, columns.pair) else ""
    cluster = name_of(row, columns.cluster) if columns.cluster and not _is_blank(row, columns.cluster) else partners
    return Example(
        name, prompt, target, groups_of(row, columns), cluster or name, pair=partners, extra=_extra(row, columns)
    )


def _extra(row: Row, columns: ColumnNames) -> dict[str, Any]:
    """What a scorer reads beside the prompt, as data that JSON can hold."""
    cells = {name: row.get(column) for name, column in columns.extra.items()}
    extra = {name: _for_json(row, columns.extra[name], cell) for name, cell in cells.items() if not is_no_group(cell)}
    if columns.expects:
        extra[EXPECTS] = row.text(columns.expects).strip()
    if EXPECTS in extra:
        checked_expects(str(extra[EXPECTS]), row.where)
    return extra


def _for_json(row: Row, column: str, value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        text = plain_text(value)
        if text is None:
            raise DataError(f"{row.where}: field '{column}' holds {kind(value)}, which JSON cannot") from error
        return text
    return value


def _is_blank(row: Row, column: str) -> bool:
    value = row.get(column)
    return is_no_group(value.strip() if isinstance(value, str) else value)


def _group_map(row: Row, column: str) -> dict[str, Any]:
    value = row.get(column)
    if value is None:
        return {}
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json_in(value, f"{row.where}: field '{column}'")
    if not isinstance(value, Mapping):
        raise DataError(
            f"{row.where}: field '{column}' must map dimensions to groups, got {kind(value)}; "
            f"or name a column for each dimension under 'columns', as in 'groups: {{{column}: {column}}}'"
        )
    return dict(value)


def _split(row: Row, column: str) -> str:
    split = row.text(column)
    if split not in SPLITS:
        raise DataError(f"{row.where}: split '{split}' is not known; {nearest(split, SPLITS)}")
    return split
