"""The columns of a user's own data."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.cells import plain_text
from chaintune.files.rows import Row, checked_text, kind
from chaintune.tasks.formats import TARGET_KEYS, Form, form_of

OPTIONAL = ("id", "cluster", "split")
# Read where they are named, and where a model writes the answers.
OF_PROMPTS = ("pair", "expects")
KEYS = (*TARGET_KEYS, *OPTIONAL, *OF_PROMPTS, "groups", "extra")
_TEMPLATES = ("prompt", "gold", "response", "chosen", "rejected", "text")
IN_BRACES = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Column names; `column.field` is a named field inside a column. What the form does not take is empty.

    Attributes:
        form: what they make together.
        prompt: a column, or a text in which `{column}` stands for what that column holds.
        choices: a column that holds them all, or a text of that kind for each.
        gold: a column, a text of that kind, or the index of the choice that is right in every row.
        labels: the labels of the choices, or the column that holds them, when gold is one of them.
        messages: a column that holds a conversation.
        response, chosen, rejected, text: a column, or a text of that kind.
        input: a column whose text follows the prompt where a row has one.
        system: a column whose text begins the conversation where a row has one.
        id, cluster, split, pair, expects: empty where the data has none.
        groups: dimension -> the column that holds its group or list of groups.
        group_map: the column that maps dimensions to groups in each row; empty where there is none.
        extra: name -> the column that a scorer reads by this name.
        generated: whether a model writes the answers, so that conversations may end with the user.
    """

    form: Form
    prompt: str = ""
    choices: str | tuple[str, ...] = ""
    gold: str | int = ""
    labels: str | tuple[str, ...] = ""
    messages: str = ""
    response: str = ""
    chosen: str = ""
    rejected: str = ""
    text: str = ""
    input: str = ""
    system: str = ""
    id: str = ""
    cluster: str = ""
    split: str = ""
    pair: str = ""
    expects: str = ""
    groups: Mapping[str, str] | None = None
    group_map: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    generated: bool = False


def resolve_columns(
    rows: Iterable[Row], columns: Mapping[str, Any], where: str, *, generated: bool = False
) -> ColumnNames:
    """The columns to read: those named, else those of the usual names, as far as the data has them.

    Args:
        rows: of the data.
        columns: `prompt`, `choices`, `gold`, `labels`, `messages`, `response`, `chosen`, `rejected`, `text`, `input`,
            `system`, `id`, `cluster`, `split`, `pair`, `expects` -> column, `groups` -> a mapping of dimension to
            column, or one column that holds such a mapping in each row, and `extra` -> columns that a scorer reads, or
            a mapping of its name for each to the column. Texts that are read may be named as a text with columns in
            braces, `choices` as a list of such texts, `labels` as a list of labels, and `gold` also as one of these
            texts or labels, or an index. A key whose value is None counts as absent.
        where: of the data, for messages.
        generated: whether a model writes the answers, so that prompts alone will do.

    Raises:
        ConfigError: a key that is not known, or a column name that is no text, or keys that do not go together.
        DataError: the data lacks a column, or can be read in two ways.
    """
    if not isinstance(columns, Mapping):
        raise ConfigError(f"columns: expected a mapping such as {{'prompt': 'question'}}, got {kind(columns)}")
    columns = {key: column for key, column in columns.items() if column is not None}
    _check_keys(columns)
    there = list(dict.fromkeys(name for row in rows for name in row.columns()))
    target = {key: column for key, column in columns.items() if key in TARGET_KEYS}
    form, names = form_of(target, there, where, generated=generated)
    usual = (*OPTIONAL, *OF_PROMPTS) if generated else OPTIONAL
    names |= {
        key: columns.get(key, key)
        for key in (*OPTIONAL, *OF_PROMPTS)
        if key in columns or (key in usual and key in there)
    }
    groups = columns.get("groups", "groups" if "groups" in there else {})
    by_dimension = dict(groups) if isinstance(groups, Mapping) else {}
    group_map = "" if isinstance(groups, Mapping) else str(groups)
    for key in ("choices", "labels"):
        if isinstance(names.get(key), list | tuple):
            names[key] = tuple(map(str, names[key]))
    names |= {"gold": _gold(names, there, where)} if form == "choices" else {}
    extra = _extra(columns.get("extra", []))
    read = [
        *_named_columns(names),
        *_group_columns(by_dimension, group_map),
        *(("extra", own) for own in extra.values()),
    ]
    _check_present(read, there, where)
    return ColumnNames(form, **names, groups=by_dimension, group_map=group_map, extra=extra, generated=generated)


