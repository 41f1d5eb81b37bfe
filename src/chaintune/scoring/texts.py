"""Texts that are written already: in score files of chaintune, or in a table that any program made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.files.cells import group_names, json_in, plain_text
from chaintune.files.frames import KINDS, frame_rows
from chaintune.files.reading import parquet_columns, read_rows, user_path
from chaintune.files.rows import Row, build_all, kind
from chaintune.records import Example, Measurement, Message, Reference, Scores, Task, canonical_digest
from chaintune.records.examples import (
    COMPLY,
    EXPECTS,
    LABEL,
    REFUSE,
    Text,
    checked_expects,
    examples_digest,
    is_no_group,
    text_of,
)
from chaintune.records.generation import GENERATED, GENERATION

UNNAMED = "items"
TEXTS = "texts"
# What a table may hold, besides its groups; all other columns are handed to the scorer as they are.
COLUMNS = ("id", "prompt", "text", "sample", "task", "cluster", "pair", "reference", EXPECTS)
_GROUPS = "groups"
# What an earlier scorer made of the texts, which says nothing of another.
_OF_THE_SCORER = ("rounding", "judge", "judge_key", "scores_key")


@dataclass(frozen=True, eq=False)
class WrittenTexts:
    """What was answered to the examples of one task.

    Attributes:
        task: its name.
        examples: one for each id, sorted by it, with what is known of it: perhaps neither prompt nor right answer.
        texts: example id -> its samples.
        where: file or table.
        about: what made the texts (checkpoint, model, task version, ...), text to text.
    """

    task: str
    examples: tuple[Example, ...]
    texts: Mapping[str, Sequence[str]]
    where: str
    about: Mapping[str, str]

    def measurement(self) -> Measurement:
        """The texts as a checkpoint's measurement; why each of them ended is not known."""
        rows = [(example.id, k, text) for example in self.examples for k, text in enumerate(self.texts[example.id])]
        columns = dict(zip(("example_id", "sample", "text"), zip(*rows, strict=True), strict=True))
        arrays = [pa.array(columns.get(part.name, [None] * len(rows)), part.type) for part in GENERATED]
        return Measurement(GENERATION, pa.Table.from_arrays(arrays, schema=GENERATED), self.about).sorted()

    def known_from(self, task: Task) -> "WrittenTexts":
        """The same texts, with prompts, right answers and groups as a task has them.

        Groups and further columns of their own stay.

        Raises:
            DataError: the task lacks an example.
        """
        known = {example.id: example for example in (*task.train, *task.test)}
        if missing := [example.id for example in self.examples if example.id not in known]:
            many = number_of(len(missing), "example is", "examples are")
            raise DataError(f"{self.where}: {many} none of task '{task.name}', such as '{missing[0]}'")
        both = [(known[own.id], own) for own in self.examples]
        examples = tuple(
            replace(one, groups={**own.groups, **one.groups}, extra={**own.extra, **one.extra}) for one, own in both
        )
        return replace(self, examples=examples, about={"task_version": task.version, **self.about})


def texts_in(
    source: Any, *, columns: Mapping[str, str] | None = None, by: Sequence[str] = ()
) -> tuple[list[WrittenTexts], list[str]]:
    """The texts of each task of a source, and the files of a folder that hold none.

    Args:
        source: a score file of chaintune or a folder of such; a table, as a file or in memory, with a row a text; or
            scores.
        columns: of a table: what it is -> the column that holds it; those of `COLUMNS` not named are called so.
        by: of a table: columns that hold groups.

    Raises:
        ConfigError: columns of what has none of the user's, or of a name that is none.
        DataError: it cannot be read, or holds no texts.
    """
    named = dict(columns or {})
    for name in named:
        if name == _GROUPS:
            raise ConfigError("columns: 'groups': columns of groups are named by --by (in Python: by=)")
        if name not in COLUMNS:
            raise ConfigError(f"columns: '{name}': {nearest(name, COLUMNS)}")
    if isinstance(source, Scores):
        return [_of_scores(source, f"the scores of '{source.task}'")], []
    if not isinstance(source, str | Path):
        rows = frame_rows(source, where := f"texts ({type(source).__name__})")
        if rows is None:
            raise ConfigError(f"texts: expected a path, scores, {KINDS}, got {type(source).__name__}")
        return _of_rows(rows, named, by, where), []
    path = user_path(source)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: the folder holds no score file (*.parquet); name a table by its file")
    if not _are_scores(files[0]):
        return _of_rows(read_rows(path), named, by, str(path)), []
    if named or by:
        raise ConfigError(f"{path}: score files of chaintune have columns and groups of their own; name none")
    scores = {file: Scores.read(file) for file in files}
    without = [str(file) for file, one in scores.items() if TEXTS not in one.details]
    if len(without) == len(files):
        raise DataError(f"{path}: these scores are of no texts; a task with 'measure: generation' has some")
    return [_of_scores(one, str(file)) for file, one in scores.items() if str(file) not in without], without


