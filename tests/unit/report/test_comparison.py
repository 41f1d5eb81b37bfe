"""A comparison and a gate as tables, Markdown, JSON by its schema, and JUnit XML."""

import json
import math
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

import chaintune
from chaintune.gate import judge, read_policy
from chaintune.records import Comparison, Gate, ItemScores, Judgement, items_table
from chaintune.report.comparison import comparison_json, comparison_markdown, comparison_schema, comparison_tables
from chaintune.report.gate import gate_sentence, gate_table, junit_xml

FAST = 200
KEYWORDS = {"$schema", "$defs", "title", "description", "$ref", "anyOf", "type", "const", "enum", "minimum"} | {
    "minItems", "properties", "required", "additionalProperties", "items",
}  # fmt: skip
HOSTILE = '"><script>&\x00\x1b]]>\ud800\n| a \\'


def compared(*, graded: bool = False, names: str = "ab") -> Comparison:
    groups = [{"faith": (names[i % 2],)} for i in range(40)]
    sides = ([1.0] * 40, [0.5 if graded and i == 1 else float(i % 3 > 0) for i in range(40)])
    both = [ItemScores("t", items_table([str(i) for i in range(40)], side, groups)) for side in sides]
    return chaintune.compare(both[0], both[1], by=["faith"], resamples=FAST)


def judgement(answer: Any = "fail", tier: Any = "block", **named: Any) -> Judgement:
    plain: dict[str, Any] = {
        "task": "t",
        "dimension": "faith",
        "group": "a",
        "measure": "forgetting",
        "budget": 0.1,
        "relative": False,
    }
    numbers: dict[str, Any] = {"value": 0.2, "low": 0.15, "high": 0.25, "reason": "why"}
    return Judgement(tier=tier, answer=answer, **(plain | numbers | named))


def faults(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any]) -> list[str]:
    """What does not fit a JSON Schema, for the keywords that ours uses; any other keyword is a fault of its own."""
    known = {
        "$schema",
        "$defs",
        "title",
        "description",
        "$ref",
        "anyOf",
        "type",
        "const",
        "enum",
        "minimum",
        "minItems",
    }
    found = [
        f"keyword {name}" for name in set(schema) - known - {"properties", "required", "additionalProperties", "items"}
    ]
    if "$ref" in schema:
        found += faults(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root)
    if "anyOf" in schema and not any(not faults(inner, value, root) for inner in schema["anyOf"]):
        found.append(f"none of anyOf fits {value!r}")
    found += _plain_faults(schema, value)
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        found += [f"{name} is missing" for name in schema.get("required", ()) if name not in value]
        extra = schema.get("additionalProperties", {})
        for name, part in value.items():
            if name in inner:
                found += faults(inner[name], part, root)
            else:
                found += [f"{name} is unknown"] if extra is False else faults(extra, part, root)
    if isinstance(value, list):
        found += [fault for part in value for fault in faults(schema.get("items", {}), part, root)]
    return found


def _plain_faults(schema: Mapping[str, Any], value: Any) -> list[str]:
    found = []
    kinds = schema.get("type", [])
    if kinds and _kind(value) not in kinds and not (_kind(value) == "integer" and "number" in kinds):
        found.append(f"{value!r} is no {kinds}")
    if value != schema.get("const", value) or value not in schema.get("enum", [value]):
        found.append(f"{value!r} is not allowed")
    if isinstance(value, int | float) and value < schema.get("minimum", -math.inf):
        found.append(f"{value!r} is too small")
    if isinstance(value, list) and len(value) < schema.get("minItems", 0):
        found.append("too few items")
    return found


def _kind(value: Any) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return kinds.get(type(value), "null")


@pytest.mark.parametrize("graded", [False, True])
def test_json_fits_its_published_schema(graded: bool) -> None:
    schema = comparison_schema()
    gate = Gate("p", (judgement(), judgement("missing", value=math.nan, low=math.nan, high=math.nan)))
    for told in (gate.to_dict(), None):
        text = comparison_json([compared(graded=graded)], told)
        assert faults(schema, json.loads(text), schema) == []


