"""Labelling tasks: what is one, what is not, and what follows."""

import json
from pathlib import Path
from typing import Any

import pytest

from chaintune import tasks
from chaintune.errors import ConfigError, DataError
from chaintune.records import Task
from chaintune.scoring.reading import metrics_of
from chaintune.study.study import Study
from chaintune.tasks.labelling import is_balanced

LABELS = (["Hateful", "not hateful"], [" not  hateful", "hateful"])


def rows(choices: tuple[list[str], ...] = LABELS, n: int = 24) -> list[dict[str, Any]]:
    """Items whose choices come in turns; the first choice of the first kind is right three times in four."""
    made = []
    for k in range(n):
        texts = choices[k % len(choices)]
        gold = sorted(texts, key=lambda text: " ".join(text.split()).casefold())[0 if k % 4 else -1]
        made.append({"id": f"r{k}", "prompt": f"Text {k}:", "choices": texts, "gold": texts.index(gold), "area": k % 3})
    return made


def load(folder: Path, data: list[dict[str, Any]], **options: Any) -> Task:
    path = folder / "items.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in data), encoding="utf-8")
    usual: dict[str, Any] = {"role": "safety", "path": path, "columns": {"groups": {"area": "area"}}}
    return tasks.load("mine", **usual | options)


def names(task: Task) -> list[str]:
    return [metric.name for metric in metrics_of(task)]


def test_prompts_that_say_what_is_expected_are_balanced_under_a_named_scorer(tmp_path: Path) -> None:
    expected = [{"prompt": f"Text {k}?", "area": k % 3, "expects": ("refuse", "comply")[k % 2]} for k in range(24)]
    task = load(tmp_path, expected, measure="generation", scorers="refusal", metric="refusal")
    plain = load(tmp_path, [{"prompt": f"Text {k}?", "area": k % 3} for k in range(24)], scorers="refusal")
    assert [is_balanced(one.dimensions, one.metrics, one.test) for one in (task, plain)] == [True, False]
    assert not is_balanced(task.dimensions, ("contains",), task.test)
    several = load(tmp_path, rows())
    assert not is_balanced(several.dimensions, ("refusal",), several.test)


def test_the_same_texts_everywhere_make_a_labelling_task(tmp_path: Path) -> None:
    task = load(tmp_path, rows())
    assert task.is_labelling
    assert task.dimensions == ("area", "label")
    assert {example.label for example in (*task.train, *task.test)} == {"hateful", "not hateful"}
    first = next(example for example in (*task.train, *task.test) if example.id == "r1")
    assert first.groups["label"] == ("hateful",)
    assert names(task) == ["balanced_accuracy"]
    assert tasks.describe(task).test.groups["label"].keys() == {"hateful", "not hateful"}


@pytest.mark.parametrize(
    "choices",
    [
        (["A", "B", "C"],),
        (["1", "0"],),
        (["yes", "no"], ["yes", "maybe"]),
        (["yes", "no"], ["yes", "no", "maybe"]),
        ([f"answer {k}" for k in range(11)],),
    ],
)
def test_other_choices_make_none(tmp_path: Path, choices: tuple[list[str], ...]) -> None:
    task = load(tmp_path, rows(choices))
    assert not task.is_labelling
    assert task.dimensions == ("area",)
    assert names(task) == ["accuracy"]


def test_where_one_text_is_always_right_there_are_no_labels(tmp_path: Path) -> None:
    same = [one | {"gold": one["choices"].index("hateful" if k % 2 else "Hateful")} for k, one in enumerate(rows())]
    assert names(load(tmp_path, same)) == ["accuracy"]
    assert load(tmp_path, same, labelling=True).is_labelling


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    declined = load(tmp_path, rows(), labelling=False)
    assert (declined.is_labelling, declined.dimensions, names(declined)) == (False, ("area",), ["accuracy"])
    declared = load(tmp_path, rows((["A", "B"],)), labelling=True)
    assert (declared.is_labelling, names(declared)) == (True, ["balanced_accuracy"])
    with pytest.raises(DataError, match="task 'mine': 'labelling: true' takes examples that offer the same 2 to 10 te"):
        load(tmp_path, [row | {"choices": [f"a{row['id']}", "b"]} for row in rows()], labelling=True)