def _are_scores(path: Path) -> bool:
    return path.suffix == ".parquet" and {"task", "example_id", "score"} <= set(parquet_columns(path))


def _of_scores(scores: Scores, where: str) -> WrittenTexts:
    if TEXTS not in scores.details:
        raise DataError(f"{where}: these scores are of no texts; a task with 'measure: generation' has some")
    rows = scores.table.to_pylist()
    # What is expected of an answer is its example's label, whoever scored it.
    labels = [next(iter(dict(row["groups"] or ()).get(LABEL) or ()), row["label"]) for row in rows]
    expected = all(label in (REFUSE, COMPLY) for label in labels)
    examples = [
        Example(
            id=row["example_id"],
            prompt=text_of(row.get("prompt") or "", row.get("turns")),
            target=None,
            groups={name: tuple(groups) for name, groups in row["groups"] or ()},
            cluster=row["cluster"],
            pair=row["pair"] or "",
            extra={EXPECTS: label} if expected else {},
        )
        for row, label in zip(rows, labels, strict=True)
    ]
    texts = {row["example_id"]: tuple(row[TEXTS]) for row in rows}
    kept = {name: value for name, value in scores.provenance.items() if name not in _OF_THE_SCORER}
    # Those of a model in training are of no checkpoint.
    about = {"checkpoint": _checkpoint(scores.task, texts), **kept}
    return WrittenTexts(scores.task, tuple(examples), texts, where, about)


def _checkpoint(task: str, texts: Mapping[str, Sequence[str]]) -> str:
    """What stands for a checkpoint of which nothing is known but its texts."""
    return f"texts {canonical_digest([task, sorted((name, list(own)) for name, own in texts.items())])}"


def _of_rows(rows: Sequence[Row], named: Mapping[str, str], by: Sequence[str], where: str) -> list[WrittenTexts]:
    """The texts of a table, task by task."""
    if not rows:
        raise DataError(f"{where}: holds no rows")
    columns = {name: named.get(name, name) for name in COLUMNS}
    there = list(rows[0].columns())
    for name in (*(columns[need] for need in ("id", "text")), *named.values(), *by):
        if name not in there:
            lacks = f"; name it by --columns {name}=COLUMN" if name in ("id", "text") else ""
            raise DataError(f"{where}: there is no column '{name}'; {nearest(name, there)}{lacks}")
    read = build_all(rows, lambda row: _text(row, columns, by))
    by_task: dict[str, list[_Read]] = {}
    for one in read:
        by_task.setdefault(one.task, []).append(one)
    return [_task_texts(task, own, columns, where) for task, own in by_task.items()]


@dataclass(frozen=True, slots=True)
class _Read:
    """One row of a table."""

    task: str
    example: Example
    sample: int | None
    text: str
    where: str


