"""Tasks of lm-evaluation-harness: prompts, choices and scores are those that it makes itself.

The task files and their data are local, so that nothing is fetched.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaintune import tasks
from chaintune.errors import ConfigError, DataError
from chaintune.models import load as load_model
from chaintune.records import Task
from chaintune.tasks.lm_eval_items import FEWSHOT_SEED, whole_manager
from tests import tiny

MakeModel = Callable[..., Path]
TASK: dict[str, Any] = {
    "task": "balls",
    "dataset_path": "json",
    "output_type": "multiple_choice",
    "training_split": "train",
    "test_split": "test",
    "fewshot_split": "train",
    "description": "Answer about colours.\n\n",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_target": "answer",
    "doc_to_choice": "{{choices}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {"version": 2.0},
}
COLOURS = ["red", "blue", "dark green"]


def doc(k: int) -> dict[str, Any]:
    choices = COLOURS[k % 3 :] + COLOURS[: k % 3]
    about = {"owner": ["Ann", "Bob"][k % 2], "room": k // 4}
    return {"question": f"Colour of ball {k}?", "choices": choices, "answer": k % 2, "about": about}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where task files lie; the harness's own are kept out of sight, because they take seconds to scan."""
    import datasets
    from lm_eval.tasks import manager

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "arc.yaml").write_text("task: arc_easy\ndataset_path: none\n")
    monkeypatch.setattr(manager, "__file__", str(tmp_path / "theirs" / "manager.py"))
    made = tmp_path / "mine"
    made.mkdir()
    yield made
    whole_manager.cache_clear()


def write(folder: Path, docs: dict[str, list[dict[str, Any]]] | None = None, **changes: Any) -> Path:
    """The task file and its data; None in `changes` removes a key."""
    docs = docs or {"train": [doc(k) for k in range(16)], "test": [doc(k) for k in range(16, 28)]}
    files = {}
    for split, rows in docs.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        files[split] = str(folder / f"{split}.jsonl")
    config = TASK | {"dataset_kwargs": {"data_files": files}} | changes
    config = {key: value for key, value in config.items() if value is not None}
    (folder / "balls.yaml").write_text(yaml.safe_dump(config))
    return folder


def load(folder: Path, **options: Any) -> Task:
    return tasks.load("lm_eval:balls", include_path=folder, labelling=False, **options)


def their_task(folder: Path, shots: int) -> Any:
    """The task as the harness itself sets it up, with its requests."""
    from lm_eval.tasks import TaskManager

    task = TaskManager(include_path=str(folder), include_defaults=False).load("balls")["tasks"]["balls"]
    task.set_config("num_fewshot", shots)
    task.set_fewshot_seed(FEWSHOT_SEED)
    task.build_all_requests()
    return task


