"""Types of a file's values, and pydantic's findings as one sentence a place."""

import re
from collections.abc import Hashable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from chaintune.config.source import KeyPath, Source
from chaintune.errors import nearest

_NUMBER_FINDINGS = frozenset(
    {
        "a_bool", "finite_number", "float_parsing", "float_type", "greater_than", "greater_than_equal",
        "int_from_float", "int_parsing", "int_parsing_size", "int_type", "less_than", "less_than_equal",
    }
)  # fmt: skip
_WORDS = {"gt": "greater than", "ge": "of at least", "lt": "less than", "le": "at most"}


def no_bool(value: Any) -> Any:
    """The value; a boolean is refused, which Python would count as 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("a_bool", "a number")
    return value


def as_names(value: Any) -> Any:
    """One name or a list of names, as a list; also one that YAML takes for a number."""
    return [value] if isinstance(value, str | int | float) else value


def as_name(value: Any) -> Any:
    """What YAML takes for a number or for true as the text that it is compared with."""
    return str(value) if isinstance(value, bool | int | float) else value


def _as_list(value: Any) -> Any:
    """One value or a list of values, as a list."""
    return value if isinstance(value, list | tuple) else [value]


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


# As many digits as a chain's name shows, so that two names are two doses.
as_shown = AfterValidator(_rounded)


# A value alone is a list of one.
as_list = BeforeValidator(_as_list)


Whole = Annotated[int, BeforeValidator(no_bool)]


Real = Annotated[float, BeforeValidator(no_bool)]


Names = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(as_names)]


Seed = Annotated[int, BeforeValidator(no_bool), Field(ge=0, lt=2**32)]


Dose = Annotated[float, BeforeValidator(no_bool), Field(gt=0, le=1), as_shown]


class Spec(BaseModel):
    """A mapping of a study file: no key but those declared, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Spec)


def check(model: type[S], value: Any, path: KeyPath, source: Source) -> S | None:
    """A part of the file as its model; None, with the problems noted, when a value in it is invalid."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        note(error, model, path, source)
        return None


def check_distinct(values: Sequence[Any], path: KeyPath, source: Source) -> None:
    """Note each value of a list that stands there a second time; None is no value."""
    plain: set[Any] = set()
    nested: list[Any] = []
    for index, value in enumerate(values):
        known = plain if isinstance(value, Hashable) else nested
        if value is not None and value in known:
            source.report((*path, index), f"{value!r} is listed twice; name it once")
        plain.add(value) if known is plain else nested.append(value)


def note(
    error: ValidationError, model: type[BaseModel], at: KeyPath, source: Source, *, at_value: bool = False
) -> None:
    """Report pydantic's findings as our sentences."""
    every = error.errors(include_url=False)
    unknown = [finding["loc"] for finding in every if finding["type"] == "extra_forbidden"]
    for finding in every:
        if finding["type"] == "missing" and _is_misspelled(finding["loc"], unknown):
            continue
        path = at if at_value else _written_part((*at, *finding["loc"]), source)
        if finding["type"] == "missing":
            source.report((*_written_part(path, source), finding["loc"][-1]), "missing; it is needed")
        elif finding["type"] == "extra_forbidden":
            valid = _keys_of(model, finding["loc"][:-1])
            source.report(path, f"unknown key '{finding['loc'][-1]}'; {nearest(str(finding['loc'][-1]), valid)}")
        elif finding["type"] in _NUMBER_FINDINGS and (field := _field_at(model, finding["loc"])):
            source.report(path, f"expected {_expected_number(field)}, got {finding['input']!r}")
        else:
            source.report(path, _sentence(finding))


def _is_misspelled(missing: KeyPath, unknown: Sequence[KeyPath]) -> bool:
    """Whether an unknown key beside a missing one is likely to be meant for it."""
    beside = [str(path[-1]) for path in unknown if path[:-1] == missing[:-1]]
    return bool(get_close_matches(str(missing[-1]), beside, cutoff=0.6))


