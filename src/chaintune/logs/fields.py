"""From rows of any log to item scores: fields by name, checked one by one, every fault told with its place."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from chaintune.errors import DataError, nearest
from chaintune.files.lines import Row
from chaintune.logs.log import Digests
from chaintune.records import Scores
from chaintune.records.examples import is_no_group
from chaintune.records.items import Groups, items_table, plain_scores

_MISSING = object()
_MOST_FAULTS = 5
_WORDS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Fields:
    """Which fields of a row hold what; dotted names lie deeper.

    Attributes:
        id: of the example.
        score: of the example.
        cluster: None and every example is its own.
        dimensions: dimension -> the field that holds the example's groups on it.
        digests: what is known of the example, by name -> field; left out where a row has none.
        scale: the worst and the best score.
    """

    id: str
    score: str
    cluster: str | None
    dimensions: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    scale: tuple[float, float] = (0.0, 1.0)

    @property
    def paths(self) -> list[str]:
        """Every field that is read."""
        cluster = [self.cluster] if self.cluster else []
        return [self.id, self.score, *cluster, *self.dimensions.values(), *self.digests.values()]


@dataclass(slots=True)
class Collected:
    """Columns of the rows read so far, and what was wrong with them."""

    ids: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    groups: list[Groups] = field(default_factory=list)
    digests: dict[str, dict[str, str]] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    first: Row = field(default_factory=dict)

    def add(self, row: Row, where: str, fields: Fields) -> None:
        """Take one row; what is wrong with it is noted, not raised."""
        if not self.first:
            self.first = row
        try:
            name = _name(row, fields.id, where)
            score = _score(row, fields, where)
            cluster = _name(row, fields.cluster, where) if fields.cluster else name
            borne = {}
            for dimension, path in fields.dimensions.items():
                if names := _groups(value(row, path), path, where):
                    borne[dimension] = names
        except DataError as error:
            self.faults.append(str(error))
            return
        self.ids.append(name)
        self.places.append(where)
        self.scores.append(score)
        self.clusters.append(cluster)
        self.groups.append(borne)
        for kind, path in fields.digests.items():
            known = value(row, path)
            if isinstance(known, str):
                self.digests.setdefault(kind, {})[name] = known

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the first row's fields."""
        return tuple(names_in(self.first))

    def know(self, digests: Iterable[Mapping[str, str]]) -> None:
        """Take what is known of each row so far by another way than its fields."""
        for name, known in zip(self.ids, digests, strict=True):
            for kind, digest in known.items():
                self.digests.setdefault(kind, {})[name] = digest

    def item_scores(self, task: str, where: str, metric: str) -> tuple[Scores, Digests]:
        """The rows as scores of a task, and what is known of each in the same order.

        Raises:
            DataError: a row was wrong, an id appears twice, or there are no rows.
        """
        self._stop_if_wrong(where)
        table = items_table(self.ids, self.scores, self.groups, self.clusters)
        return plain_scores(task, table, metric, {"file": where}), self._digests_of(table, where)

    def _digests_of(self, table: pa.Table, where: str) -> Digests:
        ids = table.column("example_id").to_pylist()
        try:
            return {
                kind: pa.array([known.get(name) for name in ids], pa.string()) for kind, known in self.digests.items()
            }
        except UnicodeEncodeError as error:
            raise DataError(f"{where}: {error.object[:40]!r} is no text") from error

    def _stop_if_wrong(self, where: str) -> None:
        if self.faults:
            told = self.faults[:_MOST_FAULTS]
            if len(self.faults) > len(told):
                told.append(f"and {len(self.faults) - len(told)} more like these")
            raise DataError(told[0] if len(told) == 1 else "\n  ".join([f"{where}: rows that cannot be read", *told]))
        if not self.ids:
            raise DataError(f"{where}: holds no rows")
        if len(set(self.ids)) < len(self.ids):
            raise DataError(self._repeated())

    def _repeated(self) -> str:
        first: dict[str, str] = {}
        for name, place in zip(self.ids, self.places, strict=True):
            if name in first:
                return f"{place}: id '{name}' appears twice, first in {first[name]}; every example needs one of its own"
            first[name] = place
        return ""


def value(row: Row, path: str) -> Any:
    """What stands in a field of a row; a sentinel that is equal to nothing else when there is none."""
    if path in row:
        return row[path]
    here: Any = row
    for part in path.split("."):
        if not isinstance(here, Mapping) or part not in here:
            return _MISSING
        here = here[part]
    return here


def has(row: Row, path: str) -> bool:
    """Whether a row has a field."""
    return value(row, path) is not _MISSING


def names_in(row: Row) -> Iterable[str]:
    """Names of a row's fields, those inside a mapping dotted."""
    for name, inner in row.items():
        if isinstance(inner, Mapping) and inner:
            yield from (f"{name}.{deeper}" for deeper in inner)
        else:
            yield name


def _name(row: Row, path: str, where: str) -> str:
    found = value(row, path)
    if type(found) is str and found:
        return found
    if found is _MISSING:
        raise DataError(f"{where}: there is no field '{path}': {nearest(path, names_in(row))}")
    if isinstance(found, bool) or not isinstance(found, int):
        raise DataError(f"{where}: {path} is {_shown(found)}, expected text or a whole number")
    return _text(found, path, where)


def _score(row: Row, fields: Fields, where: str) -> float:
    found = value(row, fields.score)
    if found is _MISSING:
        raise DataError(f"{where}: there is no field '{fields.score}': {nearest(fields.score, names_in(row))}")
    number = _number(found)
    low, high = fields.scale
    share = (number - low) / (high - low)
    # Written so that NaN is refused too.
    if not 0 <= share <= 1:
        ends = f"from {low:g}, the worst, to {high:g}, the best"
        raise DataError(
            f"{where}: {fields.score} is {_shown(found)}, expected a number {ends}; name the ends of another scale as "
            "--scale (in Python scale)"
        )
    return share


def _number(found: Any) -> float:
    """A number, also where it is written as text or as true and false; NaN where it is none."""
    if isinstance(found, str):
        word = found.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
    elif not isinstance(found, int | float):
        return math.nan
    try:
        return float(found)
    except (ValueError, OverflowError):
        return math.nan


def _groups(found: Any, path: str, where: str) -> tuple[str, ...]:
    if found is _MISSING or (not isinstance(found, list | tuple | Mapping) and is_no_group(found)):
        return ()
    if isinstance(found, str):
        return (found,)
    if isinstance(found, list | tuple):
        return tuple(name for part in found for name in _groups(part, path, where))
    if isinstance(found, bool):
        return (str(found).lower(),)
    if isinstance(found, int | float):
        return (_text(found, path, where),)
    raise DataError(f"{where}: {path} is {_shown(found)}, expected a group or a list of groups")


def _text(found: float, path: str, where: str) -> str:
    try:
        return str(found)
    except ValueError:
        raise DataError(f"{where}: {path} holds a number of thousands of digits") from None


def _shown(found: Any) -> str:
    if isinstance(found, Mapping | list | tuple):
        return f"a {type(found).__name__}"
    try:
        return repr(found)[:60]
    except ValueError:
        return "a very long number"