def by_question(requests: list[Any]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for request in requests:
        found.setdefault(request.doc["question"], []).append(request.args)
    return found


@pytest.mark.parametrize("shots", [0, 3])
@pytest.mark.parametrize("delimiter", [" ", "", "\n"])
def test_prompts_and_choices_are_the_requests_that_lm_eval_builds(folder: Path, shots: int, delimiter: str) -> None:
    write(folder, target_delimiter=delimiter)
    task = load(folder, fewshot=shots, columns={"id": "doc.question"})
    theirs = by_question(their_task(folder, shots).instances)
    assert len(task.test) == len(theirs) == 12
    for e in task.test:
        assert [(e.prompt, choice) for choice in e.choices.texts] == theirs[e.id]
        assert e.prompt.count("Colour of ball") == shots + 1
        assert e.choices.gold == int(e.id.split()[-1][:-1]) % 2
    assert (task.version, task.role, len(task.train)) == ("lm_eval-2.0", "capability", 16)


def test_few_shot_samples_are_drawn_with_the_seed_that_lm_eval_takes_unasked() -> None:
    from lm_eval.defaults import DEFAULT_OTHER_SEED

    assert FEWSHOT_SEED == DEFAULT_OTHER_SEED


def test_the_few_shot_count_of_the_task_file_is_the_default(folder: Path) -> None:
    write(folder, num_fewshot=2)
    assert load(folder).test[0].prompt.count("Colour of ball") == 3
    assert load(folder, fewshot=0).test[0].prompt.count("Colour of ball") == 1


def test_a_question_keeps_its_name_whatever_stands_in_front_of_it(folder: Path) -> None:
    write(folder)
    names = [[e.id for e in load(folder, fewshot=shots).test] for shots in (0, 2)]
    assert names[0] == names[1]


def test_no_lesson_holds_its_own_answer(folder: Path) -> None:
    write(folder, {"train": [doc(k) for k in range(5)], "test": [doc(k) for k in range(5, 9)]})
    task = load(folder, fewshot=4)
    assert len(task.train) == 5
    for e in task.train:
        assert sorted(part[-1] for part in e.prompt_text.split("?")[:-1]) == list("01234")


def test_too_many_few_shot_samples_are_told(folder: Path) -> None:
    docs = {"train": [doc(k) for k in range(5)], "test": [doc(k) for k in range(5, 9)]}
    write(folder, docs)
    with pytest.raises(DataError, match="6 few-shot samples asked for, there are 5 documents to draw them from"):
        load(folder, fewshot=6)
    with pytest.raises(DataError, match="5 few-shot samples asked for, and one of 5 documents has fewer beside it"):
        load(folder, fewshot=5)
    with pytest.raises(ConfigError, match="fewshot -1 must be 0 or more"):
        load(folder, fewshot=-1)
    samples = [doc(k) for k in range(90, 92)]
    write(folder, docs, fewshot_split=None, fewshot_config={"samples": samples})
    assert all(e.prompt.count("Colour of ball 9") == 2 for e in load(folder, fewshot=2).train)


def test_groups_and_clusters_come_from_fields_of_the_document(folder: Path) -> None:
    write(folder)
    task = load(folder, columns={"groups": {"owner": "doc.about.owner"}, "cluster": "doc.about.room"})
    assert task.dimensions == ("owner",)
    assert {e.groups["owner"] for e in task.test} == {("Ann",), ("Bob",)}
    assert {e.cluster for e in task.test} == {"4", "5", "6"}
    with pytest.raises(DataError, match=r"no column 'doc.about.oner' for groups.owner; did you mean 'doc.about.owner'"):
        load(folder, columns={"groups": {"owner": "doc.about.oner"}})
    with pytest.raises(ConfigError, match="columns: 'prompt' comes from lm-eval; valid: "):
        load(folder, columns={"prompt": "doc.question"})


def test_without_a_training_split_what_is_tested_is_cut_by_cluster(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(folder, training_split=None, fewshot_split="test")
    task = load(folder)
    assert (len(task.train), len(task.test)) == (6, 6)
    assert not caplog.records
    load(folder, fewshot=1)
    assert "draws its few-shot samples from what is tested" in caplog.text


def test_documents_that_cannot_be_scored_or_repeat_others_are_left_out_and_counted(folder: Path) -> None:
    same = doc(30) | {"choices": ["red", "blue", "red "]}
    write(folder, {"train": [doc(1), doc(2), doc(3)], "test": [doc(3), doc(4), doc(4), same]})
    task = load(folder)
    assert (len(task.train), len(task.test)) == (2, 2)
    told = "1 with choices that read the same or are blank, 2 with the text of another row"
    assert task.source.endswith(f"; left out 3 of 7 rows: {told}")


def test_a_target_may_be_the_text_of_a_choice(folder: Path) -> None:
    write(folder, doc_to_target="{{choices[1]}}")
    assert {e.choices.gold for e in load(folder).test} == {1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_type": "generate_until"}, "its output type is 'generate_until', and only multiple_choice can be"),
        (
            {"doc_to_text": "{{answer}}", "doc_to_target": "question"},
            "its choices stand inside the prompt, and only choices that follow it can be scored",
        ),
        ({"doc_to_target": "{{[0, 1]}}"}, r"doc_to_target must name one of 3 choices, got \[0, 1\]"),
        ({"doc_to_target": 3}, "doc_to_target must name one of 3 choices, got 3"),
        ({"test_split": "tset"}, "lm-eval cannot load it "),
        ({"dataset_path": "none"}, "lm-eval cannot load it "),
    ],
)
def test_what_is_no_choice_between_continuations_is_told(folder: Path, changes: dict[str, Any], message: str) -> None:
    if changes.get("doc_to_target") == 3:  # the harness itself looks at the first document, so let a later one be wrong
        changes = {"doc_to_target": "{{3 if 'ball 20' in question else 0}}"}
    write(folder, **changes)
    with pytest.raises(DataError, match=message) as caught:
        load(folder)
    assert "lm-eval task 'balls'" in str(caught.value)


def test_a_metric_of_its_own_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "own.py").write_text("def results(doc, results):\n    return {'acc': 0}\n")
    write(folder)
    text = (folder / "balls.yaml").read_text()
    (folder / "balls.yaml").write_text(text + "process_results: !function own.results\n")
    with caplog.at_level(logging.WARNING):
        load(folder)
    assert "computes a metric of its own; here the choice that it names as target counts as right" in caplog.text


