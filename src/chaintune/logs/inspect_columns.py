"""The summaries of an archive of Inspect, read a column at a time.

They are one list of JSON, and Arrow reads it as one row of a column of lists. What is of several types, or in any way
doubtful, is left to `inspect-ai`.
"""

import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chaintune.logs.fields import Fields
from chaintune.logs.inspect_samples import BETWEEN, LONGEST_TEXT
from chaintune.logs.inspect_scores import number_of, scorer_of
from chaintune.logs.irregular import Irregular
from chaintune.logs.regular import Raw

Path = tuple[str, ...]

_FIRST_BYTES, _FIRST = 2**18, 100
_TYPES = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
_ID, _EPOCH, _CHOICES = ("id",), ("epoch",), ("choices",)
# From this length on Inspect may have cut a text of the metadata, and put another in the place of a large value.
_CUT_LENGTH = 1000
_REMOVED = "Key removed from summary"


@dataclass(frozen=True, eq=False)
class Summaries:
    """A row a sample, which is an example of one epoch.

    Attributes:
        ids: of the examples, text or whole numbers.
        epochs: whole numbers.
        values: what each scored, NaN where it was not scored.
        raw: the fields asked for, by path.
        digests: the texts of `input` and `target`; null where they were too long to be told, or no texts.
        scorer: whose values these are.
        first: the first of them.
    """

    ids: pa.Array
    epochs: pa.Array
    values: np.ndarray[Any, np.dtype[np.float64]]
    raw: Raw
    digests: Mapping[str, pa.Array]
    scorer: str
    first: Mapping[str, Any]


def summaries_of(data: bytes, fields: Fields, asked: str | None, where: str) -> Summaries:
    """The summaries of an archive.

    Args:
        data: as Inspect writes them, without spaces.
        fields: which are read; its `score` is not.
        asked: the scorer; None for the only one.
        where: the file.

    Raises:
        Irregular: they are not regular.
        ConfigError: no scorer was asked for, and there are several.
    """
    first, whole = _beginning(data)
    scorer, place = _place_of(first, asked, where, whole=whole)
    if asked is None and not _only(scorer, data):
        raise Irregular("some samples may have other scores")
    paths = {path: _path(path) for path in fields.paths if path != fields.score}
    wanted = [_ID, _EPOCH, _CHOICES, place, *filter(None, paths.values())]
    wanted += [(name,) for name in ("input", "target") if _are_texts([row[name] for row in first])]
    rows = _rows(data, _tree(wanted, first, place))
    raw = {path: _deep(rows, steps) if steps else pa.nulls(len(rows), pa.string()) for path, steps in paths.items()}
    for path, column in raw.items():
        _check_whole(path, column)
    return Summaries(
        ids=_deep(rows, _ID),
        epochs=_deep(rows, _EPOCH),
        values=_values(_deep(rows, place)),
        raw=raw,
        digests={"input": _input(rows), "target": _told(_deep(rows, ("target",)))},
        scorer=scorer,
        first=first[0],
    )


def _beginning(data: bytes) -> tuple[list[dict[str, Any]], bool]:
    """Some summaries, and whether these are all."""
    text = data[:_FIRST_BYTES].decode("utf-8", "ignore")
    if not text.startswith('[{"id":') or b"\n" in data or not data.endswith(b"}]"):
        raise Irregular("its summaries are not written as Inspect writes them")
    found: list[dict[str, Any]] = []
    place, decoder = 0, json.JSONDecoder()
    while len(found) < _FIRST and text[place : place + 1] in ("[", ","):
        try:
            row, place = decoder.raw_decode(text, place + 1)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict) or not {"id", "epoch", "input", "target"} <= set(row):
            raise Irregular("a summary lacks an id, epoch, input or target")
        if not isinstance(row.get("scores") or {}, dict) or not isinstance(row.get("metadata") or {}, dict):
            raise Irregular("scores or metadata of a summary are no mapping")
        found.append(row)
    if not found:
        raise Irregular("its first summary is too long")
    return found, text[place:] == "]"


def _place_of(first: Sequence[Mapping[str, Any]], asked: str | None, where: str, *, whole: bool) -> tuple[str, Path]:
    """The scorer, and where a summary has its value."""
    told = [scores for row in first if (scores := _scores(row))]
    names = {name: value for scores in told for name, value in scores.items()}
    if not told or (asked is not None and not whole and _steps(names, asked) is None):
        raise Irregular("the first samples have not that score")
    scorer = scorer_of(told, asked, where)
    steps = _steps(names, scorer)
    if steps is None:
        raise Irregular("the name of the score may mean two of them")
    return scorer, steps


def _scores(row: Mapping[str, Any]) -> dict[str, Any]:
    scores = row.get("scores") or {}
    if not all(isinstance(score, dict) and "value" in score for score in scores.values()):
        raise Irregular("a score has no value")
    return {name: score["value"] for name, score in scores.items()}


def _steps(names: Mapping[str, Any], scorer: str) -> Path | None:
    """The way to a score's value in a summary; None where there is none, or more than one."""
    found: list[Path] = []
    for name, value in names.items():
        if isinstance(value, Mapping):
            if scorer.startswith(f"{name}."):
                found.append(("scores", name, "value", scorer.removeprefix(f"{name}.")))
        elif name == scorer:
            found.append(("scores", name, "value"))
    return found[0] if len(found) == 1 else None


