"""A plan on a cluster, event by event: against bounds, against cases worked out by hand, and what it says of disk."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.execution.estimate import UNKNOWN, Rate, Rates, node_seconds
from chaintune.execution.hardware import Hardware
from chaintune.execution.ray.described import read_cluster
from chaintune.execution.ray.pool import asks_of
from chaintune.execution.ray.schedule import Placed, Schedule, critical_path, disk_high_water, schedule, simulate
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


def scheduled(plan: Plan, words: str, seconds: Callable[[Node], float], todo: Sequence[Node] | None = None) -> Schedule:
    cluster = read_cluster(words)
    ask = asks_of(plan, any_gpu=cluster.has_gpus)
    return schedule(plan, cluster, todo=plan.nodes if todo is None else todo, seconds=seconds, ask=ask)


def test_one_worker_does_everything_one_after_another() -> None:
    found = scheduled(PLAN, "1 gpu", stage_or_score(10, 1))
    assert found.whole.makespan_seconds == 4 * 10 + 10 * 1
    assert (found.whole.workers, found.whole.idle_fraction, found.worthwhile_units) == (1, 0, 1)
    assert [(one.units, one.workers) for one in found.widths] == [(1, 1)]


def test_two_chains_on_two_workers() -> None:
    found = scheduled(PLAN, "2 gpu", stage_or_score(10, 1))
    # each worker trains a chain, 20 s, and shares the ten scores
    assert found.whole.makespan_seconds == 25
    assert found.whole.idle_fraction == 0
    assert {one.worker for one in found.placed} == {"worker 1", "worker 2"}


def test_nothing_is_sooner_than_the_longest_path_and_more_is_not_worth_having() -> None:
    found = scheduled(PLAN, "16 gpu", stage_or_score(10, 1))
    assert found.whole.makespan_seconds == found.critical_seconds == 21
    assert [node.title.replace(", seed 0", "") for node in found.critical] == ["a", "a>b", "a>b on a"]
    assert found.worthwhile_units < 16
    width = next(one for one in found.widths if one.units == found.worthwhile_units)
    assert width.makespan_seconds <= 1.05 * 21
    assert math.isclose(found.whole.idle_fraction, 1 - 50 / (16 * 21))


def test_widths_on_which_nothing_fits_are_left_out() -> None:
    study = make_study("ab", recipe={"devices": 2})
    found = scheduled(make_plan(study), "2 node 4 gpu", stage_or_score(10, 1))
    assert [one.units for one in found.widths] == [2, 3, 4, 6, 8]
    assert found.widths[0].makespan_seconds == 50
    # a third GPU helps nobody who needs two
    assert found.widths[1].makespan_seconds == 50
    assert math.isclose(found.widths[1].idle_fraction, 1 / 3)


def test_workers_of_one_kind_make_room_for_another() -> None:
    study = make_study("ab", tasks={
        "a": {"role": "safety", "path": "a.jsonl", "recipe": {"devices": 2}},
        "b": {"role": "capability", "path": "b.jsonl"},
    })  # fmt: skip
    plan = make_plan(study)
    found = scheduled(plan, "2 gpu", stage_or_score(10, 1))
    assert len(found.placed) == len(plan.nodes)
    assert found.whole.makespan_seconds < 50


def test_a_worker_that_starts_late() -> None:
    cluster = read_cluster("1 gpu")
    ask = asks_of(PLAN, any_gpu=True)
    placed = simulate(PLAN.nodes, cluster, seconds=stage_or_score(10, 1), ask=ask, starting_seconds=3)
    assert (placed[0].start_seconds, placed[-1].end_seconds) == (3, 53)


def test_nothing_to_do() -> None:
    found = scheduled(PLAN, "4 gpu", stage_or_score(10, 1), todo=[])
    assert (found.whole.makespan_seconds, found.whole.idle_fraction, found.whole.workers) == (0, 0, 0)
    assert (found.critical, found.placed, found.worthwhile_units) == ((), (), 1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.01, 100), min_size=len(MANY.nodes), max_size=len(MANY.nodes)),
    st.integers(1, 9),
)
def test_every_schedule_can_be_run_and_lies_within_its_bounds(durations: list[float], gpus: int) -> None:
    took = dict(zip((node.key for node in MANY.nodes), durations, strict=True))

    def seconds(node: Node) -> float:
        return took[node.key]

    cluster = read_cluster(f"{gpus} gpu")
    placed = simulate(MANY.nodes, cluster, seconds=seconds, ask=asks_of(MANY, any_gpu=True))
    assert {one.node.key for one in placed} == took.keys()
    assert len(placed) == len(took)
    _check_nobody_does_two_at_once(placed)
    ends = {one.node.key: one.end_seconds for one in placed}
    assert all(ends.get(key, 0) <= one.start_seconds for one in placed for key in one.node.reads)
    makespan, work = max(ends.values()), sum(durations)
    longest = sum(map(seconds, critical_path(MANY.nodes, seconds)))
    assert makespan >= max(longest, work / gpus) * (1 - 1e-9)
    # Graham's bound for any schedule that leaves nobody idle while something could start
    assert makespan <= (work / gpus + longest * (1 - 1 / gpus)) * (1 + 1e-9)


def _check_nobody_does_two_at_once(placed: Sequence[Placed]) -> None:
    by_worker = defaultdict(list)
    for one in placed:
        by_worker[one.worker].append((one.start_seconds, one.end_seconds))
    for times in by_worker.values():
        assert all(before[1] <= after[0] for before, after in zip(sorted(times), sorted(times)[1:], strict=False))


@pytest.mark.parametrize("keep", ["all", "final", "none"])
def test_disk_of_one_worker_in_the_plan_s_order_is_what_the_plan_says(keep: str) -> None:
    plan = make_plan(make_study("abc", keep=keep), {name: make_task(name) for name in "abc"})
    placed = [Placed(node, "w", number, number + 1) for number, node in enumerate(plan.nodes)]
    assert disk_high_water(plan, placed, keep=plan.keep) == plan.disk_bytes


def test_disk_of_many_workers_is_more_and_what_is_there_counts() -> None:
    plan = make_plan(make_study("abc", keep="none"))
    narrow, wide = (scheduled(plan, words, stage_or_score(10, 1)) for words in ("1 gpu", "8 gpu"))
    assert plan.disk_bytes <= narrow.disk_bytes < wide.disk_bytes <= 1_000 * len(plan.stages)
    assert disk_high_water(plan, [], keep="none", present=[plan.stages[0].key]) == 1_000


def test_seconds_of_a_node_come_from_the_rates() -> None:
    here = Hardware("cpu", 2)
    known = Rates(here, {"stage": {}, "score": {}}, {"stage": Rate(100), "score": Rate(400)})
    seconds = node_seconds(known, on=lambda _: Hardware("cpu", 4), power=lambda _: 2.0)
    assert seconds(PLAN.stages[0]) == 800 / 100 / 2
    assert seconds(PLAN.scores[0]) == 40 / 400 / 2
    measured = make_plan(make_study("ab", curvature={"examples": 4, "batches": 2}))
    assert seconds(measured.curvatures[0]) == 0
    nothing = replace(known, guessed={"stage": UNKNOWN, "score": UNKNOWN})
    assert math.isnan(node_seconds(nothing, on=lambda _: here, power=lambda _: 1.0)(PLAN.stages[0]))
    one_core = replace(known, work={"stage": {Hardware("cpu", 1): (50.0, 1.0, 1)}, "score": {}})
    on_one = node_seconds(one_core, on=lambda _: Hardware("cpu", 1), power=lambda _: 9.0)
    on_four = node_seconds(one_core, on=lambda _: Hardware("cpu", 4), power=lambda _: 9.0)
    assert (on_one(PLAN.stages[0]), on_four(PLAN.stages[0])) == (800 / 50, 800 / 200)


def test_plain_data_names_every_node() -> None:
    plain = scheduled(PLAN, "2 gpu", stage_or_score(10, 1)).to_dict()
    assert plain["cluster"] == "2 GPUs"
    assert len(plain["placed"]) == len(PLAN.nodes)
    assert plain["critical_path"][0]["title"] == "a, seed 0"
    assert plain["makespan_seconds"] == max(one["end_seconds"] for one in plain["placed"])