def _sentence(finding: Mapping[str, Any]) -> str:
    """Expected and got, from one finding of pydantic."""
    got = finding["input"]
    if finding["type"] == "value_error":
        return str(finding["ctx"]["error"])
    if finding["type"] == "literal_error":
        valid = re.findall(r"'([^']*)'", finding["ctx"]["expected"])
        return f"{got!r} is no valid value; {nearest(str(got), valid)}"
    expected = {
        "model_type": "a mapping",
        "dict_type": "a mapping",
        "list_type": "a list",
        "tuple_type": "a list",
        "string_type": "text",
        "too_short": "at least one",
        "string_too_short": "text of at least one letter",
    }.get(finding["type"]) or _lowered(finding["msg"])
    # YAML reads names such as 1, 2024-05-01 and no as something else than text, and a template {name} as a mapping.
    template = isinstance(got, dict) and got and all(value is None for value in got.values())
    quoted = template or not isinstance(got, dict | list | None)
    hint = "; put it in quotes" if expected == "text" and quoted else ""
    return f"expected {expected}, got {got!r}{hint}"


def _lowered(message: str) -> str:
    """Pydantic's message as the end of `expected ...`."""
    text = re.sub(r"^Input should be |, unable to parse.*$", "", message)
    return text[:1].lower() + text[1:]


def _written_part(path: KeyPath, source: Source) -> KeyPath:
    """The part of pydantic's location that stands in the file; the rest names members of unions."""
    here: Any = source.data
    for depth, part in enumerate(path):
        inside = isinstance(here, dict) and part in here
        if not inside and not (isinstance(here, list) and isinstance(part, int) and part < len(here)):
            return path[:depth]
        here = here[part]
    return path


def _keys_of(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Valid keys of the mapping at a path inside a model."""
    here: Any = model
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel) and part in here.model_fields:
            here = _inner(here.model_fields[str(part)].annotation)
        elif isinstance(part, int) or not isinstance(here, type):
            continue
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _field_at(model: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    """The innermost field of a model, or of one inside it, on the way to a place."""
    here: Any = model
    field = None
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel) and part in here.model_fields:
            field = here.model_fields[str(part)]
            here = _inner(field.annotation)
    return field


def _inner(annotation: Any) -> Any:
    """The model inside `dict[str, M]`, `list[M]`, `M | None`."""
    models = [arg for arg in get_args(annotation) if isinstance(arg, type) and issubclass(arg, BaseModel)]
    return models[0] if models else annotation


def _expected_number(field: FieldInfo) -> str:
    """The numbers that a field takes, or that its list takes: `a number greater than 0 and at most 1`."""
    limits: dict[str, float] = {}
    kinds: set[type] = set()
    _collect((field.annotation, *field.metadata), limits, kinds)
    if int in kinds and float not in kinds:
        low = limits.get("ge", limits["gt"] + 1 if "gt" in limits else None)
        high = limits.get("le", limits["lt"] - 1 if "lt" in limits else None)
        if low is not None and high is not None:
            return f"a whole number from {low:,} to {high:,}"
        return "a whole number" + ("" if low is None else f" of at least {low:,}")
    ends = [f"{word} {_shown(limits[name])}" for name, word in _WORDS.items() if name in limits]
    return " ".join(["a number", " and ".join(ends)]).rstrip()


def _shown(limit: float) -> str:
    return f"{int(limit):,}" if limit == int(limit) else f"{limit:g}"


def _collect(parts: Any, limits: dict[str, float], kinds: set[type]) -> None:
    for part in parts:
        if part in (int, float):
            kinds.add(part)
        for limit in part.metadata if isinstance(part, FieldInfo) else (part,):
            limits |= {
                name: getattr(limit, name) for name in _WORDS if not isinstance(limit, type) and hasattr(limit, name)
            }
        _collect(get_args(part), limits, kinds)
