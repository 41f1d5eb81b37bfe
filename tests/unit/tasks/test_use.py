"""A known task under a name of one's own, and tasks that are only taught or only measured."""

from pathlib import Path
from typing import Any

import pytest

from chaintune import tasks
from chaintune.errors import ChaintuneError, ConfigError, DataError
from chaintune.study.study import Study
from chaintune.tasks.power import FLIPS
from tests.dummy_engine import make_plan, make_study, make_task
from tests.unit.tasks.test_local import jsonl, row
from tests.unit.tasks.test_self import toxigen_row, write


@pytest.fixture
def toxigen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path / "data"))
    write(tmp_path / "data" / "toxigen" / "train.jsonl", [toxigen_row(k) for k in range(52)])


@pytest.mark.usefixtures("toxigen")
def test_a_known_task_has_the_same_examples_under_another_name() -> None:
    own = tasks.load("statements", use="toxigen", train=4, test="1 per target_group", metric="accuracy", chat="on")
    known = tasks.load("toxigen", train=4, test="1 per target_group")
    assert [one.id for one in own.train + own.test] == [one.id for one in known.train + known.test]
    assert (own.name, own.role, own.metrics, own.known, known.known) == (
        "statements", "safety", ("accuracy",), "toxigen", "",
    )  # fmt: skip
    assert own.licence == known.licence
    assert own.test_digest != known.test_digest
    sampled = tasks.sample_test(tasks.load("statements", use="toxigen"), 5)
    assert [one.id for one in sampled.test] == [one.id for one in tasks.load("toxigen", test=5).test]


@pytest.mark.usefixtures("toxigen")
def test_one_task_twice_in_a_study_teaches_nothing_that_it_tests() -> None:
    whole = tasks.load("toxigen")
    measured = tasks.load("asked", use="toxigen", train="none", chat="on")
    assert (measured.train, [one.id for one in measured.test]) == ((), [one.id for one in whole.test])
    taught = tasks.load("taught", use="toxigen", test="none")
    assert ([one.id for one in taught.train], taught.test) == ([one.id for one in whole.train], ())


def test_data_of_ones_own_is_all_taught_or_all_tested(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [row(k) for k in range(8)])
    own: dict[str, Any] = {"role": "safety", "path": path, "labelling": False}
    for split, counts in (("train", (0, 8)), ("test", (8, 0))):
        task = tasks.load("mine", **(own | {split: "none"}))
        assert (len(task.train), len(task.test)) == counts
    shared = tasks.load("mine", **own, train="none", test_share=0.5)
    assert [one.id for one in shared.test] == [one.id for one in tasks.load("mine", **own).test]
    told = tasks.describe(tasks.load("mine", **own, test="none"))
    assert (told.test.examples, len(told.prompts)) == (0, 3)


def test_a_file_with_a_test_of_its_own_keeps_it(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [row(k) | {"split": ["train", "test"][k // 4]} for k in range(8)])
    task = tasks.load("mine", role="safety", path=path, labelling=False, train="none")
    assert ([one.id for one in task.test], task.train) == (["r4", "r5", "r6", "r7"], ())


@pytest.mark.usefixtures("toxigen")
def test_what_a_model_cannot_read_of_known_data_may_be_left_out() -> None:
    assert tasks.load("statements", use="toxigen", unusable="skip").skips_unusable
    assert tasks.load("toxigen", unusable="skip").skips_unusable
    assert not tasks.load("toxigen").skips_unusable


BAD: list[tuple[str, dict[str, Any], type[ChaintuneError], str]] = [
    ("mine", {"use": "toxgen"}, ConfigError, "task 'mine': no task is known as 'toxgen'; did you mean 'toxigen'"),
    ("mine", {"use": "toxigen", "unusable": "skp"}, ConfigError, "did you mean 'skip'"),
    ("bbq", {"use": "toxigen"}, ConfigError, "'bbq' is a known task itself; choose another name"),
    ("mine", {"use": "toxigen", "columns": {"prompt": "p"}}, ConfigError, "a known task has a shape of its own"),
    ("my task", {"use": "toxigen"}, ConfigError, "task name 'my task': begin with a letter"),
    ("toxigen", {"train": "none", "test": "none"}, ConfigError, "'train: none' and 'test: none' leave nothing of it"),
]


@pytest.mark.usefixtures("toxigen")
@pytest.mark.parametrize(("name", "options", "error", "sentence"), BAD)
def test_what_cannot_be_used_is_refused(
    name: str, options: dict[str, Any], error: type[ChaintuneError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        tasks.load(name, **options)


def test_answers_are_not_sized_by_the_power_of_shares(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [{"prompt": f"Why {k}?", "response": "So."} for k in range(8)])
    with pytest.raises(DataError, match="'power 10': power is known of shares"):
        tasks.load("mine", role="safety", path=path, test="power 10")
    task = tasks.load("mine", role="safety", path=path)
    with pytest.raises(DataError, match="task 'mine': power is known of shares"):
        tasks.power_rows(task, task, FLIPS)


NONE = {"role": "capability", "train": "none", "path": "c.jsonl"}
TASKS = {name: {"role": "safety", "path": f"{name}.jsonl"} for name in "ab"}


def test_the_words_of_orders_speak_of_what_is_taught() -> None:
    study = make_study(tasks=TASKS | {"c": NONE}, chains="both orders")
    assert study.chains == (("a", "b"), ("b", "a"))
    assert Study.from_mapping(study.to_mapping()).tasks == study.tasks


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            {"tasks": TASKS | {"c": NONE}, "chains": [["a", "c"]]},
            r"chains\[0\]: 'c' has 'train: none', so no chain",
        ),
        ({"tasks": {"c": NONE}, "chains": "all orders"}, "every task has 'train: none', so there is nothing to teach"),
        (
            {"tasks": {name: task | {"test": "none"} for name, task in TASKS.items()}},
            "tasks: every task has 'test: none', so nothing would be measured",
        ),
        (
            {
                "tasks": TASKS | {"a": TASKS["a"] | {"test": "none"}},
                "mitigations": [{"replay": {"task": "a", "dose": 0.1}}],
            },
            r"mitigations\[0\].replay.task: 'a' has 'test: none', so nothing would show whether it came back",
        ),
    ],
)
def test_a_study_is_told_what_it_cannot_teach_or_measure(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_study(**keys)


def test_a_task_that_is_never_measured_has_no_job_of_its_own() -> None:
    from dataclasses import replace

    loaded = {name: make_task(name) for name in "ab"}
    loaded["b"] = replace(loaded["b"], test=())
    plan = make_plan(make_study(chains=[["a", "b"]]), loaded)
    assert {node.task for node in plan.scores} == {"a"}
    assert all(set(cell.measurements) == {"a"} for cell in plan.cells)
    assert [node.task for node in plan.stages] == ["a", "b"]
