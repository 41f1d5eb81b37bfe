"""What `recipe.peft` of a study file may say, as far as it shows without PEFT, which loads torch."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict

from chaintune.config.validation import Spec
from chaintune.records import REFUSED_TYPES

_TASK_TYPE = "CAUSAL_LM"


def _as_type(value: Any) -> Any:
    """A type of PEFT, in its own capital letters."""
    name = value.upper() if isinstance(value, str) else value
    if reason := REFUSED_TYPES.get(str(name)):
        raise ValueError(f"an adapter of type {name} {reason}; take one such as LORA, OFT, IA3, VERA or LOHA")
    return name


def _as_task_type(value: Any) -> Any:
    if value != _TASK_TYPE:
        raise ValueError(f"every stage trains a causal language model; write {_TASK_TYPE}, or leave it out")
    return value


def _filled_in(value: Any) -> Any:
    raise ValueError(f"got {value!r}, and the stage that trains the adapter fills it in; leave it out")


def _as_plain(value: Any) -> Any:
    """Data that JSON has, and so a key of the store can be made of."""
    if isinstance(value, Mapping):
        if other := next((key for key in value if not isinstance(key, str)), None):
            raise ValueError(f"expected text as a key, got {other!r}; put it in quotes")
        return {key: _as_plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_plain(inner) for inner in value]
    if value is not None and not isinstance(value, str | bool | int | float):
        raise ValueError(f"expected text, a number, a list or a mapping, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value!r}")
    return value


_Plain = Annotated[Any, BeforeValidator(_as_plain)]
_FilledIn = Annotated[Any, BeforeValidator(_filled_in)]


class PeftSpec(Spec):
    """Settings of an adapter: those of PEFT's configuration class for its type, which looks at them before a run.

    Attributes:
        peft_type: PEFT's name of the method.
        task_type: is filled in.
        inference_mode, base_model_name_or_path, revision, auto_mapping, peft_version: refused, as a stage says them.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, _Plain]

    peft_type: Annotated[str, BeforeValidator(_as_type)]
    task_type: Annotated[Any, BeforeValidator(_as_task_type)] = _TASK_TYPE
    inference_mode: _FilledIn = None
    base_model_name_or_path: _FilledIn = None
    revision: _FilledIn = None
    auto_mapping: _FilledIn = None
    peft_version: _FilledIn = None
