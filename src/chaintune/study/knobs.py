"""The knobs that a study varies: `seed`, `recipe.<field>`, `tasks.<name>.recipe.<field>`, and whole `recipe`s.

A setting of an adapter, `recipe.peft.<setting>`, is a field too. Knobs are crossed. Fields that belong together, such
as LoRA and the larger learning rate it needs, are one knob: a list of mappings under `recipe`, each setting the same
fields. Such a recipe may have a `name`, by which results call it.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chaintune.config.source import KeyPath, Source, as_plain
from chaintune.config.validation import Seed, check_distinct
from chaintune.errors import nearest
from chaintune.records.checkpoint import Settings, knob_target, variant_label
from chaintune.study.schema import check_recipe
from chaintune.study.stage_settings import PEFT, STAGE_FIELDS, StageSettings
from chaintune.tuning.mitigations.specs import as_text

Knob = tuple[str, Any]
"""A name and a value of it: the name as the study file has it."""
Knobs = tuple[str, tuple[Any, ...]]
"""A name and all its values."""


_ABBREVIATED = {"lr": "learning_rate", "bs": "batch_size", "rank": "lora_rank", "r": "lora_rank", "wd": "weight_decay"}


_USUAL = StageSettings().to_mapping()
# Written as a number, `seed: 3`.
MOST_SEEDS = 1_000
_NAME, _NUMBER = "name", "number"
LONGEST_NAME = 40
_LOG = logging.getLogger(__name__)


def single_knobs(name: str, value: Any) -> Iterator[Knob]:
    """One setting of a knob as settings of single fields, `recipe: {epochs: 2}` being `recipe.epochs: 2`.

    Example:
        >>> list(single_knobs("recipe", {"method": "lora", "lora_rank": 8}))
        [('recipe.method', 'lora'), ('recipe.lora_rank', 8)]
    """
    if _is_whole(name):
        yield from ((f"{name}.{field}", inner) for field, inner in _fields(value).items())
    else:
        yield name, value


def labels_of(variants: Sequence[Sequence[Knob]]) -> list[Settings]:
    """What each variant is named by: the settings in which they differ, or the name of a recipe that has one.

    Example:
        >>> labels_of([[("recipe", {"method": one, "epochs": 1})] for one in ("full", "lora")])
        [(('method', 'full'),), (('method', 'lora'),)]
    """
    written = [tuple(pair for knob in knobs for pair in _written(*knob)) for knobs in variants]
    alike = set.intersection(*map(set, written))
    labels: list[Settings] = []
    taken: set[str] = set()
    for pairs in written:
        own = tuple(pair for pair in pairs if pair not in alike)
        number = 2
        while (name := variant_label(own)) in taken:  # a recipe may be named as another one is without a name
            own, number = (*(pair for pair in own if pair[0] != _NUMBER), (_NUMBER, str(number))), number + 1
        taken.add(name)
        labels.append(own)
    return labels


def _written(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if _is_whole(name) and _NAME in value:
        yield name, value[_NAME]
    else:
        yield from texts_of(single_knobs(name, value))


def texts_of(knobs: Iterable[Knob]) -> Iterator[tuple[str, str]]:
    """Settings of single fields as text, those of every stage under the field's own name."""
    yield from ((name.removeprefix("recipe."), as_text(value)) for name, value in knobs)


def _is_whole(name: str) -> bool:
    """Whether a knob is a whole recipe, not a field of one."""
    return name.endswith("recipe")


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
        if not _is_valid(name, valid):
            source.report(("vary", name), f"no such knob; {nearest(_spelled_out(str(name)), valid)}")
        elif name == "seed" and type(values) is int and 1 <= values <= MOST_SEEDS:
            knobs.append((name, tuple(range(values))))
        elif values in (None, []) or (name == "seed" and not isinstance(values, list)):
            number = "a number of seeds, or " if name == "seed" else ""
            expected = f"{number}a list of values such as {_usual_values(name, values)}"
            source.report(("vary", name), f"expected {expected}, got {values!r}")
        else:
            knobs.append((name, _values(name, values, source)))
    _check_crossed(knobs, source)
    _check_methods(knobs, source)
    return knobs


def _is_valid(name: Any, valid: Sequence[str]) -> bool:
    """Whether a name is a knob; each setting of an adapter is one, whatever it is called."""
    adapter, _, setting = str(name).partition(f".{PEFT}")
    return name in valid or (bool(setting) and f"{adapter}.peft" in valid)


