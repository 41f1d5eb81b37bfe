"""From columns of any log to item scores, every fault with its place."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from chaintune.errors import DataError, nearest
from chaintune.files.columns import Columns
from chaintune.logs.details import with_details
from chaintune.logs.log import Digests
from chaintune.records import Scores
from chaintune.records.examples import is_no_group
from chaintune.records.items import Groups, items_table, labelled, plain_scores
from chaintune.records.metrics import Direction

_MOST_FAULTS = 5
_WORDS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Fields:
    """The fields of a row that are read; dotted names lie deeper.

    Attributes:
        id: of the example.
        score: of the example.
        cluster: None and every example is its own.
        dimensions: dimension -> the field that holds the example's groups on it.
        digests: what is known of the example, by name -> field; left out where a row has none.
        missing: why an example has no score, where its score is null; empty where the log does not say.
        details: what else is known of the example, such as `answer` or `label` -> field; null where a row has none.
        balanced: whether labels and answers that agree with the scores make balanced accuracy of them.
        scale: the worst and the best score.
        known: names of the log's fields, for messages.
    """

    id: str
    score: str
    cluster: str | None
    dimensions: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    balanced: bool = False
    scale: tuple[float, float] = (0.0, 1.0)
    known: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """The field that is read as a number and as nothing else."""
        return self.score if self.paths.count(self.score) == 1 else ""

    @property
    def paths(self) -> list[str]:
        """Every field that is read."""
        named = [name for name in (self.cluster, self.missing) if name]
        named += [*self.dimensions.values(), *self.digests.values(), *self.details.values()]
        return [self.id, self.score, *named]


def scores_from_columns(
    columns: Columns, fields: Fields, task: str, where: str, *, metric: str = ""
) -> tuple[Scores, Digests]:
    """Columns as scores of a task, and what is known of each example in the same order.

    Args:
        columns: those that `fields` names.
        fields: which column holds what.
        task: its name.
        where: the file.
        metric: what the scores are called; empty when as their column is.

    Raises:
        DataError: a row is wrong, an id appears twice, or there are no rows.
    """
    faults = _Faults(columns, fields.known)
    ids = faults.names(fields.id)
    worst, best = fields.scale
    reasons = _reasons(columns, fields)
    scores = faults.converted(fields.score, lambda value: _share(value, worst, best), absent=reasons)
    clusters = faults.names(fields.cluster) if fields.cluster else ids
    by_dimension = {
        dimension: faults.converted(path, _groups, optional=True) for dimension, path in fields.dimensions.items()
    }
    faults.stop(where)
    if not ids:
        raise DataError(f"{where}: holds no rows")
    if len(set(ids)) < len(ids):
        raise DataError(_repeated(ids, columns))
    groups: list[Groups] = [{}] * len(ids)
    if by_dimension:
        combinations = list(zip(*by_dimension.values(), strict=True))
        named = {own: {name: own[k] for k, name in enumerate(by_dimension) if own[k]} for own in set(combinations)}
        groups = [named[own] for own in combinations]
    table = items_table(ids, scores, groups, clusters, [reasons.get(row) for row in range(len(ids))])
    table = with_details(table, ids, columns.values, fields.details)
    direction: Direction = "more" if worst < best else "less"
    plain = plain_scores(task, table, metric or fields.score, {"file": where}, direction=direction)
    scored = labelled(plain, balanced=fields.balanced)
    return scored, _digests(ids, table, columns, fields, where)


def _reasons(columns: Columns, fields: Fields) -> dict[int, str]:
    """Why rows have no score, by row; a null without a reason is a fault."""
    if not fields.missing:
        return {}
    both = zip(columns.values[fields.score], columns.values[fields.missing], strict=True)
    return {row: why for row, (score, why) in enumerate(both) if is_no_group(score) and isinstance(why, str) and why}


class _Faults:
    """Conversions of columns, and the first fault of each row."""

    def __init__(self, columns: Columns, known: Sequence[str]) -> None:
        self._columns, self._known = columns, known
        self._by_row: dict[int, str] = {}

    def names(self, path: str) -> list[str]:
        """The values of a column of names, as text."""
        values = self._columns.values[path]
        if set(map(type, values)) == {str} and all(values):
            return list(values)
        return self.converted(path, _name)

    def converted(
        self, path: str, convert: Callable[[Any], Any], *, optional: bool = False, absent: Collection[int] = ()
    ) -> list[Any]:
        """The values of a column, each converted, those of absent rows None; a fault is noted, not raised."""
        values = self._columns.values[path]
        if set(map(type, values)) in ({str}, {int}, {float}, {bool}):
            # Values repeat; those of one type that are equal are the same.
            try:
                known = {value: convert(value) for value in set(values)}
                return [known[value] for value in values]
            except DataError:
                pass  # whose rows are looked for now
        made: list[Any] = []
        for row, value in enumerate(values):
            try:
                made.append(None if row in absent else convert(value))
            except DataError as fault:
                made.append(None)
                missing = value is None and path not in self._known and not optional
                message = f"there is no field '{path}': {nearest(path, self._known)}" if missing else f"{path} {fault}"
                self._by_row.setdefault(row, message)
        return made

    def stop(self, where: str) -> None:
        """Raise what was noted, as one error."""
        if not self._by_row:
            return
        messages = [
            f"{self._columns.place(row)}: {message}" for row, message in sorted(self._by_row.items())[:_MOST_FAULTS]
        ]
        if len(self._by_row) > len(messages):
            messages.append(f"and {len(self._by_row) - len(messages)} more like these")
        raise DataError(
            messages[0] if len(messages) == 1 else "\n  ".join([f"{where}: rows that cannot be read", *messages])
        )


def _digests(ids: Sequence[str], table: pa.Table, columns: Columns, fields: Fields, where: str) -> Digests:
    digests = {}
    for kind, path in fields.digests.items():
        known = {name: value for name, value in zip(ids, columns.values[path], strict=True) if isinstance(value, str)}
        if known:
            digests[kind] = [known.get(name) for name in table.column("example_id").to_pylist()]
    try:
        return {kind: pa.array(column, pa.string()) for kind, column in digests.items()}
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: {error.object[:40]!r} is no text") from error


def _repeated(ids: Sequence[str], columns: Columns) -> str:
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name in first:
            place, before = columns.place(row), columns.place(first[name])
            return f"{place}: id '{name}' appears twice, first in {before}; every example needs one of its own"
        first[name] = row
    return ""


def _name(value: Any) -> str:
    if type(value) is str and value:
        return value
    # A join, or a value that was missing once, makes fractions of whole numbers.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"is {_shown(value)}, expected text or a whole number")
    return _text(value)


def _share(value: Any, worst: float, best: float) -> float:
    """Where a score lies between the lower end of its scale and the higher one, whichever is the best."""
    low, high = sorted((worst, best))
    share = (_number(value) - low) / (high - low)
    # Written so that NaN is refused too.
    if not 0 <= share <= 1:
        raise DataError(
            f"is {_shown(value)}, expected a number from {worst:g}, the worst, to {best:g}, the best; name the ends of "
            "another scale as --scale (in Python scale)"
        )
    return share


def _number(value: Any) -> float:
    """A number, also where it is written as text or as true and false; NaN where it is none."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
    elif not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _groups(value: Any) -> tuple[str, ...]:
    if type(value) is str and not is_no_group(value):
        return (value,)
    if not isinstance(value, list | tuple | Mapping) and is_no_group(value):
        return ()
    if isinstance(value, list | tuple):
        return tuple(name for part in value for name in _groups(part))
    if isinstance(value, bool):
        return (str(value).lower(),)
    if isinstance(value, int | float):
        return (_text(value),)
    raise DataError(f"is {_shown(value)}, expected a group or a list of groups")


def _text(value: float) -> str:
    try:
        return str(value)
    except ValueError:
        raise DataError("holds a number of thousands of digits") from None


def _shown(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return f"a {type(value).__name__}"
    try:
        # A whole number may have been read as a fraction.
        return f"{value:g}" if type(value) in (int, float) else repr(value)[:60]
    except OverflowError:
        return "a very long number"
