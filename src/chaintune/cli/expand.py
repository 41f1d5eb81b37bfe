"""A command whose parameters are dataclasses, with one option a field."""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

Command = Callable[..., int]


def expand_dataclasses(command: Command) -> Command:
    """The command with one parameter for each field of the dataclasses among its parameters.

    Options that several commands take are written once, as a dataclass whose fields are annotated as typer's
    parameters are.

    Args:
        command: its dataclass parameters need a default for every field.
    """
    hints = get_type_hints(command, include_extras=True)
    grouped: dict[str, Any] = {name: kind for name, kind in hints.items() if name != "return" and is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        parameters += _fields(grouped[name]) if name in grouped else [parameter.replace(annotation=hints[name])]
    # Those without a default come first, as the language asks.
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)

    @wraps(command)
    def expanded(**values: Any) -> int:
        made = {
            name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            for name, kind in grouped.items()
        }
        return command(**values, **made)

    expanded.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    return expanded


def _fields(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=hints[field.name])
        for field in fields(kind)
    ]
