"""The knobs that a study varies: `seed`, `recipe.<field>`, and `tasks.<name>.recipe.<field>`."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chaintune.errors import nearest
from chaintune.study.schema import Seed, check_recipe, recipe_fields
from chaintune.study.source import KeyPath, Source

Knob = tuple[str, tuple[Any, ...]]


def knob_target(name: str) -> tuple[str, str]:
    """The task (empty for all of them) and the recipe field that a knob turns.

    Example:
        >>> knob_target("recipe.epochs"), knob_target("tasks.bbq.recipe.epochs")
        (('', 'epochs'), ('bbq', 'epochs'))
    """
    parts = name.split(".")
    return (parts[1] if parts[0] == "tasks" else "", parts[-1])


def read_vary(source: Source, tasks: Sequence[str]) -> list[Knob]:
    """The knobs with their values, in the order of the file; problems are noted."""
    written = source.data.get("vary")
    if written is None:
        return []
    if not isinstance(written, dict):
        source.report(("vary",), f"expected a mapping of knobs to lists of values, got {written!r}")
        return []
    valid = _valid_knobs(tasks)
    knobs = []
    for name, values in written.items():
        if name not in valid:
            source.report(("vary", name), f"no such knob; {nearest(str(name), valid)}")
        elif not isinstance(values, list) or not values:
            source.report(("vary", name), f"expected a list of values such as [{values}], got {values!r}")
        else:
            knobs.append((name, _values(name, values, source)))
    _check_lora(knobs, source)
    return knobs


def _valid_knobs(tasks: Sequence[str]) -> list[str]:
    owners = ["recipe", *(f"tasks.{task}.recipe" for task in tasks)]
    return ["seed", *(f"{owner}.{field}" for owner in owners for field in recipe_fields() if field != "report_to")]


def _values(name: str, values: list[Any], source: Source) -> tuple[Any, ...]:
    """The values of one knob, each checked as where it would stand, none twice."""
    checked = [_value(name, value, ("vary", name, index), source) for index, value in enumerate(values)]
    for index, value in enumerate(checked):
        if value is not None and value in checked[:index]:
            source.report(("vary", name, index), f"{value!r} is listed twice")
    return tuple(checked)


def _value(name: str, value: Any, path: KeyPath, source: Source) -> Any:
    if name != "seed":
        _, field = knob_target(name)
        return check_recipe({field: value}, path, source, at_value=True).get(field)
    try:
        return TypeAdapter(Seed).validate_python(value)
    except ValidationError:
        source.report(path, f"expected a whole number from 0 to 4294967295, got {value!r}")
        return None


def _check_lora(knobs: Sequence[Knob], source: Source) -> None:
    """A knob of LoRA turns nothing where every stage is a full one."""
    recipes = [source.data.get("recipe"), *_inner(source.data.get("tasks")), *_inner(source.data.get("mitigations"))]
    methods = [recipe.get("method") for recipe in recipes if isinstance(recipe, dict)]
    methods += [value for name, values in knobs if knob_target(name)[1] == "method" for value in values]
    for name, _ in knobs:
        if knob_target(name)[1].startswith("lora_") and "lora" not in methods:
            source.report(("vary", name), "changes nothing, because no stage has 'method: lora'")


def _inner(value: Any) -> list[Any]:
    """Every `recipe` under the items of a section, whatever the section looks like."""
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    found = [item.get("recipe") for item in items if isinstance(item, dict)]
    return found + [recipe for item in items if isinstance(item, dict) for recipe in _inner(item) if recipe]
