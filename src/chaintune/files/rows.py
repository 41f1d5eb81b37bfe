"""One row of a data file, and the errors of many rows gathered into one message."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from chaintune.errors import DataError, nearest

Built = TypeVar("Built")
SHOWN_PROBLEMS = 10
SHOWN_PLACES = 3
# File, row and the sentence of a problem.
_PLACE = re.compile(r"(.+?, )((?:[^,:]* )?(?:line|row|item|document) \d+): (.*)", re.DOTALL)
# A number, or a text in quotes that is no column's name, or several of them.
_QUOTED = r"""'.*?(?:'(?!\w)|\.\.\.)|".*?(?:"(?!\w)|\.\.\.)"""
_VALUE = re.compile(rf"(?:(?:(?<!field )(?<!column )(?:{_QUOTED})|\d+)(?:, )?)+", re.DOTALL)
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Twice:
    """Stands for the value of a column that the data names twice: nobody can say which is meant."""

    column: str


@dataclass(frozen=True, slots=True)
class Row:
    """The fields of one row.

    Attributes:
        where: file and line or row, the beginning of every error sentence.
        values: column -> value, as the file holds it, or `Twice`.
        untyped: every value is text, numbers and lists too, as in CSV.
        part: the names under which a JSON file holds the row's list; empty where it holds one list.
    """

    where: str
    values: Mapping[str, Any]
    untyped: bool = False
    part: str = ""

    def columns(self) -> Iterator[str]:
        """Every column, and `column.field` for the named fields of a column that holds some."""
        for name, value in self.values.items():
            yield name
            yield from (f"{name}.{inner}" for inner in _fields(value))

    def get(self, column: str) -> Any:
        """The value of a column, or of `column.field`; None where there is none.

        A column that holds a list of named fields gives the list of that field.

        Raises:
            DataError: the row has two values of that name.
        """
        value: Any = self.values
        for part in [column] if column in self.values else column.split("."):
            if isinstance(value, list | tuple):
                value = [item.get(part) if isinstance(item, Mapping) else None for item in value]
            else:
                value = value.get(part) if isinstance(value, Mapping) else None
            if isinstance(value, Twice):
                raise DataError(f"{self.where}: column '{part}' appears twice; rename one, or remove it")
        return value

    def value(self, column: str) -> Any:
        """The value of a column.

        Raises:
            DataError: the column is missing, or its value is null or NaN.
        """
        if column not in self.values and column not in (known := list(self.columns())):
            raise DataError(f"{self.where}: field '{column}' is missing; {nearest(column, known)}")
        value = self.get(column)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            raise DataError(f"{self.where}: field '{column}' is empty ({value}); give it a value or remove the row")
        return value

    def text(self, column: str) -> str:
        """The value of a column that must hold text that is not blank.

        Raises:
            DataError: as `value`, or no text, or blank, or text that UTF-8 cannot hold.
        """
        return checked_text(self.value(column), f"{self.where}: field '{column}'")

    def entries(self, column: str) -> list[Any]:
        """The value of a column that must hold a list; the list may be empty.

        Raises:
            DataError: as `value`, or no list.
        """
        value = self.value(column)
        if not isinstance(value, list | tuple):
            raise DataError(f"{self.where}: field '{column}' must be a list, got {kind(value)}")
        return list(value)

    def texts(self, column: str) -> list[str]:
        """The value of a column that must hold a list of texts; the list may be empty.

        Raises:
            DataError: as `value`, or no list, or an entry that is no text.
        """
        entries = enumerate(self.entries(column))
        return [checked_text(entry, f"{self.where}: entry {k} of '{column}'") for k, entry in entries]

    def mapping(self, column: str) -> "Row":
        """The value of a column that must hold named fields, as a row of its own.

        Raises:
            DataError: as `value`, or no mapping.
        """
        value = self.value(column)
        if not isinstance(value, Mapping):
            raise DataError(f"{self.where}: field '{column}' must hold named fields, got {kind(value)}")
        return Row(f"{self.where}, field '{column}'", value)


def _fields(value: Any, depth: int = _DEEPEST) -> Iterator[str]:
    """The names of the fields of a value that holds named fields, or a list of such, as deep as anyone names them."""
    inside = value[0] if isinstance(value, list | tuple) and value else value
    if depth and isinstance(inside, Mapping):
        for name, inner in inside.items():
            yield str(name)
            yield from (f"{name}.{deeper}" for deeper in _fields(inner, depth - 1))


def checked_text(value: Any, what: str) -> str:
    """The value itself, when it is text that is not blank and that UTF-8 can hold.

    Raises:
        DataError: it is not such a text.
    """
    if not isinstance(value, str):
        raise DataError(f"{what} must be text, got {kind(value)}")
    if not value.strip():
        raise DataError(f"{what} is blank")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{what} holds half a surrogate pair at character {error.start}; repair the escape") from error
    return value


def kind(value: Any) -> str:
    """A value's type and beginning, for an error sentence."""
    shown = repr(value)
    return f"{type(value).__name__} {shown[:40]}{'...' if len(shown) > 40 else ''}"