def test_either_metric_may_be_asked_for(tmp_path: Path) -> None:
    assert names(load(tmp_path, rows(), metric=["accuracy", "auto"])) == ["accuracy", "balanced_accuracy"]
    assert names(load(tmp_path, rows(), metric="balanced_accuracy")) == ["balanced_accuracy"]
    plain = load(tmp_path, rows((["A", "B"],)), metric="balanced_accuracy")
    with pytest.raises(
        ConfigError, match=r"metric 'balanced_accuracy' is for labelling tasks.*write 'labelling: true'"
    ):
        metrics_of(plain)


def test_a_metric_of_the_whole_study_is_taken_where_it_suits(tmp_path: Path) -> None:
    labelling, plain = load(tmp_path, rows()), load(tmp_path, rows((["A", "B"],)))
    chosen = [metrics_of(task, usual)[0].name for task in (labelling, plain) for usual in ("auto", "accuracy")]
    assert chosen == ["balanced_accuracy", "accuracy", "accuracy", "accuracy"]
    assert metrics_of(plain, "balanced_accuracy")[0].name == "accuracy"


def test_label_is_a_reserved_dimension(tmp_path: Path) -> None:
    own = [row | {"judge": "strict"} for row in rows()]
    columns = {"groups": {"label": "judge"}}
    with pytest.raises(DataError, match="has 'strict' on dimension 'label', which is kept for gold labels, here"):
        load(tmp_path, own, columns=columns)
    with pytest.raises(DataError, match="dimension 'label' is kept for the gold labels of labelling tasks, which this"):
        load(tmp_path, own, columns=columns, labelling=False)
    same = [row | {"judge": row["choices"][row["gold"]].strip().upper()} for row in rows((["yes", "no"],))]
    assert load(tmp_path, same, columns=columns).dimensions == ("label",)


def test_sizes_are_taken_per_label_and_per_crossing(tmp_path: Path) -> None:
    task = load(tmp_path, rows(n=96), test="4 per label")
    assert tasks.describe(task).test.groups["label"] == {"hateful": 4, "not hateful": 4}
    crossed = load(tmp_path, rows(n=96), test="2 per area x label")
    assert sorted((e.groups["area"], e.label) for e in crossed.test) == sorted(
        ((str(area),), label) for area in range(3) for label in ("hateful", "not hateful") for _ in range(2)
    )
    with pytest.raises(DataError, match="'2 per area x labl': no such dimension 'labl'; did you mean 'label'"):
        load(tmp_path, rows(n=96), test="2 per area x labl")


def test_whether_answers_are_labels_changes_nothing_that_is_taught(tmp_path: Path) -> None:
    one, other = load(tmp_path, rows()), load(tmp_path, rows(), labelling=False)
    assert (one.train_digest, one.test_digest) == (other.train_digest, other.test_digest)
    assert [example.id for example in one.train] == [example.id for example in other.train]


def test_a_study_file_says_it(tmp_path: Path) -> None:
    own = {"bbq": {"labelling": False}, "csqa": {}}
    mapping: dict[str, Any] = {"base": "m", "tasks": own, "chains": [["bbq", "csqa"]]}
    study = Study.from_mapping(mapping)
    assert study.tasks["bbq"].labelling is False
    assert Study.from_mapping(study.to_mapping()) == study
    with pytest.raises(ConfigError, match="labelling"):
        Study.from_mapping(mapping | {"tasks": {"bbq": {"labelling": "perhaps"}, "csqa": {}}})


def test_known_tasks_follow_the_rule(tmp_path: Path) -> None:
    lines = [{"id": f"q{k}", "question": f"Is it {k}?", "answer": ("yes", "no")[k % 2]} for k in range(20)]
    for name in ("train", "validation"):
        own = [line | {"id": f"{name} {line['id']}", "question": f"{name}: {line['question']}"} for line in lines]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in own), encoding="utf-8")
    task = tasks.load("csqa2", path=tmp_path)
    assert (task.is_labelling, task.dimensions, names(task)) == (True, ("label",), ["balanced_accuracy"])
    judged = [
        {
            "text": f"text {k}",
            "target_group": "women",
            "toxicity_ai": 1 + 4.0 * (k % 2),
            "toxicity_human": 1 + 4.0 * (k % 2),
        }
        for k in range(20)
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in judged), encoding="utf-8")
    (tmp_path / "validation.jsonl").unlink()
    task = tasks.load("toxigen", path=tmp_path)
    assert (task.dimensions, names(task)) == (("target_group", "label"), ["balanced_accuracy"])