def test_what_is_not_there_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder)
    (folder / "group.yaml").write_text("group: ball\ntask: [balls]\n")
    with pytest.raises(DataError, match="lm-eval task 'bals': not known; did you mean 'balls'"):
        tasks.load("lm_eval:bals", include_path=folder)
    with pytest.raises(DataError, match="lm-eval task 'arc_esay': not known; did you mean 'arc_easy'"):
        tasks.load("lm_eval:arc_esay")
    with pytest.raises(DataError, match="lm-eval task 'ball': a group of tasks; name one of them, valid: balls"):
        tasks.load("lm_eval:ball", include_path=folder)
    with pytest.raises(ConfigError, match=r"include_path .*nowhere is not a folder"):
        load(folder / "nowhere")
    with pytest.raises(ConfigError, match="task 'lm_eval:balls': a task of lm-eval takes no 'path'; valid: "):
        load(folder, path=folder)
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    with pytest.raises(ConfigError, match=r"lm-eval is not installed; run 'pip install chaintune\[lm-eval\]'"):
        load(folder)


def test_a_task_of_lm_eval_may_bear_another_name(folder: Path) -> None:
    write(folder)
    task = tasks.load("coloured", role="safety", lm_eval="balls", include_path=folder, train=4, test=5)
    assert (task.name, task.role, len(task.train), len(task.test)) == ("coloured", "safety", 4, 5)


@pytest.mark.parametrize("tokens", ["byte-level", "byte-level with BOS", "sentencepiece"])
def test_choices_without_a_prompt_are_scored_as_lm_eval_scores_them(
    folder: Path, model_folder: MakeModel, tokens: str
) -> None:
    from lm_eval.models.huggingface import HFLM

    numbered = "{{[question ~ choices[0], question ~ choices[1], question ~ choices[2]]}}"
    write(folder, doc_to_text="", description="", target_delimiter="", doc_to_choice=numbered)
    task = load(folder, columns={"id": "doc.question"})
    assert {e.prompt for e in task.test} == {""}
    model = model_folder(tokens=tokens)
    harness = HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=1)
    requests = their_task(folder, 0).instances
    theirs: dict[str, list[float]] = {}
    for request, (logprob, _) in zip(requests, harness.loglikelihood(requests, disable_tqdm=True), strict=True):
        theirs.setdefault(request.doc["question"], []).append(float(logprob))
    for row in tiny.score(load_model(model, precision="fp32"), task.test, task=task.name).table.to_pylist():
        assert row["choice_logprobs"] == pytest.approx(theirs[row["example_id"]], abs=1e-4)


def test_log_probabilities_are_those_of_lm_eval(folder: Path, model_folder: MakeModel) -> None:
    from lm_eval.models.huggingface import HFLM

    write(folder)
    task = load(folder, fewshot=1, columns={"id": "doc.question"})
    theirs = their_task(folder, 1)
    harness = HFLM(pretrained=str(model_folder()), dtype="float32", device="cpu", batch_size=1)
    answers = harness.loglikelihood(theirs.instances, disable_tqdm=True)
    expected: dict[str, list[float]] = {}
    for request, (logprob, _) in zip(theirs.instances, answers, strict=True):
        expected.setdefault(request.doc["question"], []).append(float(logprob))
    scores = tiny.score(load_model(model_folder(), precision="fp32"), task.test, task=task.name)
    right = 0
    for row in scores.table.to_pylist():
        assert row["choice_logprobs"] == pytest.approx(expected[row["example_id"]], abs=1e-4)
        right += row["correct"]
    metrics = [
        theirs.process_results(request.doc, [(logprob, False) for logprob in expected[request.doc["question"]]])
        for request in theirs.instances[::3]
    ]
    assert right == sum(metric["acc"] for metric in metrics)
