"""Texts that are written already, read from score files and tables."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chaintune.errors import ChaintuneError
from chaintune.records import Example, Message, Reference, Task
from chaintune.scoring.texts import WrittenTexts, texts_in

ROW: dict[str, Any] = {"id": 1, "prompt": "Who?", "text": "Nobody."}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(rows: Any, **options: Any) -> WrittenTexts:
    (one,), without = texts_in(rows, **options)
    assert not without
    return one


def test_a_table_holds_what_was_asked_and_answered() -> None:
    row = ROW | {"reference": "Ann", "expects": "comply", "cluster": "c", "pair": 7, "groups": {"area": ["a", "b"]}}
    one = read([row | {"topic": "x", "seconds": 0.5}], by=["topic"])
    assert one.task == "items"
    assert one.examples == (
        Example(
            "1",
            "Who?",
            Reference("Ann"),
            {"area": ("a", "b"), "topic": ("x",)},
            "c",
            pair="7",
            extra={"expects": "comply", "seconds": 0.5},
        ),
    )
    assert one.texts == {"1": ("Nobody.",)}
    assert one.measurement().table.select(["example_id", "sample", "text"]).to_pylist() == [
        {"example_id": "1", "sample": 0, "text": "Nobody."}
    ]


def test_id_and_text_are_enough_and_an_empty_answer_is_one(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text('qid,answer\na,\nb,"two\nlines"\n')
    one = read(tmp_path / "texts.csv", columns={"id": "qid", "text": "answer"})
    assert one.texts == {"a": ("",), "b": ("two\nlines",)}
    assert [(example.prompt, example.cluster) for example in one.examples] == [("", "a"), ("", "b")]


def test_what_is_expected_may_stand_in_a_column_of_another_name() -> None:
    rows = [ROW | {"wanted": "refuse", "expects": "nothing"}, ROW | {"id": 2, "wanted": "comply"}]
    (first, second) = read(rows, columns={"expects": "wanted"}).examples
    assert (first.extra, second.extra) == ({"expects": "refuse"}, {"expects": "comply"})


def test_every_form_of_a_table_is_one(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"id": 2, "text": "Ann."}]
    frame = pl.DataFrame(rows)
    frame.write_parquet(tmp_path / "texts.parquet")
    forms = [rows, frame, tmp_path / "texts.parquet", write(tmp_path / "texts.jsonl", rows)]
    assert len({str((read(form).examples, read(form).texts)) for form in forms}) == 1


def test_samples_are_of_one_example_and_in_their_order() -> None:
    rows = [ROW | {"sample": k, "text": f"{k}"} for k in (2, 0, 1)]
    assert read(rows).texts == {"1": ("0", "1", "2")}


def test_a_prompt_may_be_turns() -> None:
    (one,) = read([ROW | {"prompt": [{"role": "user", "content": "Who?"}]}]).examples
    assert one.prompt == (Message("user", "Who?"),)


def test_a_column_may_tell_tasks_apart() -> None:
    both, _ = texts_in([ROW | {"task": "a"}, ROW | {"task": "b"}])
    assert [one.task for one in both] == ["a", "b"]


def test_what_was_asked_is_known_again_whatever_was_answered() -> None:
    one, other, third = (read([ROW | change]) for change in ({}, {"text": "Ann.", "seconds": 1}, {"prompt": "Where?"}))
    assert one.about["test_digest"] == other.about["test_digest"] != third.about["test_digest"]
    assert one.about["checkpoint"] != other.about["checkpoint"]


def test_a_task_supplies_what_texts_lack() -> None:
    known = Example("1", "Who?", Reference("Ann"), {"area": ("a",)}, "c")
    task = Task("who", "safety", "v1", (), (known, Example("2", "", None, {}, "2")), ("area",), "", "")
    one = read([{"id": "1", "text": "Bob", "topic": "x"}], by=["topic"]).known_from(task)
    assert one.examples == (Example("1", "Who?", Reference("Ann"), {"area": ("a",), "topic": ("x",)}, "c"),)
    assert one.about["task_version"] == "v1"
    with pytest.raises(ChaintuneError, match="1 example is none of task 'who', such as '9'"):
        read([{"id": "9", "text": "Bob"}]).known_from(task)


def test_what_a_table_says_beside_a_task_is_kept() -> None:
    known = Example("1", "Who?", Reference("Ann"), {}, "1", extra={"answer": "right"})
    task = Task("who", "safety", "v1", (), (known,), (), "", "")
    one = read([{"id": "1", "text": "Bob", "expects": " comply ", "answer": "written"}]).known_from(task)
    assert one.examples[0].extra == {"expects": "comply", "answer": "right"}


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([{"id": 1, "answer": "x"}], {}, "there is no column 'text'; valid: answer, id; name it by --columns text="),
        ([ROW], {"columns": {"txt": "text"}}, "columns: 'txt': did you mean 'text'"),
        ([ROW], {"columns": {"text": "answer"}}, "there is no column 'answer'"),
        ([ROW], {"by": ["topic"]}, "there is no column 'topic'"),
        (
            [ROW, ROW],
            {},
            "id '1' is taken by texts (list), row 1; where a prompt has several answers, a column 'sample'",
        ),
        ([ROW | {"sample": 1}] * 2, {}, "id '1' is taken by texts (list), row 1; and so is its sample"),
        ([ROW | {"text": None}], {}, "field 'text' is NoneType None, expected the text that was answered"),
        ([ROW], {"columns": {"groups": "topic"}}, "columns of groups are named by --by"),
        ([ROW | {"expects": "refus"}], {}, "texts (list), row 1: expects 'refus' is not known; did you mean 'refuse'"),
        ([ROW | {"sample": "first"}], {}, "field 'sample' is str 'first', expected 0, 1, 2"),
        ([ROW | {"id": None}], {}, "field 'id' is empty"),
        ([ROW | {"expects": "Refuse"}], {}, "row 1: expects 'Refuse' is not known; did you mean 'refuse'"),
        ([ROW | {"expects": "yes"}], {}, "row 1: expects 'yes' is not known; valid: refuse, comply"),
        (
            [ROW | {"expects": "refuse"}, ROW | {"id": 2, "expects": ""}, ROW | {"id": 3, "expects": None}],
            {},
            "row 2: expects is empty, and of 1 other example it is known; it has to be in every row or in none",
        ),
        (3, {}, "texts: expected a path, scores, a frame of pandas"),
    ],
)
def test_what_cannot_be_read_is_told(rows: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ChaintuneError) as raised:
        texts_in(rows, **options)
    assert said in str(raised.value)
