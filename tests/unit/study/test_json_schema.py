"""The JSON Schema of study files: it takes what chaintune takes, and refuses what a schema can refuse."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from chaintune.cli.app import app
from chaintune.errors import ConfigError
from chaintune.study.json_schema import Schema, schema_text, study_schema
from chaintune.study.key_examples import EXAMPLES
from chaintune.study.study import Study
from chaintune.study.suite import suite_names, suite_text
from chaintune.tuning.mitigations import MITIGATIONS
from tests.unit.study.test_advice import GOOD, changed, places

ROOT = Path(__file__).parents[3]
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
SCHEMA = study_schema()
CHECK = jsonschema.Draft7Validator(SCHEMA)


class Yaml12(yaml.SafeLoader):
    """YAML as editors read it, in which 1e-4 is a number and `on` a word."""


Yaml12.yaml_implicit_resolvers = {
    sign: [(tag, pattern) for tag, pattern in ways if tag != "tag:yaml.org,2002:bool"]
    for sign, ways in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Yaml12.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d+)?e[-+]?\d+"), list("-+0123456789"))
Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false"), list("tf"))


def read(text: str) -> Any:
    return yaml.load(text, Yaml12)  # noqa: S506 - a safe loader


def faults(study: Any) -> list[str]:
    return [f"{list(error.absolute_path)}: {error.message}" for error in CHECK.iter_errors(study)]


def keys(schema: Schema, at: str = "") -> Iterator[tuple[str, Schema]]:
    for name, own in schema.get("properties", {}).items():
        yield f"{at}.{name}", own


def test_the_committed_schema_is_the_one_that_is_made_today() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    written = (ROOT / "studies" / "study.schema.json").read_text(encoding="utf-8")
    assert written == schema_text(), "write it anew: chaintune schema > studies/study.schema.json"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_it_takes_every_study_that_ships(path: Path) -> None:
    assert faults(read(path.read_text(encoding="utf-8"))) == []


def shown() -> Iterator[tuple[str, dict[str, Any]]]:
    """Page and content of every study file of the documentation; what a part lacks is filled in."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for text in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            found = read(text)
            if isinstance(found, dict) and found.keys() & SCHEMA["properties"].keys():
                yield page.name, {"base": "m", "tasks": {"bbq": {}}, "chains": "bbq"} | found


def test_it_takes_every_study_of_the_documentation() -> None:
    found = list(shown())
    assert len(found) > 30
    assert [(page, faults(study)) for page, study in found if faults(study)] == []


WAYS = """\
{chains: all orders of 2}
{chains: "2 random orders of 2, seed 3"}
{chains: bbq>csqa}
{chains: [bbq>csqa, [csqa], all orders of 1]}
{vary: {seed: 3}}
{vary: {recipe: [{name: a, method: full}, {name: b, method: lora}]}}
{vary: {tasks.bbq.recipe.epochs: [1, 2]}}
{chat: on, keep: none, recipe: null, vary: null, mitigations: [], curvature: null, serve: null}
{chat: true}
{kl: first stages, allow_unused: x.*, base: [a, b]}
{mitigations: [{replay: {task: bbq, dose: 0.1}}]}
{tasks: {bbq: null, csqa: null}}
{tasks: {bbq: {train: power 10 per category, test: "30"}, csqa: {train: all, test: 3}}}
{tasks: {bbq: {only: {category: Age}, margin: 0.05 nats, measure: choice, metric: [accuracy, scaled_margin]}, csqa: {}}}
{tasks: {bbq: {scorer: refusal}, csqa: {margin: 0.05}}}
{tasks: {bbq: {scorer: [refusal, {regex: {pattern: x}}]}, csqa: {scorer: {refusal: null}}}}
{tasks: {bbq: {scorer: {"polite.py:polite": {a: 1}}}, csqa: {scorer: {contains: {any: x}}}}}
{tasks: {bbq: {scorer: {judge: {model: m, template: harmfulness}}}, csqa: {}}}
{tasks: {bbq: {scorer: {judge: {model: m, template: {ask: "{answer}?", verdicts: {yes: 1, no: 0}}}}}, csqa: {}}}
{tasks: {bbq: {recipe: {lora_targets: all-linear, method: lora}, stop: x}, csqa: {}}}
{tasks: {own: {role: safety, path: x.csv, columns: {prompt: 1, choices: [1, 2], gold: 0, groups: {a: b}}}}, chains: own}
{tasks: {own: {role: safety, hub: a/b, split: {train: x, test: y}}}, chains: own}
"""
REFUSED = """\
{chains: both order}
{vary: {recipe.lr: [1]}}
{tasks: {base: {}, csqa: {}}}
{tasks: {bbq: {train: thirty}, csqa: {}}}
{tasks: {bbq: {margin: 5 %}, csqa: {}}}
{tasks: {bbq: {recipe: null}, csqa: {}}}
{tasks: {bbq: {scorer: refusl}, csqa: {}}}
{tasks: {bbq: {scorer: {regex: {patern: x}}}, csqa: {}}}
{tasks: {bbq: {scorer: {regex: {pattern: x}, refusal: {}}}, csqa: {}}}
{tasks: {bbq: {scorer: {judge: {model: m, template: harmfulnes}}}, csqa: {}}}
{mitigations: [{repaly: {task: bbq, dose: 0.1}}]}
"""