def _text(row: Row, columns: Mapping[str, str], by: Sequence[str]) -> _Read:
    name = _name(row, columns["id"])
    # A CSV file has no other way to hold an empty text.
    text = "" if (value := row.get(columns["text"])) is None and row.untyped else value
    if not isinstance(text, str):
        raise DataError(
            f"{row.where}: field '{columns['text']}' is {kind(text)}, expected the text that was answered; an answer "
            'that was empty is ""'
        )
    cluster, reference = (row.get(columns[part]) for part in ("cluster", "reference"))
    taken = {*columns.values(), *by, _GROUPS, EXPECTS}
    others = {key: value for key, value in row.values.items() if key not in taken and _is_plain(value)}
    expects = row.get(columns[EXPECTS])
    example = Example(
        id=name,
        prompt=_prompt(row, columns["prompt"]),
        target=None if reference is None else Reference(row.text(columns["reference"])),
        groups=_groups(row, by),
        cluster=name if is_no_group(cluster) else _name(row, columns["cluster"]),
        pair="" if is_no_group(row.get(columns["pair"])) else _name(row, columns["pair"]),
        extra=others if is_no_group(expects) else others | {EXPECTS: _expects(row, columns[EXPECTS])},
    )
    task = row.get(columns["task"])
    sample = row.get(columns["sample"])
    return _Read(
        UNNAMED if is_no_group(task) else _name(row, columns["task"]),
        example,
        None if sample is None else _whole(sample, f"{row.where}: field '{columns['sample']}'"),
        text,
        row.where,
    )


def _task_texts(task: str, rows: Sequence[_Read], columns: Mapping[str, str], where: str) -> WrittenTexts:
    by_id: dict[str, dict[int, _Read]] = {}
    for row in rows:
        own = by_id.setdefault(row.example.id, {})
        sample = row.sample or 0
        if sample in own:
            twice = f"id '{row.example.id}' is taken by {own[sample].where}"
            several = f"where a prompt has several answers, a column '{columns['sample']}' numbers them"
            raise DataError(f"{row.where}: {twice}; {several if row.sample is None else 'and so is its sample'}")
        own[sample] = row
    firsts = {name: next(iter(own.values())) for name, own in sorted(by_id.items())}
    _check_expected(list(firsts.values()))
    texts = {name: tuple(own[k].text for k in sorted(own)) for name, own in by_id.items()}
    examples = tuple(one.example for one in firsts.values())
    # What a program notes of its answers, say their length, is no part of what was asked.
    asked = [replace(one, extra={key: one.extra[key] for key in (EXPECTS,) if key in one.extra}) for one in examples]
    about = {"model": where, "checkpoint": _checkpoint(task, texts), "test_digest": examples_digest(asked)}
    return WrittenTexts(task, examples, texts, where, about)


def _check_expected(read: Sequence[_Read]) -> None:
    """Refuse a table that says of some examples only what is expected.

    Raises:
        DataError: it does.
    """
    without = [one for one in read if EXPECTS not in one.example.extra]
    if without and (known := len(read) - len(without)):
        raise DataError(
            f"{without[0].where}: expects is empty, and of {number_of(known, 'other example')} it is known; it has to "
            "be in every row or in none"
        )


def _prompt(row: Row, column: str) -> Text:
    prompt = row.get(column)
    if isinstance(prompt, list | tuple):
        turns = [Row(f"{row.where}, turn {k}", turn) for k, turn in enumerate(prompt, 1) if isinstance(turn, Mapping)]
        return tuple(Message(turn.text("role"), turn.text("content")) for turn in turns)
    return "" if is_no_group(prompt) else row.text(column)


def _expects(row: Row, column: str) -> str:
    return checked_expects(row.text(column).strip(), row.where)


def _groups(row: Row, by: Sequence[str]) -> dict[str, tuple[str, ...]]:
    own = row.get(_GROUPS)
    if isinstance(own, str) and own.lstrip().startswith("{"):
        own = json_in(own, f"{row.where}: field '{_GROUPS}'")
    values = {**(own if isinstance(own, Mapping) else {}), **{dimension: row.get(dimension) for dimension in by}}
    named = {
        dimension: group_names(value, f"{row.where}: group of dimension '{dimension}'", untyped=row.untyped)
        for dimension, value in values.items()
        if dimension != LABEL
    }
    return {dimension: groups for dimension, groups in named.items() if groups}


def _name(row: Row, column: str) -> str:
    name = plain_text(row.value(column))
    if not name:
        raise DataError(f"{row.where}: field '{column}' is {kind(row.get(column))}, expected a name or a number")
    return name


def _whole(value: Any, what: str) -> int:
    text = plain_text(value) or ""
    if not text.isdecimal():
        raise DataError(f"{what} is {kind(value)}, expected 0, 1, 2, ...")
    return int(text)


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return value is not None
