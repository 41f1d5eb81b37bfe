"""One row of a data file, and the errors of many rows gathered into one message."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from chaintune.errors import DataError, nearest

Built = TypeVar("Built")
SHOWN_PROBLEMS = 10
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Row:
    """The fields of one row.

    Attributes:
        where: file and line or row, the beginning of every error sentence.
        values: column -> value, as the file holds it.
        untyped: every value is text, numbers and lists too, as in CSV.
    """

    where: str
    values: Mapping[str, Any]
    untyped: bool = False

    def columns(self) -> Iterator[str]:
        """Every column, and `column.field` for the named fields of a column that holds some."""
        for name, value in self.values.items():
            yield name
            yield from (f"{name}.{inner}" for inner in _fields(value))

    def get(self, column: str) -> Any:
        """The value of a column, or of `column.field`; None where there is none.

        A column that holds a list of named fields gives the list of that field.
        """
        if column in self.values or "." not in column:
            return self.values.get(column)
        value: Any = self.values
        for part in column.split("."):
            if isinstance(value, list | tuple):
                value = [item.get(part) if isinstance(item, Mapping) else None for item in value]
            else:
                value = value.get(part) if isinstance(value, Mapping) else None
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

    Args:
        value: of any type.
        what: the beginning of the error sentence.

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
    built, problems = [], []
    for row in rows:
        try:
            built.append(build(row))
        except DataError as error:
            problems.append(str(error))
    raise_problems(problems)
    return built


def raise_problems(problems: list[str]) -> None:
    """Raise one error with the first problems and a count of the rest, if there are any.

    Raises:
        DataError: there is a problem.
    """
    if not problems:
        return
    if len(problems) == 1:
        raise DataError(problems[0])
    shown = "\n".join(f"  {problem}" for problem in problems[:SHOWN_PROBLEMS])
    rest = len(problems) - SHOWN_PROBLEMS
    raise DataError(f"{len(problems)} problems in the data:\n{shown}" + (f"\n  and {rest} more" if rest > 0 else ""))