def _only(scorer: str, data: bytes) -> bool:
    """Whether every score in the summaries is of that scorer, and each one plain."""
    name = json.dumps(scorer, ensure_ascii=False).encode(errors="replace")
    return data.count(b'":{"value":') == data.count(name + b':{"value":') > 0


def _path(path: str) -> Path | None:
    """The way to a field in a summary; None where no sample has such a field."""
    root, *inner = path.split(".")
    if path in ("id", "target"):
        return (path,)
    if root == "score" or path == "metadata":
        raise Irregular(f"'{path}' was asked for")
    return (root, *inner) if root == "metadata" else None


def _tree(wanted: Sequence[Path], first: Sequence[Mapping[str, Any]], number: Path) -> dict[str, Any]:
    """The types of the fields that are read, nested as they are."""
    tree: dict[str, Any] = {}
    for path in dict.fromkeys(wanted):
        branch = tree
        for step in path[:-1]:
            branch = branch.setdefault(step, {})
            if not isinstance(branch, dict):
                raise Irregular(f"'{'.'.join(path)}' lies in something else that is read")
        # Only NaN is not equal to itself, and it fits any type.
        kind = _kind([value for row in first if (value := _at(row, path)) == value])
        if path[-1] in branch:
            raise Irregular(f"something that is read lies in '{'.'.join(path)}'")
        branch[path[-1]] = pa.float64() if path == number and kind == pa.int64() else kind
    return tree


def _at(row: Any, path: Path) -> Any:
    return reduce(lambda here, step: here.get(step) if isinstance(here, Mapping) else None, path, row)


def _kind(values: Sequence[Any]) -> pa.DataType:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {list} and all(isinstance(part, str) for value in values for part in value or ()):
        return pa.list_(pa.string())
    if kinds == {int, float}:
        return pa.float64()
    if len(kinds) > 1 or not kinds <= set(_TYPES):
        raise Irregular("a field is not of one plain type")
    return _TYPES[kinds.pop()] if kinds else pa.string()


def _rows(data: bytes, tree: Mapping[str, Any]) -> pa.StructArray:
    import pyarrow.json as pj

    # Null is no value of a score, and NaN the one of those that were not scored; Arrow takes one for the other.
    if b'"value":null' in data:
        raise Irregular("a value is null")
    _check_text(data)
    row = b"".join((b'{"rows":', data.replace(b'"value":NaN', b'"value":null'), b"}"))
    try:
        table = pj.read_json(
            pa.BufferReader(row),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(row) + 1),
            parse_options=pj.ParseOptions(
                explicit_schema=pa.schema([pa.field("rows", pa.list_(_struct(tree)))]),
                unexpected_field_behavior="ignore",
            ),
        )
    except pa.ArrowException as error:
        raise Irregular("its summaries are not regular") from error
    if table.num_rows != 1:
        raise Irregular("its summaries are not one list")
    return table.column("rows").combine_chunks().flatten()


def _struct(tree: Mapping[str, Any]) -> pa.DataType:
    return pa.struct([(name, _struct(part) if isinstance(part, dict) else part) for name, part in tree.items()])


def _check_text(data: bytes) -> None:
    if data.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _FIRST_BYTES):
            decoder.decode(data[start : start + _FIRST_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise Irregular("its summaries are not UTF-8") from error


def _deep(rows: pa.StructArray, path: Path) -> pa.Array:
    """A field; null where it is, or something that it lies in, and where it was not read."""
    here = rows
    for step in path:
        place = here.type.get_field_index(step)
        if place < 0:
            return pa.nulls(len(rows), pa.string())
        here = pc.struct_field(here, [place])
    return here


def _check_whole(path: str, column: pa.Array) -> None:
    if pa.types.is_string(column.type):
        long = pc.any(pc.greater_equal(pc.utf8_length(column), _CUT_LENGTH)).as_py()
        if long or pc.any(pc.starts_with(column, _REMOVED)).as_py():
            raise Irregular(f"'{path}' may be cut in its summaries")


def _values(column: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    if pa.types.is_string(column.type):
        encoded = column.dictionary_encode()
        numbers = [number_of(word) for word in encoded.dictionary.to_pylist()]
        if any(isinstance(number, str) for number in numbers):
            raise Irregular("a value is no score")
        column = pa.array(numbers, pa.float64()).take(encoded.indices)
    try:
        values: np.ndarray[Any, np.dtype[np.float64]] = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy(
            zero_copy_only=False
        )
    except pa.ArrowException as error:
        raise Irregular("a value is no number") from error
    return values


def _are_texts(values: Sequence[Any]) -> bool:
    """Whether all are texts, or all lists of them."""
    return {type(value) for value in values} in ({str}, {list}) and all(
        isinstance(part, str) for value in values for part in value
    )


def _input(rows: pa.StructArray) -> pa.Array:
    """The question and its choices as one text."""
    if rows.type.get_field_index("input") < 0:
        return pa.nulls(len(rows), pa.string())
    choices = _told(_deep(rows, _CHOICES))
    return _short(pc.binary_join_element_wise(_deep(rows, ("input",)), choices, BETWEEN, null_handling="skip"))


def _told(column: pa.Array) -> pa.Array:
    if not pa.types.is_list(column.type):
        return _short(column)
    if pc.list_flatten(column).null_count:
        raise Irregular("a text is null")
    kept = pc.if_else(pc.equal(pc.list_value_length(column), 0), pa.scalar(None, column.type), column)
    return _short(pc.binary_join(kept, BETWEEN))


def _short(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.less_equal(pc.utf8_length(texts), LONGEST_TEXT), texts, pa.scalar(None, pa.string()))
