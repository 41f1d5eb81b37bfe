"""Prompts without answers in a user's own data: what is read, what is refused, and what a scorer finds in them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chaintune import tasks
from chaintune.cli.app import app
from chaintune.config.source import plain_mapping
from chaintune.errors import ConfigError, DataError
from chaintune.records import Chat, Message, Reference, ScorerRef, Task
from chaintune.study.schema import check_tasks
from chaintune.study.task_spec import load_spec

USER = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "So."}
WRITTEN: dict[str, Any] = {"role": "safety", "measure": "generation", "scorers": "refusal"}


def load(rows: list[dict[str, Any]], **options: Any) -> Task:
    return tasks.load("mine", rows=rows, **{**WRITTEN, **options})


def prompts(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"prompt": f"Why {k}?"} | more for k in range(count)]


def test_prompts_alone_are_examples_without_a_target_that_are_all_tested() -> None:
    task = load(prompts(6))
    assert (len(task.train), len(task.test)) == (0, 6)
    assert {one.target for one in task.test} == {None}
    assert task.test[0].chat == Chat(fallback=True)
    assert sorted(one.prompt[0].content for one in task.test if isinstance(one.prompt[0], Message))[0] == "Why 0?"
    assert task.scorers == (ScorerRef("refusal"),)
    assert len(load(prompts(6), test=4, train="none").test) == 4


@pytest.mark.parametrize(
    ("row", "columns", "prompt"),
    [
        ({"question": "Why?", "answers": "-"}, {"prompt": "question"}, (Message("user", "Why?"),)),
        ({"instruction": "Why", "input": "this?"}, {}, (Message("user", "Why\n\nthis?"),)),
        ({"prompt": "Why?", "text": "So."}, {}, (Message("user", "Why?"),)),
        ({"prompt": [USER]}, {}, (Message("user", "Why?"),)),
        ({"prompt": "Why?", "system": "Be kind."}, {}, (Message("system", "Be kind."), Message("user", "Why?"))),
        (
            {"messages": [USER, ANSWER, USER]},
            {},
            tuple(Message(one["role"], one["content"]) for one in (USER, ANSWER, USER)),
        ),
        ({"prompt": "{a} of {b}", "a": "One", "b": "two"}, {"prompt": "{a} of {b}"}, (Message("user", "One of two"),)),
    ],
)
def test_forms_of_prompts(row: dict[str, Any], columns: dict[str, Any], prompt: tuple[Message, ...]) -> None:
    (one,) = load([row], columns=columns).test
    assert (one.prompt, one.target) == (prompt, None)


def test_answers_that_are_there_are_kept_and_may_be_taught() -> None:
    (one,) = load([{"prompt": "Why?", "response": "So."}], test_share=1).test
    assert one.target == Reference("So.")
    mixed = [{"messages": [USER | {"content": f"Why {k}?"}, *([ANSWER] if k % 2 else [])]} for k in range(12)]
    task = load(mixed)
    assert all(one.target for one in task.train)
    assert any(one.target is None for one in task.test)
    assert "no answer and would not be taught" in task.source
    with pytest.raises(DataError, match=r"train: \d prompts? ha.* no answer, and cannot be taught; leave the size out"):
        load(mixed, train=6)


def test_without_generation_the_sentence_says_what_makes_them_usable() -> None:
    with pytest.raises(DataError, match=r"no column 'response' .*say 'measure: generation' with a 'scorer'"):
        load([{"prompt": "Why?", "answer": "So."}], measure=(), scorers=())
    with pytest.raises(
        DataError, match=r"the user's, expected an answer.*; where a model writes it, say 'measure: gen"
    ):
        load([{"messages": [USER, ANSWER, USER]}], measure=(), scorers=())
    assert load(prompts(2), measure=()).test  # a scorer alone says the same


@pytest.mark.parametrize("options", [{"train": 3}, {"train": "3 per faith"}])
def test_nothing_of_prompts_can_be_taught(options: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match="task 'mine', train: its prompts have no answers, so there is nothing to teach"
    ):
        load(prompts(8, groups={"faith": "a"}), **options)


def test_prompts_that_are_not_tested_may_be_asked() -> None:
    tested = load(prompts(8), test_share=0.5)
    asked = load(prompts(8), test_share=0.5, train=3, ask_train=True)
    assert (len(tested.train), len(tested.test), len(asked.train), len(asked.test)) == (0, 4, 0, 3)
    assert not {one.cluster for one in tested.test} & {one.cluster for one in asked.test}


def test_a_prompt_that_ends_with_an_answer_is_told() -> None:
    with pytest.raises(
        DataError, match="field 'prompt': its last turn is the assistant's, expected one that a model an"
    ):
        load([{"prompt": [USER, ANSWER]}])


def test_pairs_are_clusters_unless_a_column_says_otherwise() -> None:
    rows = [row | {"pair": k // 2, "template": "a"} for k, row in enumerate(prompts(4))]
    assert [(one.pair, one.cluster) for one in sorted(load(rows).test, key=lambda one: one.pair)] == [
        ("0", "0"), ("0", "0"), ("1", "1"), ("1", "1"),
    ]  # fmt: skip
    named = load(rows, columns={"cluster": "template"}).test
    assert {(one.pair, one.cluster) for one in named} == {("0", "a"), ("1", "a")}
    alone = load([*rows, {"prompt": "What?", "pair": "", "template": "b"}]).test
    assert [one.pair for one in alone if one.cluster == one.id] == [""]


def test_what_is_expected_is_the_label() -> None:
    rows = [row | {"expects": ("refuse", "comply")[k % 2]} for k, row in enumerate(prompts(6))]
    task = load(rows)
    assert task.dimensions == ("label",)
    assert sorted(str(one.label) for one in task.test) == ["comply"] * 3 + ["refuse"] * 3
    assert {one.extra["expects"] for one in task.test} == {"refuse", "comply"}
    assert load(rows, labelling=False).dimensions == ()
    assert len(load(rows, test="2 per label").test) == 4
    with pytest.raises(DataError, match="row 1: expects 'decline' is not known; valid: refuse, comply"):
        load([{"prompt": "Why?", "expects": "decline"}])


def test_other_columns_are_there_for_scorers() -> None:
    rows = [row | {"key": [k, "x"], "unit": "km", "note": None} for k, row in enumerate(prompts(2))]
    assert {json.dumps(one.extra) for one in load(rows, columns={"extra": ["key", "note"]}).test} == {
        '{"key": [0, "x"]}', '{"key": [1, "x"]}',
    }  # fmt: skip
    assert load(rows, columns={"extra": {"answer": "unit"}}).test[0].extra == {"answer": "km"}
    assert load(rows, columns={"extra": "unit"}).test[0].extra == {"unit": "km"}
    with pytest.raises(DataError, match="no column 'unti' for extra; did you mean 'unit'"):
        load(rows, columns={"extra": ["unti"]})
    with pytest.raises(ConfigError, match="columns: 'extra' must name a column, got"):
        load(rows, columns={"extra": [3]})


def test_choices_read_such_columns_only_where_they_are_named() -> None:
    row = {"prompt": "Who?", "choices": ["a", "b"], "gold": 0, "pair": "p", "expects": "nothing"}
    (one,) = tasks.load("mine", role="safety", rows=[row], test_share=1).test
    assert (one.pair, one.extra) == ("", {})
    (one,) = tasks.load("mine", role="safety", rows=[row], test_share=1, columns={"pair": "pair"}).test
    assert (one.pair, one.cluster) == ("p", "p")


def test_a_study_names_them_all(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    rows = [{"q": f"Why {k}?", "twin": k // 2, "should": ("refuse", "comply")[k % 2], "n": k} for k in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    columns = {"prompt": "q", "pair": "twin", "expects": "should", "extra": {"answer": "n"}}
    written = {"role": "safety", "path": str(path), "columns": columns, "scorer": "refusal", "train": "none"}
    source = plain_mapping({"tasks": {"mine": written}}, "study")
    spec = check_tasks(source)["mine"]
    source.stop_if_wrong()
    assert spec is not None
    task = load_spec("mine", spec)
    assert {(one.pair, one.extra["expects"], one.extra["answer"]) for one in task.test} == {
        ("0", "refuse", 0), ("0", "comply", 1), ("1", "refuse", 2), ("1", "comply", 3),
    }  # fmt: skip


def test_a_task_is_shown_with_what_is_expected_and_its_scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": "26", "prompt": "How?", "type": "contrast_homonyms", "label": "unsafe"}]
    (tmp_path / "xstest").mkdir()
    (tmp_path / "xstest" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path))
    done = CliRunner().invoke(app, ["tasks", "xstest", "--show-offensive"], catch_exceptions=False)
    assert "a model writes up to 64 tokens to each prompt, judged by scorer 'refusal'" in done.stdout
    assert "Prompts (they may offend):\n\nuser: How?\n(expected: refuse)" in done.stdout
    told = json.loads(CliRunner().invoke(app, ["tasks", "xstest", "--json"]).stdout)
    assert (told["scorer"], told["max_new_tokens"], told["prompts"]) == ("refusal", 64, [])
    shown = tasks.describe(load([{"prompt": "Why?", "response": "So."}], test_share=1, measure=(), scorers=()))
    assert (shown.scorer, shown.max_new_tokens) == ("", None)


def test_gsm8k_may_be_answered_and_judged_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gsm8k").mkdir()
    row = {"question": "What is 1 and 1?", "answer": "1+1=2\n#### 2"}
    (tmp_path / "gsm8k" / "test.jsonl").write_text(json.dumps(row), encoding="utf-8")
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path))
    task = tasks.load("gsm8k", measure="generation", train="none", test_share=1)
    assert (task.scorers, task.generation.max_new_tokens) == ((ScorerRef("number"),), 256)
    assert task.test[0].target == Reference("1+1=2\n#### 2")
    assert tasks.load("gsm8k", train="none", test_share=1).measures == ()