def _usual_values(name: str, got: Any) -> str:
    if name == "seed":
        return f"[{got}]" if type(got) is int and 0 <= got < 2**32 else "[0, 1, 2]"
    if _is_whole(name):
        return "[{method: full, learning_rate: 1.0e-4}, {method: lora, learning_rate: 1.0e-3}]"
    field = knob_target(name)[1]
    if field == "peft":
        return "[{peft_type: OFT}, {peft_type: IA3}]"
    return "[8, 16]" if field.startswith(PEFT) else json.dumps([as_plain(_USUAL[field])])


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
    fields = [_fields(value) for value in checked] if _is_whole(name) else checked
    check_distinct(fields, ("vary", name), source)
    if _is_whole(name):
        check_distinct([value[_NAME] for value in checked if value.get(_NAME)], ("vary", name), source)
        for index, own in enumerate(fields):
            if own and fields[0] and own.keys() != fields[0].keys():
                problem = f"sets {', '.join(own)}, and the first recipe {', '.join(fields[0])}; set the same fields"
                source.report(("vary", name, index), problem)
    return tuple(checked)


def _fields(recipe: Any) -> Any:
    """What a recipe sets, without its name."""
    return {field: value for field, value in recipe.items() if field != _NAME} if isinstance(recipe, dict) else recipe


def _value(name: str, value: Any, path: KeyPath, source: Source) -> Any:
    if _is_whole(name):
        own = {_NAME: _name(value[_NAME], (*path, _NAME), source)} if isinstance(value, dict) and _NAME in value else {}
        if (fields := _fields(value)) == {}:
            source.report(path, "sets no field; name those that belong together, such as method and learning_rate")
        return own | check_recipe(fields, path, source)
    if name != "seed":
        _, field = knob_target(name)
        if not field.startswith(PEFT):
            return check_recipe({field: value}, path, source, at_value=True).get(field)
        setting = field.removeprefix(PEFT)
        adapter = {"peft": {"peft_type": "LORA"} | {setting: value}}
        return check_recipe(adapter, path, source, at_value=True).get("peft", {}).get(setting)
    try:
        return TypeAdapter(Seed).validate_python(value)
    except ValidationError:
        source.report(path, f"expected a whole number from 0 to 4294967295, got {value!r}")
        return None


def _name(value: Any, path: KeyPath, source: Source) -> str:
    """The name of a recipe, by which tables and figures call it."""
    if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable() and value == value.strip():
        return value
    problem = f"expected a name of 1 to {LONGEST_NAME} characters in one line, such as 'lora', got {value!r}"
    source.report(path, problem)
    return ""


def _check_crossed(knobs: Sequence[Knobs], source: Source) -> None:
    """A field that a list of recipes sets cannot be a knob of its own beside it, nor a setting beside its adapter."""
    together = {field: name for name, values in knobs if _is_whole(name) for field, _ in single_knobs(name, values[0])}
    adapters = {name: name for name, _ in knobs if name.endswith(".peft")}
    for name, _ in knobs:
        adapter, _, setting = name.partition(f".{PEFT}")
        if other := together.get(name) or (setting and (adapters | together).get(f"{adapter}.peft")):
            source.report(("vary", name), f"is set by 'vary.{other}' too; keep one of the two")


def _check_methods(knobs: Sequence[Knobs], source: Source) -> None:
    """A knob of an adapter turns nothing where no stage trains such a one."""
    recipes = [source.data.get("recipe"), *_inner(source.data.get("tasks")), *_inner(source.data.get("mitigations"))]
    methods = [recipe.get("method") for recipe in recipes if isinstance(recipe, dict)]
    single = [knob for name, values in knobs for value in values for knob in single_knobs(name, value)]
    methods += [value for name, value in single if knob_target(name)[1] == "method"]
    for name in _set_for_adapters(source.data.get("recipe")):
        if (method := _method_of(name)) not in methods:
            _LOG.warning("%s: recipe.%s changes nothing, because no stage has 'method: %s'", source.name, name, method)
    for name in dict.fromkeys(name for name, value in single if value is not None):
        if (method := _method_of(knob_target(name)[1])) and method not in methods:
            source.report(("vary", name), f"changes nothing, because no stage has 'method: {method}'")


def _method_of(field: str) -> str:
    """The only method under which a field of a recipe says something; empty where there are several."""
    if field.startswith("lora_"):
        return "lora"
    return "peft" if field == "peft" or field.startswith(PEFT) else ""


def _set_for_adapters(recipe: Any) -> list[str]:
    """Fields of one method with another value than the usual one, which a resolved study names too."""
    written = recipe if isinstance(recipe, dict) else {}
    return [name for name, value in written.items() if _method_of(str(name)) and value != _USUAL.get(name)]


def _inner(value: Any) -> list[Any]:
    """Every `recipe` under the items of a section, whatever the section looks like."""
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    recipes = [item.get("recipe") for item in items if isinstance(item, dict)]
    return recipes + [recipe for item in items if isinstance(item, dict) for recipe in _inner(item) if recipe]
