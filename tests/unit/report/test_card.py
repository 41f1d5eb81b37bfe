"""Model cards: what they say, what the Hub is told, and READMEs that are left alone where they are somebody else's."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.errors import DataError
from chaintune.forgetting import compare
from chaintune.gate import judge, read_policy
from chaintune.records import Comparison
from chaintune.report.card import forgetting_section
from chaintune.report.comparison import comparison_json, read_comparisons
from chaintune.report.model_index import TASK_NAME, model_index
from chaintune.report.readme import merged
from chaintune.report.results import Results
from tests import synthetic
from tests.run_folders import HOSTILE

PROMISES = re.compile(r"debias|unbiased|\bfix|\bprove|\bcure|guarantee|\bfair", re.IGNORECASE)
END = "<!-- chaintune forgetting: end -->"


def compared(name: str = "b", task: str = "t") -> Comparison:
    """40 examples in two groups, of which one loses much; a third group is too small to judge."""
    groups = {"faith": [name if number % 2 else "a" for number in range(39)] + ["few"]}
    right = [int(number % 4 != 1) for number in range(40)]
    sides = [synthetic.scores(values, task=task, groups=groups) for values in ([1] * 40, right)]
    return compare(*sides, by=["faith"], resamples=300)


FOUND = compared()
INDEX = model_index("mine", FOUND.rows, level=FOUND.level)
SECTION = forgetting_section(Results.of([FOUND]), before="my base")


def put(text: str, section: str = SECTION, index: Any = INDEX) -> str:
    return merged(text, name="forgetting", section=section, index=index, where="README.md")


def test_every_number_has_its_interval_and_n() -> None:
    assert "| t | 40 | 40 | 100.0% (" in SECTION
    assert "What this model forgot since my base" in SECTION
    assert "not about the task as such" in SECTION
    assert not PROMISES.search(SECTION)
    metrics = [metric for result in INDEX[0]["results"] for metric in result["metrics"]]
    assert {metric["type"] for metric in metrics} == {"accuracy", "forgetting", "biased_forgetting"}
    for metric in metrics:
        assert metric["args"]["n"] > 0
        assert metric["args"]["level"] == 0.95
    (lost,) = [metric for metric in metrics if metric["name"] == "forgetting, faith: b"]
    row = next(row for row in FOUND.groups if row.group == "b")
    assert lost["value"] == pytest.approx(row.forgetting.value, abs=1e-4)
    assert (lost["args"]["low"], lost["args"]["verdict"]) == (pytest.approx(row.forgetting.low, abs=1e-4), "forgot")


def test_the_hubs_own_reader_understands_the_metadata() -> None:
    card = ModelCard(put("---\nlicense: mit\n---\n# Mine\n"))
    assert card.data.license == "mit"
    assert card.data.model_name == "mine"
    results = card.data.eval_results or []
    assert len(results) == len(INDEX[0]["results"][0]["metrics"])
    assert {result.dataset_type for result in results} == {"t"}


def test_an_interval_that_does_not_exist_is_left_out_and_not_made_up() -> None:
    few = next(row for row in FOUND.groups if row.group == "few")
    assert math.isnan(few.forgetting.low)
    metrics = [m for result in INDEX[0]["results"] for m in result["metrics"] if m["name"] == "forgetting, faith: few"]
    assert all("low" not in metric["args"] for metric in metrics)
    assert "NaN" not in json.dumps(INDEX)
    assert "null" not in json.dumps(INDEX)


README = """---
# what this is
license: mit  # mine
model-index:
- name: other-name
  results:
  - task: {type: text-classification, name: Glue}
    dataset: {type: glue, name: GLUE}
    metrics:
    - {type: f1, value: 0.5}
tags: [a]
---

# Mine

