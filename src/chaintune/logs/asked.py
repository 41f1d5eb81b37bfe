"""Options of a comparison as somebody gave them: checked, and parted into how to read and how to compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from chaintune.errors import ConfigError, nearest
from chaintune.logs.log import Pair, ReadOptions, parse_by
from chaintune.logs.options import HowToCompare, HowToRead

_TEXTS = ("cluster", "metric", "filter", "reader")
_NUMBERS = {"level": "0.95", "margin": "0.02"}
_WHOLE = {"resamples": "10000", "seed": "0"}


@dataclass(frozen=True)
class Asked:
    """A comparison that somebody asked for.

    Attributes:
        by: dimensions.
        crossed: pairs of dimensions whose groups are crossed.
        needed: those of all these dimensions that some task has to have.
        reading: how to read, as `HowToRead` has it.
        comparing: how to compare, as `forgetting.compare` takes it, without the dimensions.
        force: compare what is not comparable.
    """

    by: tuple[str, ...]
    crossed: tuple[Pair, ...]
    needed: frozenset[str]
    reading: Mapping[str, Any]
    comparing: Mapping[str, Any]
    force: bool


def asked_of(options: Mapping[str, Any]) -> Asked:
    """What options ask for.

    Raises:
        ConfigError: an option that does not exist, or a value of another kind than its own.
    """
    known = (*HowToRead.__annotations__, *HowToCompare.__annotations__)
    for name in sorted(options.keys() - set(known)):
        raise ConfigError(f"option '{name}': {nearest(name, known)}")
    how = {name: options[name] for name in HowToCompare.__annotations__ if name in options}
    _check_numbers(how)
    by, crossed = parse_by(as_names("by", how.pop("by", ())))
    pairs = [*crossed, *_pairs(how.pop("intersections", ()))]
    needed = frozenset([*by, *(name for pair in pairs for name in pair)])
    also, also_crossed = parse_by(as_names("also_by", how.pop("also_by", ())))
    by, crossed = tuple(dict.fromkeys([*by, *also])), tuple(dict.fromkeys([*pairs, *also_crossed]))
    reading = {name: options[name] for name in HowToRead.__annotations__ if name in options}
    return Asked(by, crossed, needed, reading, how, bool(how.pop("force", False)))


def wanted_of(reading: Mapping[str, Any], dimensions: Sequence[str]) -> ReadOptions:
    """What is to be read from a log.

    Args:
        reading: how to read, as `HowToRead` has it.
        dimensions: whose groups are read.

    Raises:
        ConfigError: a value of another kind than its option's.
    """
    for name in _TEXTS:
        if not isinstance(reading.get(name), str | None):
            raise ConfigError(f"{name} {reading[name]!r}: expected a name")
    given = dict(reading)
    tasks = as_names("task", given.pop("task", None) or ())
    columns, scale = given.pop("columns", {}), given.pop("scale", (0.0, 1.0))
    return ReadOptions(tuple(dimensions), tasks=tasks, columns=_columns(columns), scale=_ends(scale), **given)


def as_names(option: str, value: Any) -> tuple[str, ...]:
    """One name or several, as several.

    Raises:
        ConfigError: it is neither.
    """
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{option} {value!r}: expected a name or a list of names")
    return tuple(names)


def _pairs(value: Any) -> list[Pair]:
    pairs = [tuple(pair) if isinstance(pair, list | tuple) else () for pair in _several(value)]
    if not all(len(pair) == 2 and all(isinstance(name, str) for name in pair) for pair in pairs):
        raise ConfigError(f"intersections {value!r}: expected pairs of dimensions such as [('category', 'polarity')]")
    return pairs


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _columns(value: Any) -> Mapping[str, str]:
    texts = [*value.keys(), *value.values()] if isinstance(value, Mapping) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"columns {value!r}: expected a mapping of field to column such as {{'id': 'qid'}}")
    return dict(value)


def _ends(value: Any) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(_is_number(end) for end in value):
        raise ConfigError(f"scale {value!r}: expected two numbers, the worst and the best, such as (1, 5)")
    return value[0], value[1]


def _check_numbers(how: Mapping[str, Any]) -> None:
    for name, usual in _NUMBERS.items():
        if name in how and not _is_number(how[name]):
            raise ConfigError(f"{name} {how[name]!r}: expected a number such as {usual}")
    for name, usual in _WHOLE.items():
        if name in how and (isinstance(how[name], bool) or not isinstance(how[name], Integral)):
            raise ConfigError(f"{name} {how[name]!r}: expected a whole number such as {usual}")
    if how.get("seed", 0) < 0:
        raise ConfigError(f"seed {how['seed']}: expected 0 or more")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
