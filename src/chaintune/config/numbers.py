"""What a number of a file may be, told whole: following half of it would lead to the next error."""

from typing import Any, get_args

from pydantic.fields import FieldInfo

NUMBER_FINDINGS = frozenset(
    {
        "a_bool", "finite_number", "float_parsing", "float_type", "greater_than", "greater_than_equal",
        "int_from_float", "int_parsing", "int_parsing_size", "int_type", "less_than", "less_than_equal",
    }
)  # fmt: skip


def expected_number(field: FieldInfo) -> str:
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


_WORDS = {"gt": "greater than", "ge": "of at least", "lt": "less than", "le": "at most"}


def _collect(parts: Any, limits: dict[str, float], kinds: set[type]) -> None:
    for part in parts:
        if part in (int, float):
            kinds.add(part)
        for limit in part.metadata if isinstance(part, FieldInfo) else (part,):
            limits |= {
                name: getattr(limit, name) for name in _WORDS if not isinstance(limit, type) and hasattr(limit, name)
            }
        _collect(get_args(part), limits, kinds)
