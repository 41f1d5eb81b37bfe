"""A comparison and a gate as tables, Markdown, JSON by its schema, and JUnit XML."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import chaintune
from chaintune.gate import Budget, Policy, judge, read_policy
from chaintune.gate.policy import Limit
from chaintune.records import Comparison, Gate, Judgement, items_table, plain_scores
from chaintune.report.card import forgetting_section
from chaintune.report.comparison import comparison_json, comparison_schema, read_comparisons
from chaintune.report.figures.every import result_figures
from chaintune.report.gate import gate_sentence, gate_table, junit_xml
from chaintune.report.markdown import markdown
from chaintune.report.model_index import model_index
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from tests import synthetic

FAST = 200
GONE = object()
POLICY = Policy(
    "p",
    tuple(
        Budget("t", by, (), statistic, Limit(0.1, relative=False), "block", required=True)  # type: ignore[arg-type]
        for by, statistic in (("", "forgetting"), ("faith", "disparity"), ("age", "forgetting"))
    ),
)
HOSTILE = '"><script>&\x00\x1b]]>\ud800\n| a \\'


def compared(*, graded: bool = False, names: str = "ab", count: int = 40) -> Comparison:
    groups = [{"faith": (names[i % 2],)} for i in range(count)]
    sides = ([1.0] * count, [0.5 if graded and i == 1 else float(i % 3 > 0) for i in range(count)])
    both = [plain_scores("t", items_table([str(i) for i in range(count)], side, groups)) for side in sides]
    return chaintune.compare(both[0], both[1], by=["faith"], resamples=FAST)


def lengths() -> Comparison:
    """Answers of 4 characters, of which three of four grow by 2."""
    groups = {"faith": ["ab"[i % 2] for i in range(40)]}
    sides = ([4.0] * 40, [4.0 if i % 4 == 0 else 6.0 for i in range(40)])
    return chaintune.compare(*(synthetic.lengths(side, groups) for side in sides), by=["faith"], resamples=FAST)


def judgement(answer: Any = "fail", tier: Any = "block", **named: Any) -> Judgement:
    plain: dict[str, Any] = {
        "task": "t",
        "dimension": "faith",
        "group": "a",
        "statistic": "forgetting",
        "budget": 0.1,
        "relative": False,
    }
    numbers: dict[str, Any] = {"value": 0.2, "low": 0.15, "high": 0.25, "reason": "why"}
    return Judgement(tier=tier, answer=answer, **(plain | numbers | named))


def faults(told: Any) -> list[str]:
    """What does not fit the published schema."""
    return [error.message for error in Draft202012Validator(comparison_schema()).iter_errors(told)]


def test_the_published_schema_is_one() -> None:
    schema = comparison_schema()
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


def test_bounds_where_scores_are_missing_fit_the_schema_and_are_read_again(tmp_path: Path) -> None:
    groups = {"faith": ["a", "b"] * 20}
    before = synthetic.scores([1] * 40, groups=groups)
    after = before.at(np.arange(40) > 3)
    found = chaintune.compare(before, after, by=["faith"], on_missing="intersect", resamples=300)
    assert faults(json.loads(comparison_json([found]))) == []
    path = tmp_path / "found.json"
    path.write_text(comparison_json([found]))
    ((again,), _) = read_comparisons(path)
    told, known = again.to_dict(), found.to_dict()
    assert (told["bounds"], told["disparities"]) == (known["bounds"], known["disparities"])
    assert known["bounds"][1]["biased_lower"]["value"] == pytest.approx(-0.05)
    (table,) = [one for one in result_tables(Results.of([found])) if one.title.startswith("Spread")]
    assert table.rows[0][2] == "0.0 (at least 0.0, at most 10.0 with what is missing)"


@pytest.mark.parametrize("graded", [False, True])
def test_json_fits_its_published_schema(graded: bool) -> None:
    gate = Gate("p", (judgement(), judgement("missing", value=math.nan, low=math.nan, high=math.nan)))
    for told in (gate.to_dict(), None):
        text = comparison_json([compared(graded=graded)], told)
        assert faults(json.loads(text)) == []


def test_what_is_undefined_is_null_and_fits_the_schema() -> None:
    """Three examples of a group are too few for an interval, and one group alone has no spread."""
    few = compared(count=3, names="aa")
    told = json.loads(comparison_json([few], judge(POLICY, [few]).to_dict()))
    assert faults(told) == []
    (found,) = told["comparisons"]
    undefined = [found["overall"]["forgetting"]["low"], found["overall"]["detectable_forgetting"]]
    undefined += [found["disparities"][0]["estimate"]["value"], found["disparities"][0]["null_expectation"]]
    assert undefined == [None] * 4
    assert found["overall"]["forgetting"]["reason"]
    assert {row["answer"] for row in told["gate"]["judgements"]} == {"inconclusive", "missing"}
    assert None in [row["value"] for row in told["gate"]["judgements"]]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), 2),
        (("more",), 1),
        (("comparisons",), []),
        (("comparisons", 0, "level"), "high"),
        (("comparisons", 0, "n_left_out"), -1),
        (("comparisons", 0, "margin"), GONE),
        (("comparisons", 0, "overall", "forgetting", "value"), "0.1"),
        (("comparisons", 0, "overall", "verdict"), "fine"),
        (("comparisons", 0, "groups", 0, "surprise"), 1),
        (("gate", "answer"), "perhaps"),
        (("gate", "judgements", 0, "more_examples"), 1.5),
        (("gate", "judgements", 0, "tier"), GONE),
    ],
)
def test_the_schema_refuses_what_is_something_else(place: tuple[str | int, ...], value: Any) -> None:
    told = json.loads(comparison_json([compared()], Gate("p", (judgement(),)).to_dict()))
    *way, last = place
    part = told
    for step in way:
        part = part[step]
    if value is GONE:
        del part[last]
    else:
        part[last] = value
    assert len(faults(told)) == 1


def test_tables_show_the_whole_the_groups_and_the_spread() -> None:
    whole, groups, spread = result_tables(Results.of([compared()]))
    assert whole.rows[0][:3] == ("t", "40", "40")
    assert whole.rows[0][-2:] == ("14", "0")
    assert {row[0] for row in groups.rows} == {"a", "b"}
    assert all(len(row) == len(table.header) for table in (whole, groups, spread) for row in table.rows)
    assert "right, then wrong" in whole.note
    assert "Forgot: fell" in result_tables(Results.of([compared(graded=True)]))[0].note


def test_groups_without_a_forgetting_of_their_own_have_no_verdict_and_are_named(tmp_path: Path) -> None:
    groups = {"faith": ["one label"] * 20 + ["both"] * 60}
    scores = synthetic.labelled({"yes": ["yes"] * 40, "no": ["no"] * 40}, per_cluster=2, groups=groups)
    found = chaintune.compare(scores, scores, by=["faith"], resamples=FAST)
    (tmp_path / "x.json").write_text(comparison_json([found]))
    (again,), _ = read_comparisons(tmp_path / "x.json")
    for results in (Results.of([found]), Results.of([again])):
        table = result_tables(results)[1]
        verdict = table.header.index("verdict")
        assert {row[0]: bool(row[verdict]) for row in table.rows} == {"one label": False, "both": True}
        assert "1 group has a biased forgetting only" in table.note
        assert table.note.endswith("needs: one label.")
    budget = Budget("t", "faith", (), "forgetting", Limit(0.1, relative=False), "block", required=False)
    reasons = {one.group: one.reason for one in judge(Policy("p", (budget,)), [found]).judgements}
    assert reasons["one label"].endswith("(0 clusters); it has a biased_forgetting, which a budget can limit")
    assert "biased" not in reasons["both"]


def test_another_unit_is_named_wherever_a_number_stands(tmp_path: Path) -> None:
    found = lengths()
    budgets = [replace(one, limit=replace(one.limit, unit="characters")) for one in POLICY.budgets]
    gate = judge(Policy("p", tuple(budgets)), [found])
    section = forgetting_section(Results.of([found], gate), before="x")
    for text in (markdown(Results.of([found], gate)), section):
        assert (
            "30 scored higher after than before, 0 the other way round: length (less is better) went from 4.00 to 5.50 "
            "characters." in text
        )
        assert "The later checkpoint forgot t: +1.50 characters (95 % CI +" in text
        assert "length before and after" in text
        assert "Forgot: rose; learned: fell." in text
        assert "| 4.00 (" in text
        assert re.search(r"FAIL \| block \| t \|  \| forgetting \| 0.1 characters \| \+1.50 characters \(", text)
        assert re.findall(r".*\bpoints.*|.*\d ?%(?! CI| power).*", text) == []
    assert "the score after minus the score before, as less is better, on the same examples, in characters" in section
    path = tmp_path / "c.json"
    path.write_text(comparison_json([found], gate.to_dict()), encoding="utf-8")
    (read,), judged = read_comparisons(path)
    assert markdown(Results.of([read], judged)) == markdown(Results.of([found], gate))
    (figure,) = [one for one in result_figures(Results.of([found])) if one.name == "before-and-after-in-characters"]
    assert figure.caption == "t from 4.00 to 5.50 characters."
    (index,) = model_index("m", found.rows, level=0.95)
    assert {metric["args"]["unit"] for result in index["results"] for metric in result["metrics"]} == {"characters"}


def test_markdown_escapes_what_comes_from_data_and_says_the_answer_first() -> None:
    text = markdown(Results.of([compared(names="<|")], Gate("p", (judgement(),))))
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


def test_what_was_left_out_whole_is_named() -> None:
    found = replace(compared(), groups_left_out=(("faith", "z*"),), tasks_left_out=("u",))
    page = markdown(Results.of([found]))
    assert r"Left out, as no example is on both sides: faith z\*. Tasks left out, as only one side has them: u." in page
    assert not faults(json.loads(comparison_json([found])))
    many = replace(found, tasks_left_out=tuple(f"t{i:02d}" for i in range(17)))
    assert "t14, and 2 more; the JSON format has all." in result_tables(Results.of([many]))[0].note


def test_a_budget_is_named_with_all_its_digits() -> None:
    told = judgement("inconclusive", budget=0.025, least_budget=0.04, examples=100, examples_needed=300)
    assert "at most 2.5 points: to pass" in gate_sentence(Gate("p", (told,)))


def test_a_gate_without_a_blocking_budget_says_whether_another_is_exceeded() -> None:
    told = Gate("p", (judgement("fail", "warn"), judgement("pass", "warn"), judgement("missing", "note")))
    assert gate_sentence(told) == "PASS: no budget is blocking; of 3 that do not block, 1 exceeded."
    kept = Gate("p", (judgement("pass", "warn"),))
    assert gate_sentence(kept) == "PASS: no budget is blocking; of 1 that do not block, none exceeded."
