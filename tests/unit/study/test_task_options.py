"""Tasks and scores as commands without a study file ask for them."""

from dataclasses import replace
from pathlib import Path

import pytest

from chaintune.errors import ChaintuneError
from chaintune.plan.graph import measured_content, measurement_key
from chaintune.scoring.backends import DEFAULT
from chaintune.study.task_options import tasks_from_options
from tests import tiny
from tests.dummy_engine import BASE_KEY, make_plan, make_study, make_task


@pytest.fixture
def data(tmp_path: Path) -> str:
    return f"tasks.mine.path={tiny.write_task(tmp_path / 'mine.jsonl')}"


def test_sizes_are_for_all_or_for_one(data: str) -> None:
    other = data.replace("tasks.mine", "tasks.other")
    found = tasks_from_options(["mine", "other"], sizes=["20", "other=3 per owner"], overrides=[data, other])
    assert [task.name for task in found] == ["mine", "other"]
    assert [len(task.test) for task in found] == [20, 12]


def test_the_seed_is_of_the_sample(data: str) -> None:
    one, same, other = (
        tasks_from_options(["mine"], sizes=["20"], seed=seed, overrides=[data])[0] for seed in (0, 0, 1)
    )
    assert one.test_digest == same.test_digest != other.test_digest


def test_a_role_may_be_said_and_need_not(data: str) -> None:
    assert tasks_from_options(["mine"], overrides=[data])[0].role == "safety"
    assert tasks_from_options(["mine"], overrides=[data, "tasks.mine.role=capability"])[0].role == "capability"


def test_everything_may_be_tested(data: str) -> None:
    (task,) = tasks_from_options(["mine"], overrides=[data, "tasks.mine.test_share=1"])
    assert (len(task.train), len(task.test)) == (0, 80)


@pytest.mark.parametrize(
    ("sizes", "overrides", "sentence"),
    [
        (["lots"], [], "--test lots: tasks.mine.test"),
        (["min=3"], [], "did you mean 'mine'"),
        ([], ["tasks.mine.pth=x"], "did you mean 'path'"),
        ([], ["tasks.mien.test=3"], "did you mean 'mine'"),
        ([], ["seed=3"], "only keys of tasks"),
        ([], ["tasks=3"], "expected tasks.NAME.KEY=VALUE"),
        ([], ["tasks.mine=3"], "tasks.mine: expected a mapping"),
        ([], ["tasks.mine.test"], "expected key=value"),
    ],
)
def test_what_cannot_be_meant_is_told(sizes: list[str], overrides: list[str], sentence: str, data: str) -> None:
    with pytest.raises(ChaintuneError) as raised:
        tasks_from_options(["mine"], sizes=sizes, overrides=[data, *overrides])
    assert sentence in str(raised.value)


def test_a_name_that_is_no_task_is_told() -> None:
    with pytest.raises(ChaintuneError, match="did you mean 'bbq'"):
        tasks_from_options(["bqq"])


def test_scores_lie_where_a_study_puts_its_bases() -> None:
    task = make_task("a")
    plan = make_plan(make_study(), {"a": task, "b": make_task("b")})
    node = plan.scores[0]
    assert (node.checkpoint_key, node.task) == (BASE_KEY, "a")
    assert node.key == measurement_key(BASE_KEY, measured_content(task, "test"), node.precision, DEFAULT)


def test_a_measurement_is_addressed_by_what_is_asked_and_by_nothing_that_a_metric_reads() -> None:
    task = make_task("a")
    first = task.test[0]
    regrouped = replace(first, groups={"side": ("right",)}, cluster="x", target=replace(first.choices, gold=1))
    same = replace(task, version="9", metric="accuracy_per_byte", test=(regrouped, *task.test[1:]))
    asked = measured_content(task, "test")
    assert measured_content(same, "test") == asked
    reworded = replace(first, target=replace(first.choices, texts=(" yes", " never")))
    keys = {
        measurement_key(BASE_KEY, asked, "fp32", DEFAULT),
        measurement_key(BASE_KEY, asked, "bf16", DEFAULT),
        measurement_key(BASE_KEY, measured_content(task, "train"), "fp32", DEFAULT),
        measurement_key(BASE_KEY, measured_content(replace(task, name="b"), "test"), "fp32", DEFAULT),
        measurement_key(
            BASE_KEY, measured_content(replace(task, test=(reworded, *task.test[1:])), "test"), "fp32", DEFAULT
        ),
        measurement_key("1" * 64, asked, "fp32", DEFAULT),
    }
    assert len(keys) == 6
