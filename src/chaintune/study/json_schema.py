"""A JSON Schema of study files, made from what checks them: for editors, and for the page that lists every key."""

import inspect
import re
from collections.abc import Mapping
from json import dumps
from typing import Any

import yaml
from pydantic import BaseModel

from chaintune.records import REFUSED_TYPES, Generation, Recipe, Resources
from chaintune.scoring.backends import BACKENDS
from chaintune.scoring.measures import MEASURES
from chaintune.scoring.scorers import SCORERS
from chaintune.study.chains import ORDERS
from chaintune.study.data_spec import ColumnSpec, SplitSpec
from chaintune.study.external import ExternalSpec
from chaintune.study.knobs import LONGEST_NAME, MOST_SEEDS
from chaintune.study.schema import TASK_NAME, CurvatureSpec, StudySpec, TaskSpec, recipe_model
from chaintune.study.serve import ServeSpec
from chaintune.study.stage_settings import STAGE_FIELDS, StageSettings
from chaintune.tasks import DataOptions
from chaintune.tuning.mitigations import MITIGATIONS
from chaintune.tuning.objectives import OBJECTIVES

Schema = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
_LIMITS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", re.MULTILINE)
_FUNCTION = {"type": "string", "pattern": r"\.py:\w+$"}
_SIZE = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": r"^\s*(all|none|\d+|(\d+|power \d+(\.\d+)?)( per \S.*)?)\s*$"},
        {"type": "null"},
    ]
}
# Of keys without a default that tells enough.
EXAMPLES: Mapping[str, Mapping[str, Any]] = yaml.safe_load("""\
study:
  base: smollm2-135m
  tasks: {bbq: {train: 30 per category, test: 40 per category}}
  chains: both orders
  recipe: {method: lora, learning_rate: 0.0001}
  vary: {seed: 3}
  mitigations: [{replay: {task: bbq, dose: [0.05, 0.1]}}]
  curvature: {examples: 16}
  allow_unused: ["vision_tower.*"]
  serve: "vllm serve {model} --port {port}"
task:
  role: safety
  train: 200
  test: 40 per category
  path: items.jsonl
  test_path: test.jsonl
  use: bbq
  hub: allenai/sciq
  config: main
  split: train
  columns: {prompt: question, groups: {religion: faith}}
  unusable: skip
  lm_eval: arc_easy
  fewshot: 2
  include_path: our_tasks
  free: 200
  only: {category: [Age, Religion]}
  test_share: 0.5
  recipe: {epochs: 2}
  measure: generation
  metric: accuracy
  labelling: false
  chat: "on"
  system: Answer briefly.
  chat_template: template.jinja
  margin: 0.05 nats
  labels: labels.csv
  scorer: refusal
  max_new_tokens: 64
  samples: 4
  temperature: 0.7
  generation_seed: 1
  stop: ["###"]
columns:
  id: key
  messages: messages
  prompt: "Question: {question}"
  input: context
  system: instructions
  response: answer
  chosen: better
  rejected: worse
  text: text
  choices: ["{right}", "{wrong}"]
  gold: right
  labels: [A, B]
  cluster: template
  split: part
  pair: pair
  expects: expects
  groups: {religion: faith}
  extra: [reference]
split: {train: train, test: validation}
recipe:
  objective: dpo
  teach: chosen
  peft: {peft_type: OFT, r: 0}
  adapter: fresh
  quantize: 4bit
  share_prefixes: false
  lora_targets: [q_proj, v_proj]
  report_to: tensorboard
external: {path: models/other, command: bash train.sh, task: bbq, name: ours, files: [train.sh], folder: scripts}
serve:
  command: "vllm serve {model} --port {port}"
  measures: [generation, choice]
  adapters: "--enable-lora --lora-modules {name}={adapter}"
  folder: servers
mitigation:
  {task: bbq, recipe: {epochs: 2}, by: category, prompts: csqa, keep: refused, strength: 10, parts: embed_tokens}
""")


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
    recipe = {"$ref": "#/$defs/recipe"}
    study["properties"] |= {
        "tasks": _told(study, "tasks", {"type": "object", "minProperties": 1, "propertyNames": _task_name()})
        | {"additionalProperties": _or_nothing({"$ref": "#/$defs/task"})},
        "chains": _told(study, "chains", _chains()),
        "recipe": _told(study, "recipe", _or_nothing(recipe)),
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
    schema: Schema = _in_its_words({key: written[key] for key in ("type", "properties", "required") if key in written})
    schema["additionalProperties"] = written.get("additionalProperties", False)
    meanings = _meanings(*reversed(model.__mro__))
    examples = EXAMPLES.get(section, {})
    for key, own in schema["properties"].items():
        field = model.model_fields[key]
        if field.default_factory:
            own["default"] = field.get_default(call_default_factory=True)
        own["description"] = meanings.get(key, "")
        own["examples"] = [examples[key] if key in examples else _example(own)]
    return schema


def _in_its_words(value: Any) -> Any:
    """Limits by JSON Schema's names, and one alone wherever a list may stand, as a study file takes it."""
    if isinstance(value, list):
        return [_in_its_words(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    words = {_LIMITS.get(key, key): _in_its_words(inner) for key, inner in value.items() if key != "title"}
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
    return {"anyOf": [schema, {"type": "null"}]}


def _one_or_several(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "array", "minItems": 1, "items": schema}]}


def _words(schema: Schema) -> Schema:
    """Words of which YAML takes some for truth values."""
    return {"anyOf": [schema["anyOf"][0] if "anyOf" in schema else {"enum": schema["enum"]}, {"type": "boolean"}]}


def _task_name() -> Schema:
    return {"pattern": f"^{TASK_NAME.pattern}$", "not": {"const": "base"}}


def _chains() -> Schema:
    orders = re.sub(r"\?P<\w+>", "", ORDERS)
    words = {"type": "string", "pattern": rf"^\s*{orders}\s*$|>|^\s*{TASK_NAME.pattern}\s*$"}
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
    measure, names = {"enum": list(MEASURES.names)}, list(SCORERS.names)
    settings = {name: _schema_of(SCORERS.get(name).settings, "") for name in names}
    scorer = {
        "anyOf": [
            {"enum": names},
            _FUNCTION,
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
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
        "recipe": {"$ref": "#/$defs/recipe"},
        "measure": _one_or_several(measure),
        "chat": _or_nothing(_words(known["chat"])),
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
    schema["properties"]["recipe"] = _told(schema, "recipe", {"$ref": "#/$defs/recipe"})
    return schema


def _mitigations() -> Schema:
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {name: {"$ref": f"#/$defs/mitigation_{name}"} for name in MITIGATIONS.names},
        "additionalProperties": False,
    }
