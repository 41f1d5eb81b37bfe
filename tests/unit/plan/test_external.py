"""Stages that other programs train in the graph: their keys, what shares them, what follows them."""

from typing import Any

import pytest

from chaintune.errors import ConfigError, DataError
from chaintune.plan.nodes import StageNode
from tests.dummy_engine import make_plan, make_study, make_task


def stage(*, train: int = 8, **keys: Any) -> StageNode:
    """The first stage of a study whose first step is external."""
    written = {key: keys.pop(key) for key in ("path", "command", "files", "task", "name") if key in keys}
    study = make_study("ab", chains=[[{"external": written}, "b"]], **keys)
    return make_plan(study, {"a": make_task("a", train=train), "b": make_task("b")}).stages[0]


def test_a_path_is_keyed_by_its_content_and_a_command_by_what_it_is_handed() -> None:
    path = stage(path="one", task="a")
    assert stage(path="one", task="a", name="theirs", seed=7, recipe={"learning_rate": 1e-5}).key == path.key
    assert stage(path="two", task="a").key != path.key
    command = stage(command="make", task="a")
    assert stage(command="make", task="a", name="theirs", recipe={"learning_rate": 1e-5}).key == command.key
    others = [
        stage(command="make # again", task="a"),
        stage(command="make", task="a", seed=7),
        stage(command="make", task="a", train=7),
        stage(command="make", task="b", name="other"),
        stage(command="make"),
    ]
    assert len({command.key, path.key, *(node.key for node in others)}) == 7


def test_only_a_command_reads_the_data_of_its_task() -> None:
    assert stage(path="one", task="a", train=0).tasks == ()
    assert stage(command="make", task="a").tasks == ("a",)
    assert stage(command="make").tasks == ()
    with pytest.raises(DataError, match="task 'a' is trained on in a chain, and its train split is empty"):
        stage(command="make", task="a", train=0)


def test_rates_share_what_they_do_not_change() -> None:
    vary = {"recipe.learning_rate": [1e-5, 1e-4], "seed": [0, 1]}
    chain = [{"external": {"path": "one", "task": "a"}}, "b"]
    plan = make_plan(make_study("ab", chains=[chain], vary=vary))
    assert [node.chain for node in plan.stages].count(("a",)) == 1
    assert [node.tokens for node in plan.stages] == [0, 800, 800, 800, 800]
    assert {cell.checkpoint.tasks for cell in plan.cells} == {(), ("a",), ("a", "b")}
    # One whole model, and one made of it at a time.
    assert plan.disk_bytes == 5_000
    chain = [{"external": {"command": "make", "task": "a"}}, "b"]
    plan = make_plan(make_study("ab", chains=[chain], vary=vary, recipe={"gpus": 2.0, "devices": 2}))
    made = [node for node in plan.stages if node.chain == ("a",)]
    assert [(node.seed, node.resources.gpus, node.devices) for node in made] == [(0, 2.0, 2), (1, 2.0, 2)]


def test_curvature_needs_the_task_of_the_first_stage() -> None:
    curvature = {"examples": 4, "batches": 2}
    chain = [{"external": {"path": "one", "task": "a"}}, "b"]
    (node,) = make_plan(make_study("ab", chains=[chain], curvature=curvature)).curvatures
    assert (node.task, node.loss.objective) == ("a", "sft")
    with pytest.raises(
        ConfigError, match="curvature: it is measured on the task of a chain's first stage, and 'external'"
    ):
        make_plan(make_study("ab", chains=[[{"external": {"path": "one"}}, "b"]], curvature=curvature))