@pytest.mark.parametrize(("written", "is_taken"), [(WAYS, True), (REFUSED, False)])
def test_each_way_to_write_a_value_is_judged_as_chaintune_judges_it(written: str, is_taken: bool) -> None:
    for line in written.splitlines():
        study = {"base": "m", "tasks": {"bbq": {}, "csqa": {}}, "chains": "both orders"} | read(line)
        assert bool(faults(study)) == bool(complaints(study)) != is_taken, (line, faults(study), complaints(study))


def test_it_takes_every_suite_as_the_tasks_of_a_study() -> None:
    for name in suite_names():
        assert faults({"base": "m", "chains": "all orders"} | read(suite_text(name))) == []


def test_every_key_has_a_meaning_and_an_example_that_it_takes() -> None:
    parts = {"study": SCHEMA} | SCHEMA["$defs"]
    every = [(name, key, own) for name, part in parts.items() for key, own in keys(part)]
    without = [key for _, key, own in every if not own.get("description") or "see `" in own["description"]]
    assert without == []
    for name, key, own in every:
        check = jsonschema.Draft7Validator({"$defs": SCHEMA["$defs"], **own})
        assert [error.message for error in check.iter_errors(own["examples"][0])] == [], (name, key)
    assert EXAMPLES.keys() - {"mitigation", "scorer"} <= parts.keys()
    assert {f"mitigation_{name}" for name in MITIGATIONS.names} <= parts.keys()


def parts_of(value: Any) -> Iterator[Schema]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts_of(inner)


def test_editors_complete_what_it_names_and_write_nothing_that_is_left_out() -> None:
    """An editor reads no schema at all of which one reference leads nowhere."""
    every = list(parts_of(SCHEMA))
    written = [part["$ref"] for part in every if isinstance(part.get("$ref"), str)]
    for at in written:
        own: Any = SCHEMA
        for step in at.removeprefix("#/").split("/"):
            own = own[step]
    assert len(written) > 50
    assert [part for part in every if part.get("default", 0) in (None, "", [], {})] == []
    assert [part for part in every if any("anyOf" in way for way in part.get("anyOf", ()))] == []
    assert "bbq" in SCHEMA["properties"]["tasks"]["propertyNames"]["anyOf"][0]["enum"]


def test_it_refuses_every_misspelled_key() -> None:
    mappings = [at for at in [(), *places(GOOD)] if isinstance(value_at(at), dict)]
    free = {("tasks", "own", "columns", "groups"), ("vary",), ("tasks",)}
    for at in mappings:
        wrong = changed(GOOD, at, value_at(at) | {"zzz zzz": 1})
        assert faults(wrong) or at in free, at
    assert faults(GOOD | {"vary": {"recipe.lr": [1]}})
    assert faults(GOOD | {"tasks": {"a.b": {}}})


def value_at(at: tuple[str | int, ...]) -> Any:
    value: Any = GOOD
    for part in at:
        value = value[part]
    return value


# What hangs on other keys, on names of the study, or on what is installed: chaintune alone can say it.
BEYOND = re.compile(
    r"no task is (known|named)|is listed twice|no (metric|dimension)|no such|changes nothing|twice in a row|takes no|"
    r"needs a role|is a known task|leaves? nothing|set the same fields|is set by|cannot name|nothing to bring back|"
    r"no chain learns|no column|Hub data set|not understood|write a number|missing"
)


def test_it_refuses_what_chaintune_refuses_and_takes_what_it_takes() -> None:
    assert faults(GOOD) == []
    values: tuple[Any, ...] = ("zzz zzz", -1, [[]], {"a": 1}, True)
    for number, at in enumerate(places(GOOD)):
        for wrong in (values[number % 5], values[(number + 2) % 5]):
            study = changed(GOOD, at, wrong)
            problems = complaints(study)
            if any(not BEYOND.search(one) for one in problems):
                assert faults(study), (at, wrong, problems)
            elif not problems:
                assert not faults(study), (at, wrong)


def complaints(study: Any) -> list[str]:
    """What chaintune says of a study, a problem each."""
    try:
        Study.from_mapping(study)
    except ConfigError as error:
        return [line for line in str(error).splitlines() if "study: " in line]
    return []


def test_it_is_printed() -> None:
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["schema"], catch_exceptions=False)
    assert json.loads(done.stdout) == SCHEMA