def _extra(named: Any) -> dict[str, str]:
    """Name -> column, of columns for scorers; a column that is only listed keeps its name."""
    if isinstance(named, Mapping):
        return dict(named)
    return {column: column for column in ([named] if isinstance(named, str) else named)}


def _gold(names: Mapping[str, Any], there: Sequence[str], where: str) -> str | int:
    """The index of a choice where gold is the text or label of one in every row; else gold as it is named."""
    gold = names["gold"]
    listed = names.get("labels") or names["choices"]
    own = [text.strip() for text in listed] if isinstance(listed, tuple) else []
    if not isinstance(gold, str) or IN_BRACES.search(gold) or gold.strip() not in own:
        return gold if isinstance(gold, str) else int(gold)
    if gold in there:
        raise ConfigError(
            f"{where}: gold '{gold}' is a column and one of the choices; write '{{{gold}}}' for the column, or "
            f"{own.index(gold.strip())} for the choice"
        )
    return own.index(gold.strip())


def template_columns(template: str) -> list[str]:
    """The columns that a text names in braces; the text itself when it names none."""
    return IN_BRACES.findall(template) or [template]


def filled(row: Row, template: str) -> str:
    """A text with columns in braces, with what a row holds in their place.

    Raises:
        DataError: a column holds no text, number, truth value or date.
    """
    return IN_BRACES.sub(lambda field: _printed(row, field[1]), template)


def _printed(row: Row, column: str) -> str:
    """A value as part of a text."""
    value = row.value(column)
    text = plain_text(value)
    return checked_text(value if text is None else text, f"{row.where}: field '{column}'")


def _named_columns(names: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key -> each column that is read for it."""
    for key, named in names.items():
        if isinstance(named, tuple):
            yield from ((key, column) for text in named if key == "choices" for column in IN_BRACES.findall(text))
        elif isinstance(named, str):
            yield from ((key, column) for column in (template_columns(named) if key in _TEMPLATES else [named]))


def _group_columns(by_dimension: Mapping[str, str], group_map: str) -> Iterator[tuple[str, str]]:
    yield from ((f"groups.{dimension}", column) for dimension, column in by_dimension.items())
    if group_map:
        yield "groups", group_map


def _check_present(named: Iterable[tuple[str, str]], there: list[str], where: str) -> None:
    missing = [(key, column) for key, column in named if column not in there]
    if not missing:
        return
    listed = ", ".join(f"'{column}' for {key}" if column != key else f"'{column}'" for key, column in missing)
    quoted = any(column.startswith("[") for _, column in missing)
    todo = "write a list without quotes around it" if quoted else "name the data's own columns under 'columns'"
    if not quoted and any(key == "choices" for key, _ in missing):
        todo += ", or the choices themselves where all rows offer the same, 'choices: [bad, good]'"
    raise DataError(f"{where}: no column {listed}; {nearest(missing[0][1], there)}; {todo}")


def _check_keys(columns: Mapping[str, Any]) -> None:
    for key, column in columns.items():
        if key not in KEYS:
            raise ConfigError(f"columns: '{key}' is not known; {nearest(str(key), KEYS)}")
        types: Any = str
        if key in ("groups", "extra") and isinstance(column, Mapping):
            named = [*column.keys(), *column.values()]
        elif key in ("choices", "labels", "extra") and isinstance(column, list | tuple):
            named, types = list(column), str | int if key == "labels" else str
        else:
            named, types = [column], str | int if key == "gold" else str
        if wrong := [value for value in named if not isinstance(value, types) or isinstance(value, bool)]:
            what = "a column or the index of a choice" if key == "gold" else "a column"
            how = "; one for each dimension, as in 'groups: {sex: sex}'" if key == "groups" else ""
            raise ConfigError(f"columns: '{key}' must name {what}, got {kind(wrong[0])}{how}")
