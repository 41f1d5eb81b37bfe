"""What a cell says that names something: a group or several, a cluster, an id. One rule for tasks and tables.

Empty, null and NaN, also as text, are no name. Blanks around a group's name are not part of it.
"""

import ast
import json
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from chaintune.errors import DataError
from chaintune.files.rows import kind
from chaintune.records.examples import is_no_group

# A text as Python prints it, and what lies between several, each of which has become one sign.
_TEXT = re.compile(r"""'(?:[^'\\\n]|\\[\\'"nrtxuU])*'|"(?:[^"\\\n]|\\[\\'"nrtxuU])*\"""")
_BETWEEN = re.compile(r"\['(?:,\s*')*\]|\['(?:\s+')*\]")


def plain_text(value: Any) -> str | None:
    """A text, number, truth value, date or time as text; None where it is something else, or no finite number.

    Example:
        >>> [plain_text(value) for value in ("a", 3, 3.0, True, Decimal("1.50"), date(2026, 1, 2), [1])]
        ['a', '3', '3', 'true', '1.5', '2026-01-02', None]
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    try:
        if isinstance(value, int | float | Decimal) and value == value and abs(value) != float("inf"):
            # A column of whole numbers with a hole in it is one of fractions, wherever it comes from.
            return str(int(value)) if value == int(value) else str(float(value))
    except (ValueError, ArithmeticError):
        pass  # thousands of digits, or a signalling NaN
    return None


def group_names(value: Any, what: str, *, untyped: bool = False) -> tuple[str, ...]:
    """The groups that a cell names, each once and sorted; a list may hold lists.

    Args:
        value: of the cell.
        what: the beginning of the error sentence.
        untyped: a text that begins with `[` is a JSON list, as in CSV.

    Raises:
        DataError: it is something else, or half a surrogate pair.
    """
    if type(value) is str and value and not untyped and value[0] > " " and value[-1] > " " and value.isascii():
        return () if is_no_group(value) else (value,)
    return tuple(sorted(set(_names(value, what, untyped))))


def has_stray_blanks(value: Any) -> bool:
    """Whether a cell names a group with blanks around it."""
    if isinstance(value, list | tuple):
        return any(map(has_stray_blanks, value))
    return isinstance(value, str) and value != value.strip() != ""


def json_in(text: str, what: str) -> Any:
    """What a cell holds that begins like JSON; texts may also stand there as Python prints a list of them.

    Raises:
        DataError: it is neither.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if (texts := _printed_texts(text)) is not None:
            return texts
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise DataError(f"{what} is not the JSON that it begins like ({reason})") from error


def _printed_texts(text: str) -> list[str] | None:
    """The texts of a list as Python prints it, or of an array as NumPy does, without commas; None for anything else."""
    if not _BETWEEN.fullmatch(_TEXT.sub("'", text.strip())):
        return None
    try:
        return [ast.literal_eval(one) for one in _TEXT.findall(text)]
    except (ValueError, SyntaxError):
        return None


def _names(value: Any, what: str, untyped: bool) -> list[str]:
    if untyped and isinstance(value, str) and value.lstrip().startswith("["):
        return _names(json_in(value, what), what, False)
    if isinstance(value, list | tuple):
        return [name for part in value for name in _names(part, what, False)]
    if not isinstance(value, Mapping) and is_no_group(value):
        return []
    name = plain_text(value)
    if name is None:
        raise DataError(f"{what} is {kind(value)}, expected a group or a list of groups")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{what} holds half a surrogate pair at character {error.start}; repair the escape") from error
    name = name.strip()
    return [] if is_no_group(name) else [name]
