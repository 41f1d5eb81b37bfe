"""A list schedule on a cluster: against bounds, against cases worked out by hand, and what it says of disk."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.execution.cluster_spec import read_cluster
from chaintune.execution.makespan import Makespan, makespan
from chaintune.execution.requests import requests_of
from chaintune.plan.nodes import Node, StageNode
from chaintune.plan.plan import Plan
from tests.dummy_engine import make_plan, make_study, make_task

# Four stages, a, a>b, b and b>a, and ten scores.
PLAN = make_plan(make_study("ab"))
MANY = make_plan(
    make_study("ab", mitigations=[{"replay": {"task": "a", "dose": [0.25, 0.5, 0.75]}}], vary={"seed": [0, 1]})
)


def stage_or_score(stage: float, score: float) -> Callable[[Node], float]:
    return lambda node: stage if isinstance(node, StageNode) else score


def spread(plan: Plan, words: str, seconds: Callable[[Node], float], pending: Sequence[Node] | None = None) -> Makespan:
    cluster = read_cluster(words)
    request_of = requests_of(plan, any_gpu=cluster.has_gpus)
    pending = plan.nodes if pending is None else pending
    return makespan(plan, cluster, pending=pending, seconds=seconds, request_of=request_of)


def test_one_device_does_everything_one_after_another() -> None:
    found = spread(PLAN, "1 gpu", stage_or_score(1800, 180))
    assert (found.makespan_seconds, found.unit, found.unit_hours) == (4 * 1800 + 10 * 180, "gpu", 2.5)


def test_two_chains_on_two_devices() -> None:
    found = spread(PLAN, "2 gpu", stage_or_score(10, 1))
    # The base's two scores take one second; each device trains a chain and scores its two checkpoints.
    assert found.makespan_seconds == 1 + 2 * (10 + 2)


def test_a_part_of_a_device_is_shared() -> None:
    plan = make_plan(make_study("ab", chains=[["a"], ["b"]], recipe={"gpus": 0.5}))
    found = spread(plan, "1 gpu", stage_or_score(3600, 0))
    assert (found.makespan_seconds, found.unit_hours) == (3600, 1)


def test_a_larger_request_waits_for_room() -> None:
    tasks = {"a": {"role": "safety", "path": "x"}, "b": {"role": "safety", "path": "x", "recipe": {"cpus": 2}}}
    plan = make_plan(make_study("ab", tasks=tasks, chains=[["a"], ["b"]]))
    assert spread(plan, "2 cpu", stage_or_score(10, 0)).makespan_seconds == 20
    assert spread(plan, "3 cpu", stage_or_score(10, 0)).makespan_seconds == 10


def test_nothing_to_do_takes_no_time() -> None:
    assert spread(PLAN, "2 gpu", stage_or_score(10, 1), []).makespan_seconds == 0


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.floats(0, 5), st.floats(0, 5))
def test_it_lies_between_the_bounds_of_graham(units: int, stage: float, score: float) -> None:
    seconds = stage_or_score(stage, score)
    longest = 3 * stage + score  # a>b>a@25% and its score
    work = sum(map(seconds, MANY.nodes))
    found = spread(MANY, f"{units} cpu", seconds).makespan_seconds
    assert max(longest, work / units) - 1e-6 <= found <= work / units + longest + 1e-6


@pytest.mark.parametrize("keep", ["all", "final", "none"])
def test_one_after_another_the_disk_is_as_planned(keep: str) -> None:
    tasks = {name: make_task(name) for name in "abc"}
    plan = make_plan(make_study("abc", keep=keep), tasks)
    assert spread(plan, "1 cpu", stage_or_score(1, 1)).disk_bytes == plan.disk_bytes
    assert spread(plan, "16 cpu", stage_or_score(1, 1)).disk_bytes >= plan.disk_bytes


def test_what_is_in_the_store_counts_until_it_was_read() -> None:
    plan = make_plan(make_study("ab", chains=[["a", "b"]], keep="none"))
    later = [node for node in plan.nodes if node.chain == ("a", "b")]
    cluster, (first, second) = read_cluster("1 cpu"), plan.stages
    assert second in later
    found = makespan(
        plan, cluster, pending=later, seconds=lambda _: 1.0, request_of=requests_of(plan, any_gpu=False),
        present=[first.key],
    )  # fmt: skip
    assert found.disk_bytes == 2_000