def build_all(rows: Iterable[Row], build: Callable[[Row], Built]) -> list[Built]:
    """The result of `build` for each row.

    Raises:
        DataError: of every row that cannot be built, in one message.
    """
    built, problems = build_some(rows, build)
    raise_problems(problems)
    return [made for made in built if made is not None]


def build_some(rows: Iterable[Row], build: Callable[[Row], Built]) -> tuple[list[Built | None], list[str]]:
    """The result of `build` for each row, None where it cannot be built, and why it cannot."""
    built: list[Built | None] = []
    problems = []
    for row in rows:
        try:
            built.append(build(row))
        except DataError as error:
            built.append(None)
            problems.append(str(error))
    return built, problems


def raise_problems(problems: Sequence[str], *, most: int = SHOWN_PROBLEMS) -> None:
    """Raise one error with the first problems and a count of the rest, if there are any.

    Raises:
        DataError: there is a problem.
    """
    sentences = grouped(problems)
    if not sentences:
        return
    if len(sentences) == 1:
        raise DataError(sentences[0][0])
    shown = "\n".join(f"  {sentence}" for sentence, _ in sentences[:most])
    rest = sum(count for _, count in sentences[most:])
    raise DataError(f"{len(problems)} problems in the data:\n{shown}" + (f"\n  and {rest} more" if rest else ""))


def grouped(problems: Iterable[str]) -> list[tuple[str, int]]:
    """Each sentence once, behind the places of its first three rows and the number of the others; and its rows.

    Of more than three sentences that differ in values of the data alone, the first stands for all.
    """
    forms: dict[tuple[str, str], dict[str, list[str]]] = {}
    for problem in problems:
        match = _PLACE.match(problem)
        file, place, sentence = match.groups() if match else ("", "", problem)
        form = _VALUE.sub("_", sentence) if place else sentence
        forms.setdefault((file, form), {}).setdefault(sentence, []).append(place)
    sentences: list[tuple[str, int]] = []
    for (file, _), own in forms.items():
        if len(own) > SHOWN_PLACES:
            sentence, (first, *alike) = next(iter(own)), [place for places in own.values() for place in places]
            sentences.append((f"{file}{first}: {sentence}; the same in {_listed(alike)}", 1 + len(alike)))
        else:
            for sentence, places in own.items():
                where = f"{file}{_listed(places)}: " if places[0] else ""
                sentences.append((where + sentence, len(places)))
    return sentences


def _listed(places: Sequence[str]) -> str:
    shown = ", ".join(places[:SHOWN_PLACES])
    return shown + (f" and {len(places) - SHOWN_PLACES:,} more" if len(places) > SHOWN_PLACES else "")