Text with --- and <b>.
"""


def test_what_others_wrote_stays() -> None:
    text = put(README)
    body = text.partition("\n---\n")[2]
    assert body.startswith(README.partition("\n---\n")[2])
    head = text.partition("\n---\n")[0]
    for line in ("# what this is", "license: mit  # mine", "tags: [a]"):
        assert line in head.splitlines()
    (model,) = yaml.safe_load(head.removeprefix("---\n"))["model-index"]
    assert model["name"] == "other-name"
    assert [result["task"]["name"] for result in model["results"]] == ["Glue", TASK_NAME]


@pytest.mark.parametrize(
    "text", ["", "# Only text\n", README, README.replace("\n", "\r\n"), "---\nlicense: mit\n---\n"]
)
def test_the_second_time_changes_nothing(text: str) -> None:
    once = put(text)
    assert put(once) == once
    assert ("\r\n" in once) == ("\r\n" in text)


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\r")))
def test_any_text_is_kept_and_merging_twice_is_merging_once(text: str) -> None:
    short = [{"name": "mine", "results": INDEX[0]["results"][:0]}]
    try:
        once = put(text, "## Forgetting", short)
    except DataError:
        assert text.lstrip().startswith("---")
        return
    assert put(once, "## Forgetting", short) == once
    if not text.lstrip().startswith("---"):
        assert text.rstrip() in once


def test_a_later_comparison_takes_the_place_of_the_earlier() -> None:
    later = compared(name="z", task="u")
    once = put(README) + "\nA footer.\n"
    twice = put(
        once,
        forgetting_section(Results.of([later]), before="my base"),
        model_index("x", later.rows, level=later.level),
    )
    assert "| t |" not in twice
    assert "| u |" in twice
    assert twice.endswith("\nA footer.\n")
    (model,) = yaml.safe_load(twice.split("---\n")[1])["model-index"]
    assert [result["dataset"]["name"] for result in model["results"]] == ["GLUE", "u"]


def test_names_from_data_are_no_markup_and_no_marks() -> None:
    section = forgetting_section(Results.of([compared(name=f"{END}{HOSTILE}")]), before=END)
    once = put("# Mine\n", section)
    assert once.count(END) == 1
    assert "<script>" not in once.replace("\\<script>", "")
    assert put(once, section) == once


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("---\na: [\n---\n", "no YAML"),
        ("---\n- a\n---\n", "no mapping"),
        ("---\nmodel-index: 3\n---\n", "not as the Hub wants it"),
        ("---\nmodel-index: [{name: x}]\n---\n", "not as the Hub wants it"),
        (f"text\n{END}\n", "once each"),
    ],
)
def test_a_broken_readme_is_refused(text: str, said: str) -> None:
    with pytest.raises(DataError, match=f"README.md: .*{said}"):
        put(text)


def test_a_quoted_key_is_not_doubled() -> None:
    text = put('---\n"model-index":\n- name: x\n  results: []\n---\n')
    assert text.count("model-index") == 1


def test_saved_comparisons_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("budgets: [{task: t, forgetting: 0.01}, {task: u, forgetting: 5 %}]")
    gate = judge(read_policy(tmp_path / "p.yaml"), [FOUND])
    path = tmp_path / "c.json"
    path.write_text(comparison_json([FOUND], gate.to_dict()), encoding="utf-8")
    (read,), judged = read_comparisons(path)
    assert comparison_json([read], judged.to_dict() if judged else None) == path.read_text()
    assert judged is not None
    assert judged.answer == gate.answer == "fail"
    assert f"of 2 blocking budgets {'1 exceeded'}" in forgetting_section(Results.of([read], judged), before="x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "expected what"),
        ('{"format": 1, "comparisons": [{"task": "x"}]}', "no comparison of chaintune; at 0.metric"),
        ('{"format": 9, "comparisons": [{}]}', "format 1"),
        ('{"format": 1, "comparisons": {"a": 1}}', "no comparison"),
    ],
)
def test_files_that_hold_something_else(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_comparisons(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_comparisons(tmp_path / "none.json")


def test_an_interval_that_excludes_nothing_comes_back_as_one(tmp_path: Path) -> None:
    """JSON has no infinity, and of ten groups none has the clusters that its step of the correction asks for."""
    rng = np.random.default_rng(0)
    groups = {"faith": [f"group {number % 10}" for number in range(80)]}
    before = rng.uniform(10, 20, 80)
    after = before + rng.uniform(0, 8, 80) * (np.arange(80) % 10 == 0) + rng.normal(0, 0.1, 80)
    made = compare(*(synthetic.lengths(one.tolist(), groups) for one in (before, after)), by=["faith"], resamples=500)
    (tmp_path / "c.json").write_text(comparison_json([made]))
    (back,), _ = read_comparisons(tmp_path / "c.json")
    lost = made.groups[0].biased_forgetting
    assert (lost.low > 0, lost.p_adjusted < 0.05, lost.limits) == (True, True, (-math.inf, math.inf))
    for one, again in zip(made.groups, back.groups, strict=True):
        assert again.forgetting.limits == one.forgetting.limits
        assert again.biased_forgetting.limits == one.biased_forgetting.limits
        assert not again.biased_forgetting.is_shown(0.95)
    assert comparison_json([back]) == comparison_json([made])