def test_the_schema_refuses_what_is_something_else() -> None:
    schema = comparison_schema()
    good = json.loads(comparison_json([compared()]))
    changes: tuple[dict[str, Any], ...] = (
        {"format": 2},
        {"more": 1},
        {"comparisons": []},
        {"comparisons": [good["comparisons"][0] | {"level": "high"}]},
        {"comparisons": [good["comparisons"][0] | {"n_left_out": -1}]},
        {"comparisons": [{k: v for k, v in good["comparisons"][0].items() if k != "margin"}]},
        {"gate": {"policy": "p", "answer": "perhaps", "judgements": []}},
    )
    for change in changes:
        assert faults(schema, good | change, schema)


def test_tables_show_the_whole_the_groups_and_the_spread() -> None:
    whole, groups, spread = comparison_tables(compared())
    assert whole.rows[0][:3] == ("t", "40", "40")
    assert whole.rows[0][-2:] == ("14", "0")
    assert {row[0] for row in groups.rows} == {"a", "b"}
    assert all(len(row) == len(table.header) for table in (whole, groups, spread) for row in table.rows)
    assert "right, then wrong" in whole.note
    assert "Forgot: fell" in comparison_tables(compared(graded=True))[0].note


def test_markdown_escapes_what_comes_from_data_and_says_the_answer_first() -> None:
    text = comparison_markdown([compared(names="<|")], Gate("p", (judgement(),)))
    assert text.startswith("**FAIL: of one blocking budget 1 exceeded.**")
    assert "| \\< |" in text
    assert "| \\| |" in text


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["pass", "pass"], "PASS: of 2 blocking budgets all are kept."),
        (["pass", "fail", "missing"], "FAIL: of 3 blocking budgets 1 exceeded, 1 about something missing."),
        (["pass", "inconclusive"], "INCONCLUSIVE: of 2 blocking budgets 1 not decided by these data."),
    ],
)
def test_the_answer_in_a_sentence(answers: list[str], said: str) -> None:
    assert gate_sentence(Gate("p", tuple(judgement(answer) for answer in answers))) == said


def test_the_table_of_budgets_begins_with_what_needs_attention() -> None:
    gate = Gate(
        "p", (judgement("pass"), judgement("fail", "warn"), judgement("fail", relative=True, more_examples=1200))
    )
    rows = gate_table(gate).rows
    assert [row[:2] for row in rows] == [("FAIL", "block"), ("FAIL", "warn"), ("PASS", "block")]
    assert rows[0][5:8] == ("10 % of before", "+20.0 (+15.0 to +25.0)", "1,200")


def test_junit_counts_and_outcomes() -> None:
    answers = [("pass", "block"), ("fail", "block"), ("inconclusive", "block"), ("missing", "block"), ("fail", "warn")]
    root = Xml.fromstring(junit_xml(Gate("p", tuple(judgement(*answer) for answer in answers))))  # noqa: S314 - ours
    (suite,) = root
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "5", "failures": "1", "errors": "2", "skipped": "1"}
    assert [[part.tag for part in case] for case in suite] == [[], ["failure"], ["error"], ["error"], ["skipped"]]


def test_no_name_from_data_becomes_markup_of_junit() -> None:
    gate = Gate(HOSTILE, (judgement(task=HOSTILE, dimension=HOSTILE, group=HOSTILE, reason=HOSTILE),))
    text = junit_xml(gate)
    text.encode("utf-8")
    root = Xml.fromstring(text)  # noqa: S314 - ours
    assert [element.tag for element in root.iter()] == ["testsuites", "testsuite", "testcase", "failure"]
    kept = '"><script>&\ufffd\ufffd]]>\ufffd'
    assert (root[0][0].get("classname") or "").startswith(kept)
    assert "<script>" not in text


def test_a_whole_gate_from_a_file(tmp_path: Any) -> None:
    (tmp_path / "p.yaml").write_text("budgets: [{task: t, by: faith, forgetting: 0.01}]")
    gate = judge(read_policy(tmp_path / "p.yaml"), [compared()])
    assert gate.answer == "fail"
    assert json.loads(comparison_json([compared()], gate.to_dict()))["gate"]["answer"] == "fail"
