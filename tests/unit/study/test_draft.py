"""What a data file is taken for when a study file is drafted from it, and what is said not to be known."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from chaintune import tasks
from chaintune.errors import DataError
from chaintune.study import draft
from chaintune.study.draft import draft_study
from chaintune.study.study import Study
from chaintune.study.task_spec import load_spec
from tests.unit.study.test_json_schema import faults

CHOICES = {
    "question": "Is it {k}?",
    "A": "yes {k}",
    "B": "no",
    "answer": "B",
    "faith": "f{two}",
    "template_id": "t{few}",
}
FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "letters": (
        CHOICES,
        {"prompt": "question", "choices": ["{A}", "{B}"], "labels": ["A", "B"], "gold": "answer"}
        | {"groups": {"faith": "faith"}, "cluster": "template_id"},
    ),
    "usual names": ({"prompt": "Is it {k}?", "choices": ["yes", "no {k}"], "gold": 0}, {}),
    "the Hub's nested choices": (
        {"question_stem": "It {k}?", "choices": {"text": ["a", "b {k}"], "label": ["A", "B"]}, "answerKey": "A"},
        {"prompt": "question_stem", "choices": "choices.text", "labels": "choices.label", "gold": "answerKey"},
    ),
    "labels": (
        {"text": "It is {k}.", "label": "toxic {two}", "score": "0.{k}"},
        {"prompt": "{text}\nlabel:", "choices": ["toxic 0", "toxic 1"], "gold": "{label}"},
    ),
    "answers": ({"question": "Is it {k}?", "answer": "It is {k}."}, {"prompt": "question", "response": "answer"}),
    "conversations": (
        {
            "dialogue": [{"role": "user", "content": "{k}?"}, {"role": "assistant", "content": "{k}."}],
            "topic": "t{two}",
        },
        {"messages": "dialogue", "groups": {"topic": "topic"}},
    ),
    "preferences": (
        {"question": "{k}?", "better": "yes {k}", "worse": "no"},
        {"prompt": "question", "chosen": "better", "rejected": "worse"},
    ),
    "texts": ({"content": "The ball of Ann is {k}."}, {"text": "content"}),
}


def filled(value: Any, k: int) -> Any:
    if isinstance(value, dict):
        return {key: filled(inner, k) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, k) for inner in value]
    return value.format(k=k, two=k % 2, few=k // 3) if isinstance(value, str) else value


def write(path: Path, row: dict[str, Any], count: int = 60) -> Path:
    path.write_text("".join(json.dumps(filled(row, k)) + "\n" for k in range(count)), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _nothing_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "at_hand", lambda _places: "")


@pytest.mark.parametrize("form", FORMS)
def test_columns_groups_and_clusters_are_recognised(form: str, tmp_path: Path) -> None:
    row, columns = FORMS[form]
    drafted = draft_study(write(tmp_path / "mine.jsonl", row), shown="mine.jsonl", base="tiny")
    study = yaml.safe_load(drafted.text)
    assert study["tasks"]["mine"].get("columns", {}) == columns
    assert faults(study) == []
    assert Study.from_mapping(study).chains == (("mine",),)
    assert all(f"# Not known: {doubt}." in drafted.text for doubt in drafted.doubts)
    assert any("its role" in doubt for doubt in drafted.doubts)
    assert any("no known task's data are here" in doubt for doubt in drafted.doubts)
    assert ("groups" in columns) != any("groups of people" in doubt for doubt in drafted.doubts)


def test_parquet_and_csv_are_read_as_json_lines_are(tmp_path: Path) -> None:
    rows = pl.DataFrame([filled(CHOICES, k) for k in range(60)])
    rows.write_parquet(tmp_path / "mine.parquet")
    rows.write_csv(tmp_path / "mine.csv")
    for name in ("mine.parquet", "mine.csv"):
        drafted = yaml.safe_load(draft_study(tmp_path / name, shown=name, base="tiny").text)
        assert drafted["tasks"]["mine"]["columns"] == FORMS["letters"][1]


def test_sizes_are_what_there_is_and_even_over_groups(tmp_path: Path) -> None:
    drafted = draft_study(write(tmp_path / "mine.jsonl", CHOICES), shown="mine.jsonl", base="tiny")
    own = yaml.safe_load(drafted.text)["tasks"]["mine"]
    assert (own["train"], own["test"]) == ("all", "all")
    assert "30 examples could be taught and 30 tested" in drafted.findings
    many = draft_study(write(tmp_path / "many.jsonl", CHOICES, 900), shown="many.jsonl", base="tiny")
    own = yaml.safe_load(many.text)["tasks"]["many"]
    assert (own["train"], own["test"]) == (400, "40 per faith")


def test_a_column_of_sentences_and_labels_of_one_character_are_a_question(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    rows = [f"{k},The kettle number {k // 3} is fine.,{k % 2 if k % 3 else 1},shop{k % 4}" for k in range(60)]
    path.write_text("\n".join(["nr,review,label,shop", *(row for row in rows if row.split(",")[2] == "1")]))
    with path.open("a") as file:
        file.writelines(f"\n9{k},The lamp number {k} is bad.,0,shop{k % 4}" for k in range(20))
    drafted = draft_study(path, shown=str(path), base="tiny")
    own = yaml.safe_load(drafted.text)["tasks"]["reviews"]
    assert own["columns"] == {
        "prompt": "{review}\nlabel:", "choices": ["0", "1"], "labels": ["0", "1"], "gold": "label",
        "groups": {"shop": "shop"},
    }  # fmt: skip
    assert any("stand for" in doubt for doubt in drafted.doubts)
    # Rows that share a question share a cluster, and clusters are dealt out by the task's name.
    assert len(tasks.load("reviews", **{key: own[key] for key in ("role", "path", "columns", "train")}).train)


def test_rows_that_cannot_be_used_are_left_out_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "test.jsonl", FORMS["usual names"][0])
    path.write_text(path.read_text() + json.dumps({"prompt": "Is it?", "choices": ["a", "a"], "gold": 0}) + "\n")
    drafted = draft_study(path, shown="test.jsonl", base="tiny")
    assert yaml.safe_load(drafted.text)["tasks"]["mine"]["unusable"] == "skip", "and 'test' names no task"
    assert any("line 61" in doubt for doubt in drafted.doubts)


def test_a_known_task_whose_data_are_here_shows_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "at_hand", lambda places: "here" if places.folder == "bbq" else "")
    drafted = draft_study(write(tmp_path / "mine.jsonl", CHOICES), shown="mine.jsonl", base="tiny")
    assert yaml.safe_load(drafted.text)["tasks"]["bbq"] == {"train": "none", "test": "20 per category"}


def test_a_file_without_anything_right_is_refused_with_what_a_task_takes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hold nothing that could be right"):
        draft_study(write(tmp_path / "mine.jsonl", {"a": "{k}", "b": 3}), shown="mine.jsonl", base="tiny")


@pytest.mark.parametrize("name", ["2024", "yes", "null", "0x1F", "lm_eval:x", "sentiment"])
def test_the_task_of_a_file_of_any_name_is_read_at_the_sizes_that_stand_there(name: str, tmp_path: Path) -> None:
    row = {"sentence": "It is {k}.", "label": "kind {two}", "score": "0.{k}"}
    path = write(tmp_path / f"{name}.jsonl", row)
    study = Study.from_mapping(yaml.safe_load(draft_study(path, shown=str(path), base="tiny").text))
    assert study.chains == ((name if ":" not in name else "mine",),)
    for task, spec in study.tasks.items():
        assert load_spec(task, spec).test


def test_columns_of_any_name_make_dimensions_that_can_be_asked_for(tmp_path: Path) -> None:
    shares = {
        "b": {"kind": "k{two}"},
        "age x faith": "a{two}",
        "cut": "[k{two}",
        "\x1b[31m template": "source {few}",
        "label": "l{two}",
    }
    row = {"prompt": "Is it {k}?", "response": "It is {k}.", "a": {"kind": "j{two}"}, **shares}
    path = write(tmp_path / "mine.jsonl", row)
    drafted = draft_study(path, shown=str(path), base="tiny")
    own = Study.from_mapping(yaml.safe_load(drafted.text)).tasks["mine"]
    groups = {"kind": "a.kind", "b.kind": "b.kind", "age_x_faith": "age x faith", "label_group": "label"}
    assert load_spec("mine", own).dimensions
    assert own.columns
    assert own.columns.groups == groups
