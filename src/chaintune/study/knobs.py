"""The knobs that a study varies: `seed`, `recipe.<field>`, `tasks.<name>.recipe.<field>`, and whole `recipe`s.

Knobs are crossed. Fields that belong together, such as LoRA and the larger learning rate it needs, are one knob: a list
of mappings under `recipe`, each setting the same fields.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chaintune.config.source import KeyPath, Source, as_plain
from chaintune.config.validation import Seed, check_distinct
from chaintune.errors import nearest
from chaintune.study.schema import check_recipe
from chaintune.study.stage_settings import STAGE_FIELDS, StageSettings

Knob = tuple[str, Any]
"""A name and a value of it: the name as the study file has it."""
Knobs = tuple[str, tuple[Any, ...]]
"""A name and all its values."""


_ABBREVIATED = {"lr": "learning_rate", "bs": "batch_size", "rank": "lora_rank", "r": "lora_rank", "wd": "weight_decay"}


_USUAL = StageSettings().to_mapping()
_LOG = logging.getLogger(__name__)


def knob_target(name: str) -> tuple[str, str]:
    """The task (empty for all of them) and the recipe field that a knob turns.

    Example:
        >>> knob_target("recipe.epochs"), knob_target("tasks.bbq.recipe.epochs")
        (('', 'epochs'), ('bbq', 'epochs'))
    """
    parts = name.split(".")
    return (parts[1] if parts[0] == "tasks" else "", parts[-1])


def single_knobs(name: str, value: Any) -> Iterator[Knob]:
    """One setting of a knob as settings of single fields, `recipe: {epochs: 2}` being `recipe.epochs: 2`.

    Example:
        >>> list(single_knobs("recipe", {"method": "lora", "lora_rank": 8}))
        [('recipe.method', 'lora'), ('recipe.lora_rank', 8)]
    """
    if name.endswith("recipe"):
        yield from ((f"{name}.{field}", inner) for field, inner in value.items())
    else:
        yield name, value


def read_vary(source: Source, tasks: Sequence[str]) -> list[Knobs]:
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
            source.report(("vary", name), f"no such knob; {nearest(_spelled_out(str(name)), valid)}")
        elif values in (None, []) or (name == "seed" and not isinstance(values, list)):  # seed: 3 may mean three seeds
            source.report(
                ("vary", name), f"expected a list of values such as {_usual_values(name, values)}, got {values!r}"
            )
        else:
            knobs.append((name, _values(name, values, source)))
    _check_crossed(knobs, source)
    _check_lora(knobs, source)
    return knobs


def _usual_values(name: str, got: Any) -> str:
    if name == "seed":
        return f"[{got}]" if type(got) is int and 0 <= got < 2**32 else "[0, 1, 2]"
    if name.endswith("recipe"):
        return "[{method: full, learning_rate: 1.0e-4}, {method: lora, learning_rate: 1.0e-3}]"
    return json.dumps([as_plain(_USUAL[knob_target(name)[1]])])


def _spelled_out(name: str) -> str:
    """A knob's name without the abbreviations of other trainers, which resemble no field."""
    owner, dot, field = name.rpartition(".")
    return owner + dot + _ABBREVIATED.get(field, field)


def _valid_knobs(tasks: Sequence[str]) -> list[str]:
    owners = ["recipe", *(f"tasks.{task}.recipe" for task in tasks)]
    return [
        "seed",
        *owners,
        *(f"{owner}.{field}" for owner in owners for field in STAGE_FIELDS if field != "report_to"),
    ]


def _values(name: str, values: Any, source: Source) -> tuple[Any, ...]:
    """The values of one knob, each checked as where it would stand, none twice; one alone needs no list."""
    if not isinstance(values, list):
        return (_value(name, values, ("vary", name), source),)
    checked = [_value(name, value, ("vary", name, index), source) for index, value in enumerate(values)]
    check_distinct(checked, ("vary", name), source)
    for index, value in enumerate(checked):
        if name.endswith("recipe") and value and checked[0] and value.keys() != checked[0].keys():
            problem = f"sets {', '.join(value)}, and the first recipe {', '.join(checked[0])}; set the same fields"
            source.report(("vary", name, index), problem)
    return tuple(checked)


def _value(name: str, value: Any, path: KeyPath, source: Source) -> Any:
    if name.endswith("recipe"):
        if value == {}:
            source.report(path, "sets no field; name those that belong together, such as method and learning_rate")
        return check_recipe(value, path, source)
    if name != "seed":
        _, field = knob_target(name)
        return check_recipe({field: value}, path, source, at_value=True).get(field)
    try:
        return TypeAdapter(Seed).validate_python(value)
    except ValidationError:
        source.report(path, f"expected a whole number from 0 to 4294967295, got {value!r}")
        return None


def _check_crossed(knobs: Sequence[Knobs], source: Source) -> None:
    """A field that a list of recipes sets cannot be a knob of its own beside it."""
    together = {
        field: name for name, values in knobs if name.endswith("recipe") for field, _ in single_knobs(name, values[0])
    }
    for name, _ in knobs:
        if name in together:
            source.report(("vary", name), f"is set by 'vary.{together[name]}' too; keep one of the two")


def _check_lora(knobs: Sequence[Knobs], source: Source) -> None:
    """A knob of LoRA turns nothing where every stage is a full one."""
    recipes = [source.data.get("recipe"), *_inner(source.data.get("tasks")), *_inner(source.data.get("mitigations"))]
    methods = [recipe.get("method") for recipe in recipes if isinstance(recipe, dict)]
    single = [knob for name, values in knobs for value in values for knob in single_knobs(name, value)]
    methods += [value for name, value in single if knob_target(name)[1] == "method"]
    for name in _set_for_lora(source.data.get("recipe")) if "lora" not in methods else ():
        _LOG.warning("%s: recipe.%s changes nothing, because no stage has 'method: lora'", source.name, name)
    for name in dict.fromkeys(name for name, _ in single):
        if knob_target(name)[1].startswith("lora_") and "lora" not in methods:
            source.report(("vary", name), "changes nothing, because no stage has 'method: lora'")


def _set_for_lora(recipe: Any) -> list[str]:
    """Fields of LoRA with another value than the usual one, which a resolved study names too."""
    written = recipe if isinstance(recipe, dict) else {}
    return [name for name, value in written.items() if str(name).startswith("lora_") and value != _USUAL.get(name)]


def _inner(value: Any) -> list[Any]:
    """Every `recipe` under the items of a section, whatever the section looks like."""
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    recipes = [item.get("recipe") for item in items if isinstance(item, dict)]
    return recipes + [recipe for item in items if isinstance(item, dict) for recipe in _inner(item) if recipe]
