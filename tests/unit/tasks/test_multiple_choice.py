"""CommonsenseQA and OpenBookQA in both published shapes, as small files."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from chaintune import tasks
from chaintune.errors import ConfigError, DataError


def on_hub(k: int, **values: Any) -> dict[str, Any]:
    choices = {"label": ["A", "B", "C"], "text": [f"yes {k}", "no ", "maybe"]}
    return {"id": f"q{k}", "question": f"Is it {k}? ", "choices": choices, "answerKey": "C"} | values


def in_wheel(k: int, **values: Any) -> dict[str, Any]:
    options = f"\nA. yes {k}\nB. no\nC. maybe"
    return {"question": f"Is it {k}?", "options": options, "answer": "C. maybe"} | values


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_question_lists_its_choices(tmp_path: Path) -> None:
    task = tasks.load("csqa", path=write(tmp_path / "a.jsonl", [on_hub(0)]), test_share=1)
    assert task.test[0].prompt == "Question: Is it 0?\nAnswer:"
    assert task.test[0].choices.texts == (" yes 0", " no", " maybe")
    assert (task.test[0].id, task.test[0].cluster, task.test[0].choices.gold) == ("q0", "q0", 2)
    assert (task.role, task.version, task.licence, task.dimensions) == ("capability", "csqa-1", "MIT", ())


def test_both_shapes_give_the_same_text(tmp_path: Path) -> None:
    one = tasks.load("csqa", path=write(tmp_path / "a.jsonl", [on_hub(k) for k in range(3)]), test_share=1)
    two = tasks.load("csqa", path=write(tmp_path / "b.jsonl", [in_wheel(k) for k in range(3)]), test_share=1)
    texts = [sorted((e.prompt, e.choices.texts, e.choices.gold) for e in task.test) for task in (one, two)]
    assert texts[0] == texts[1]


def test_the_slips_of_the_wheel_are_undone(tmp_path: Path) -> None:
    rows = [
        in_wheel(0, question="Name it.", options="\nA. yes 0\nB. no\nC. maybe?"),
        in_wheel(1, question="Pick one\nA. yes 1\nB. no", options="\nC. maybe?"),
        in_wheel(2, question="Is it 2? ", options="A. yes 2\nB. no\nC. maybe"),
        in_wheel(3, question="Which one", options=".\nA. yes 3\nB. no\nC. maybe"),
        in_wheel(4, question="Is it a question?", options="\nA. yes 4\nB. no\nC. maybe?"),
    ]
    task = tasks.load("csqa", path=write(tmp_path / "a.jsonl", rows), test_share=1)
    seen = {e.prompt_text.split("\n")[0]: e.choices.texts for e in task.test}
    assert seen == {
        "Question: Name it.": (" yes 0", " no", " maybe"),
        "Question: Pick one": (" yes 1", " no", " maybe"),
        "Question: Is it 2?": (" yes 2", " no", " maybe"),
        "Question: Which one.": (" yes 3", " no", " maybe"),
        "Question: Is it a question?": (" yes 4", " no", " maybe?"),
    }


def test_a_folder_with_both_splits_is_not_split_again(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [on_hub(k) for k in range(5)])
    write(tmp_path / "validation.jsonl", [on_hub(k) for k in range(5, 7)])
    write(tmp_path / "test.jsonl", [on_hub(k, answerKey="") for k in range(7, 9)])
    task = tasks.load("csqa", path=tmp_path)
    assert [e.id for e in task.train] == [f"q{k}" for k in range(5)]
    assert [e.id for e in task.test] == ["q5", "q6"]
    assert [e.id for e in tasks.load("csqa", path=tmp_path, train=3).train] != ["q0", "q1", "q2", "q3", "q4"]


def test_questions_whose_choices_read_the_same_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    same = {"label": ["A", "B", "C"], "text": ["no", "yes", "no "]}
    blank = {"label": ["A", "B", "C"], "text": ["no", "yes", " "]}
    rows = [on_hub(0), on_hub(1, choices=same), on_hub(2, choices=blank), on_hub(3)]
    with caplog.at_level(logging.WARNING):
        task = tasks.load("csqa", path=write(tmp_path / "a.jsonl", rows))
    told = "left out 2 of 4 rows: 2 with choices that read the same or are blank"
    assert task.source.endswith(told)
    assert told in caplog.text
    assert sorted(e.id for e in task.train + task.test) == ["q0", "q3"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (on_hub(1, answerKey="D"), r"line 2: answerKey 'D' must be one of the labels \['A', 'B', 'C'\] of 3 choices"),
        (on_hub(1, choices={"label": ["A"], "text": ["x", "y"]}), "must be one of the labels"),
        (on_hub(1, choices=["x", "y"]), "line 2: field 'choices' must hold named fields, got list"),
        (on_hub(1, choices={"label": ["A", "B"], "text": ["x", 1]}), "every 'text' must be text, got int 1"),
        (in_wheel(1, answer="E. x"), r"line 2: answer 'E. x' is none of the options \['A', 'B', 'C'\]"),
        (in_wheel(1, options="yes, no"), r"is none of the options \[\]"),
        ({"question": "Is it?"}, r"line 2: field 'choices' is missing; valid: question"),
        (on_hub(0), "task 'csqa': 1 id appears in several rows: 'q0'"),
    ],
)
def test_a_malformed_row_is_told(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        tasks.load("csqa", path=write(tmp_path / "a.jsonl", [on_hub(0), row]))


def test_a_known_task_takes_no_columns(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'csqa': a known task has a shape of its own and takes no 'columns'; choose"):
        tasks.load("csqa", path=tmp_path, columns={"prompt": "question"})
    with pytest.raises(ConfigError, match="takes no 'test_path'"):
        tasks.load("csqa", path=tmp_path, test_path=tmp_path)
