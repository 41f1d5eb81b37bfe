"""Where a task's data comes from, as a study file says it."""

from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import ConfigError
from chaintune.study.study import Study
from chaintune.study.task_spec import load_spec

HEAD = "base: m\ntasks:\n  {task}\nchains: [[{name}]]\n"


def read(folder: Path, task: str) -> Study:
    path = folder / "mine.yaml"
    path.write_text(HEAD.format(task=task, name=task.partition(": ")[0]))
    return Study.from_yaml(path)


def complaint(folder: Path, task: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, task)
    return str(caught.value).removeprefix(f"{folder}/")


def test_a_hub_data_set(tmp_path: Path) -> None:
    columns = "columns: {choices: ['{a}', '{b}'], labels: x.label, groups: {g: x.y}}"
    spec = read(tmp_path, f"qa: {{role: safety, hub: me/qa, config: c, split: validation, {columns}}}").tasks["qa"]
    assert spec.data() == {
        "hub": "me/qa",
        "config": "c",
        "split": "validation",
        "columns": {"choices": ["{a}", "{b}"], "labels": "x.label", "groups": {"g": "x.y"}},
    }


def test_two_splits(tmp_path: Path) -> None:
    study = read(tmp_path, "qa: {role: safety, hub: me/qa, split: {train: train, test: validation}}")
    assert study.tasks["qa"].data()["split"] == {"train": "train", "test": "validation"}
    again = Study.from_mapping(study.to_mapping())
    assert again.tasks == study.tasks


def test_a_task_of_lm_eval_by_either_name(tmp_path: Path) -> None:
    study = read(tmp_path, "lm_eval:arc_easy: {role: capability, fewshot: 5, columns: {groups: {g: doc.category}}}")
    assert study.chains == (("lm_eval:arc_easy",),)
    assert study.tasks["lm_eval:arc_easy"].data() == {"fewshot": 5, "columns": {"groups": {"g": "doc.category"}}}
    spec = read(tmp_path, "easy: {role: capability, lm_eval: arc_easy, include_path: own}").tasks["easy"]
    assert spec.data() == {"lm_eval": "arc_easy", "include_path": str(tmp_path / "own")}


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            "qa: {hub: me/qa}",
            "mine.yaml:3: tasks.qa.role: a Hub data set needs a role, 'safety' or 'capability'",
        ),
        (
            "qa: {role: safety, hub: me/qa, fewshot: 2}",
            "mine.yaml:3: tasks.qa.fewshot: a Hub data set takes no 'fewshot'",
        ),
        (
            "qa: {role: safety, hub: me/qa, split: {train: a, tset: b}}",
            "mine.yaml:3: tasks.qa.split",
        ),
        (
            "qa: {role: safety, hub: me/qa, columns: {chioces: x}}",
            "mine.yaml:3: tasks.qa.columns.chioces: unknown key 'chioces'; did you mean 'choices'?",
        ),
        (
            "bbq: {hub: me/qa}",
            "mine.yaml:3: tasks.bbq.hub: a known task has a shape of its own and takes no 'hub'",
        ),
        ("lm_eval:a: {fewshot: 1}", "mine.yaml:3: tasks.lm_eval:a.role: a task of lm-eval needs a role, 'safety"),
        ("lm_eval:a: {role: safety, fewshot: -1}", "mine.yaml:3: tasks.lm_eval:a.fewshot: expected"),
        ("lm_eval:a: {role: safety, path: x}", "mine.yaml:3: tasks.lm_eval:a.path: a task of lm-eval takes no 'path'"),
        ("qa: {role: safety, fewshot: 1}", "mine.yaml:3: tasks.qa: no task is known as 'qa' and no 'path' is given"),
    ],
)
def test_what_does_not_go_together_is_told(tmp_path: Path, task: str, message: str) -> None:
    assert complaint(tmp_path, task).startswith(message)


def test_what_the_file_says_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr("chaintune.tasks.load", lambda name, **options: seen.update({name: options}))
    study = read(tmp_path, "qa: {role: safety, train: 3, hub: me/qa, split: validation}")
    load_spec("qa", study.tasks["qa"])
    assert seen["qa"] == {
        "role": "safety",
        "train": 3,
        "test": None,
        "seed": 0,
        "test_share": None,
        "measure": "",
        "metric": "",
        "hub": "me/qa",
        "split": "validation",
    }
