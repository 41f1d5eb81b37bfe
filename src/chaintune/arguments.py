"""Arguments of public functions, held against the types that they may have."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from types import GenericAlias
from typing import Any, TypeVar

from chaintune.errors import ConfigError

Kind = type | GenericAlias
Function = TypeVar("Function", bound=Callable[..., Any])

PATH: tuple[Kind, ...] = (str, Path)
NAMES: tuple[Kind, ...] = (str, list[str])
SIZE: tuple[Kind, ...] = (Integral, str)
_WORDS: Mapping[Any, str] = {
    str: "text",
    Path: "a path",
    bool: "True or False",
    Integral: "a whole number",
    Real: "a number",
    Mapping: "a mapping",
    Sequence: "a list",
    list[str]: "a list of texts",
    list[Real]: "a list of numbers",
}
_LONGEST = 60


def taking(**kinds: Kind | tuple[Kind, ...]) -> Callable[[Function], Function]:
    """A decorator for a function that refuses arguments of other types in a sentence.

    Args:
        kinds: parameter -> what it may be; None as well, where it is the default or there is none.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        usual = {name: parameter.default for name, parameter in signature.parameters.items()}

        @wraps(function)
        def checked(*arguments: Any, **named: Any) -> Any:
            values = signature.bind(*arguments, **named).arguments | named
            for name in kinds.keys() & values.keys():
                if values[name] is not None or usual.get(name) is not None:
                    check_argument(name, values[name], kinds[name])
            return function(*arguments, **named)

        return checked  # type: ignore[return-value]

    return decorate


def check_argument(name: str, value: Any, kinds: Kind | tuple[Kind, ...]) -> None:
    """Refuse a value of another type.

    Raises:
        ConfigError: it is of none of these.
    """
    allowed = kinds if isinstance(kinds, tuple) else (kinds,)
    if not any(_is(value, kind) for kind in allowed):
        expected = " or ".join(_WORDS.get(kind, getattr(kind, "__name__", str(kind))) for kind in allowed)
        shown = " ".join(repr(value).split())
        shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
        raise ConfigError(f"{name}: expected {expected}, got the {type(value).__name__} {shown}")


def _is(value: Any, kind: Any) -> bool:
    if isinstance(kind, GenericAlias):
        (inner,) = kind.__args__
        listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return listed and all(_is(part, inner) for part in value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
