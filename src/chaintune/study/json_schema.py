"""A JSON Schema of study files, made from what checks them: for editors, and for the page that lists every key."""

import inspect
import re
from json import dumps
from typing import Any

from pydantic import BaseModel

from chaintune.records import REFUSED_TYPES, Generation, Recipe, Resources
from chaintune.scoring.backends import BACKENDS
from chaintune.scoring.measures import MEASURES
from chaintune.scoring.scorers import SCORERS
from chaintune.study.chains import ORDERS
from chaintune.study.data_spec import ColumnSpec, SplitSpec
from chaintune.study.external import ExternalSpec
from chaintune.study.key_examples import EXAMPLES
from chaintune.study.knobs import LONGEST_NAME, MOST_SEEDS
from chaintune.study.schema import TASK_NAME, CurvatureSpec, StudySpec, TaskSpec, recipe_model
from chaintune.study.serve import ServeSpec
from chaintune.study.stage_settings import STAGE_FIELDS, StageSettings
from chaintune.tasks import DataOptions, registry
from chaintune.tuning.mitigations import MITIGATIONS
from chaintune.tuning.objectives import OBJECTIVES

Schema = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
_LIMITS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
# Defaults that tell nothing, and that an editor would write.
_NOTHING: tuple[Any, ...] = (None, "", [], {})
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", re.MULTILINE)
_FUNCTION = {"type": "string", "pattern": r"\.py:\w+$"}
# One schema and not one for each type: of several, editors show what the wrong ones say.
_SIZE = {
    "type": ["integer", "string", "null"],
    "minimum": 1,
    "pattern": r"^\s*(all|none|\d+|(\d+|power \d+(\.\d+)?)( per \S.*)?)\s*$",
    "patternErrorMessage": "Expected a number, 'N per DIMENSION', 'power 10', 'all' or 'none'.",
}
_MARGIN = {
    "type": ["number", "string", "null"],
    "minimum": 0,
    "maximum": 1,
    "pattern": r"^\s*\+?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*([^\W\d_].*)?$",
    "patternErrorMessage": "Expected a share such as 0.02, or a number with its unit: 0.05 nats.",
}
_CHAINS = "Expected 'both orders', 'all orders of 2', '20 random orders', a chain such as 'bbq>csqa', or a list."
# A choice of one, as an editor writes every default of a mapping that is named alone.
_RECIPE = {"anyOf": [{"$ref": "#/$defs/recipe"}]}


