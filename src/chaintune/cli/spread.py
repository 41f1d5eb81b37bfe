"""A command's parameters that are dataclasses, spread out into one option a field."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

Command = Callable[..., int]


def spread(command: Command) -> Command:
    """The command with one parameter for each field of the dataclasses among its parameters.

    What several commands take is told once, as a dataclass whose fields are annotated as typer's parameters are.

    Args:
        command: its dataclass parameters need a default for every field.
    """
    hints = get_type_hints(command, include_extras=True)
    grouped = {name: kind for name, kind in hints.items() if name != "return" and is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kinds = _parameters(grouped[name]) if name in grouped else [parameter.replace(annotation=hints[name])]
        parameters += kinds
    # Those without a default come first, as the language asks.
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)

    @wraps(command)
    def spread_command(**given: Any) -> int:
        return command(**_gathered(given, grouped))

    spread_command.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    return spread_command


def _parameters(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=hints[field.name])
        for field in fields(kind)
    ]


def _gathered(given: Mapping[str, Any], grouped: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(given)
    for name, kind in grouped.items():
        found[name] = kind(**{field.name: found.pop(field.name) for field in fields(kind)})
    return found