def schema_text() -> str:
    """The schema as a file of JSON, a line for each key and each definition."""
    lines = []
    for key, value in study_schema().items():
        text = dumps(value)
        if key in ("properties", "$defs"):
            text = "{\n  " + ",\n  ".join(f"{dumps(name)}: {dumps(part)}" for name, part in value.items()) + "\n }"
        lines.append(f" {dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def study_schema() -> Schema:
    """The JSON Schema (draft 7) of a study file, with the mitigations and scorers that are installed.

    It refuses what chaintune refuses of a key by itself: an unknown name, another type, a number out of range. What
    depends on other keys, on data or on models, chaintune alone can say.
    """
    study = _schema_of(StudySpec, "study")
    study["properties"] |= {
        "tasks": _told(study, "tasks", {"type": "object", "minProperties": 1, "propertyNames": _task_name()})
        | {"additionalProperties": _or_nothing({"$ref": "#/$defs/task"})},
        "chains": _told(study, "chains", _chains()),
        "recipe": _told(study, "recipe", _or_nothing(_RECIPE)),
        "vary": _told(study, "vary", _or_nothing(_vary())),
        "backend": _told(study, "backend", {"enum": list(BACKENDS.names)}),
        "chat": _told(study, "chat", _words(study["properties"]["chat"])),
        "mitigations": _told(study, "mitigations", {"type": "array", "items": _mitigations()}),
        "serve": _told(study, "serve", {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/serve"}, {"type": "null"}]}),
        "curvature": _told(study, "curvature", _or_nothing({"$ref": "#/$defs/curvature"})),
    }
    return {
        "$schema": _DRAFT,
        "title": "chaintune study",
        **study,
        "$defs": {
            "task": _task(),
            "columns": _also_numbers(_schema_of(ColumnSpec, "columns")),
            "split": _schema_of(SplitSpec, "split"),
            "recipe": _recipe(),
            "curvature": _schema_of(CurvatureSpec, "curvature"),
            "serve": _schema_of(ServeSpec, "serve"),
            "external": _schema_of(ExternalSpec, "external"),
            **{f"mitigation_{name}": _mitigation(name) for name in MITIGATIONS.names},
        },
    }


def _schema_of(model: type[BaseModel], section: str) -> Schema:
    """What pydantic says of a model, in JSON Schema's words, with the meaning of each key and an example of it."""
    written = model.model_json_schema()
    kept = {key: written[key] for key in ("type", "properties", "required") if key in written}
    schema: Schema = _in_its_words(kept, written.get("$defs", {}))
    schema["additionalProperties"] = written.get("additionalProperties", False)
    meanings = _meanings(*reversed(model.__mro__))
    examples = EXAMPLES.get(section, {})
    for key, own in schema["properties"].items():
        field = model.model_fields[key]
        if field.default_factory and (made := field.get_default(call_default_factory=True)):
            own["default"] = made
        own["description"] = meanings.get(key, "")
        example = examples[key] if key in examples else _example(own)
        own |= {} if example is None else {"examples": [example]}
    return schema


def _in_its_words(value: Any, inner_models: Schema) -> Any:
    """Limits by JSON Schema's names, one alone wherever a list may stand, as a study file takes it, models in place."""
    if isinstance(value, list):
        return [_in_its_words(inner, inner_models) for inner in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        own = inner_models[value["$ref"].rpartition("/")[2]]
        value = own | {"description": own["description"].partition("\n")[0]}
    told = {key: own for key, own in value.items() if key != "title" and not (key == "default" and own in _NOTHING)}
    words = {_LIMITS.get(key, key): _in_its_words(own, inner_models) for key, own in told.items()}
    if "anyOf" in words:
        words["anyOf"] = _flat(words["anyOf"])
    if words.get("type") == "array" and "items" in words:
        kept = {key: words.pop(key) for key in ("default",) if key in words}
        return {"anyOf": [words["items"], words], **kept}
    return words


def _meanings(*classes: type) -> dict[str, str]:
    """Key -> what the docstrings of classes say of it, those of later classes first."""
    meanings: dict[str, str] = {}
    for one in classes:
        _, _, attributes = (inspect.getdoc(one) or "").partition("Attributes:\n")
        for names, text in _ENTRY.findall(attributes):
            meanings |= dict.fromkeys(names.split(", "), " ".join(text.split()).removesuffix("."))
    return meanings


def _example(schema: Schema) -> Any:
    """Another value than the usual one, where the schema names some; else the usual one."""
    default = schema.get("default")
    if isinstance(default, bool):
        return not default
    others = [one for one in schema.get("enum", []) if one != default]
    return others[-1] if others else default


def _told(owner: Schema, key: str, schema: Schema) -> Schema:
    """A schema with what is said of a key of its owner."""
    own = owner["properties"][key]
    return schema | {name: own[name] for name in ("description", "default", "examples") if name in own}


def _or_nothing(schema: Schema) -> Schema:
    return _either(schema, {"type": "null"})


def _one_or_several(schema: Schema) -> Schema:
    return _either(schema, {"type": "array", "minItems": 1, "items": schema})


def _either(schema: Schema, other: Schema) -> Schema:
    return {"anyOf": _flat([schema, other])}


def _flat(ways: list[Schema]) -> list[Schema]:
    """Ways to write a value without a choice inside a choice, of which editors complete nothing."""
    return [one for way in ways for one in (way["anyOf"] if set(way) == {"anyOf"} else [way])]


def _words(schema: Schema) -> Schema:
    """Words of which YAML takes some for truth values."""
    return {"anyOf": [schema["anyOf"][0] if "anyOf" in schema else {"enum": schema["enum"]}, {"type": "boolean"}]}


def _task_name() -> Schema:
    known, other = {"enum": list(registry.names())}, {"pattern": f"^{TASK_NAME.pattern}$"}
    return {"anyOf": [known, other], "not": {"const": "base"}}


def _chains() -> Schema:
    orders = re.sub(r"\?P<\w+>", "", ORDERS)
    words = {
        "type": "string",
        "pattern": rf"^\s*{orders}\s*$|>|^\s*{TASK_NAME.pattern}\s*$",
        "patternErrorMessage": _CHAINS,
        "examples": ["all orders", "20 random orders"],
    }
    elsewhere = {
        "type": "object",
        "properties": {"external": {"$ref": "#/$defs/external"}},
        "required": ["external"],
        "additionalProperties": False,
    }
    chain = {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, elsewhere]}}
    return {"anyOf": [words, {"type": "array", "minItems": 1, "items": {"anyOf": [words, chain]}}]}


def _task() -> Schema:
    task = _schema_of(TaskSpec, "task")
    known = task["properties"]
    where = _meanings(Generation, DataOptions)
    where["generation_seed"] = where.pop("seed")
    for key, meaning in where.items():
        if key in known:
            known[key]["description"] = meaning.partition("; see `")[0]
    measure, scorers = {"enum": list(MEASURES.names)}, list(SCORERS.names)
    settings = {name: _schema_of(SCORERS.get(name).settings, "scorer") for name in scorers}
    scorer = {
        "anyOf": [
            {"enum": scorers},
            _FUNCTION,
            {
                "type": "object",
                "minProperties": 1,
                "allOf": [{"maxProperties": 1}],  # written apart, as an editor else completes nothing
                "properties": {name: _or_nothing(own) for name, own in settings.items()},
                "patternProperties": {_FUNCTION["pattern"]: {}},
                "additionalProperties": False,
            },
        ]
    }
    changed: dict[str, Schema] = {
        "train": _SIZE,
        "test": _SIZE,
        "split": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/split"}, {"type": "null"}]},
        "columns": _or_nothing({"$ref": "#/$defs/columns"}),
        "recipe": _RECIPE,
        "measure": _one_or_several(measure),
        "chat": _or_nothing(_words(known["chat"])),
        "margin": _MARGIN,
        "scorer": _or_nothing(_one_or_several(scorer)),
    }
    known |= {key: _told(task, key, schema) for key, schema in changed.items()}
    return task


def _also_numbers(schema: Any) -> Any:
    """A schema whose texts may be numbers, as YAML takes some names of columns for such."""
    if isinstance(schema, list):
        return [_also_numbers(inner) for inner in schema]
    if schema == {"type": "string"}:
        return {"type": ["string", "number"]}
    return {key: _also_numbers(inner) for key, inner in schema.items()} if isinstance(schema, dict) else schema


def _recipe() -> Schema:
    recipe = _schema_of(recipe_model(), "recipe")
    meanings = _meanings(StageSettings, Resources, Recipe)
    for key, own in recipe["properties"].items():
        own["description"] = meanings[key]
    peft = {
        "type": "object",
        "properties": {"peft_type": {"type": "string", "not": {"enum": sorted(REFUSED_TYPES)}}},
        "required": ["peft_type"],
    }
    changed: dict[str, Schema] = {"objective": {"enum": [*OBJECTIVES.names, None]}, "peft": _or_nothing(peft)}
    recipe["properties"] |= {key: _told(recipe, key, schema) for key, schema in changed.items()}
    return recipe


def _varied_recipe() -> Schema:
    """A recipe among those that a study varies, which may have a name."""
    fields = {name: {"$ref": f"#/$defs/recipe/properties/{name}"} for name in STAGE_FIELDS}
    name = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "examples": ["lora"]}
    described = name | {"description": "By which results call the variant, in place of what differs."}
    return {"type": "object", "properties": {"name": described, **fields}, "additionalProperties": False}


def _vary() -> Schema:
    seed = {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**32}
    counted = {"type": "integer", "minimum": 1, "maximum": MOST_SEEDS}
    knobs = {"recipe": _varied_recipe()}
    knobs |= {f"recipe.{name}": {"$ref": f"#/$defs/recipe/properties/{name}"} for name in STAGE_FIELDS}
    del knobs["recipe.report_to"]
    several = {name: _one_or_several(schema) for name, schema in knobs.items()}
    return {
        "type": "object",
        "properties": {"seed": {"anyOf": [counted, {"type": "array", "minItems": 1, "items": seed}]}, **several},
        "patternProperties": {
            r"^(tasks\.[^.]+\.)?recipe\.peft\..+$": {},
            **{rf"^tasks\.[^.]+\.{re.escape(name)}$": schema for name, schema in several.items()},
        },
        "additionalProperties": False,
    }


def _mitigation(name: str) -> Schema:
    schema = _schema_of(MITIGATIONS.get(name).spec, "mitigation")
    schema["properties"]["recipe"] = _told(schema, "recipe", _RECIPE)
    return schema


def _mitigations() -> Schema:
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {name: {"$ref": f"#/$defs/mitigation_{name}"} for name in MITIGATIONS.names},
        "additionalProperties": False,
    }
