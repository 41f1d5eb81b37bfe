"""Which node comes first, where it goes, and what is lost with one."""

import sys
from types import FrameType
from typing import Any

import pytest

from chaintune.execution.ray.frontier import Frontier, place
from chaintune.execution.ray.pool import Ask, Machine, Pool, asks_of
from chaintune.plan.nodes import Node
from chaintune.plan.plan import Plan
from tests.dummy_engine import make_plan, make_study

PLAN = make_plan(make_study("ab"))


def named(*titles: str) -> list[Node]:
    found = {node.title.replace(", seed 0", ""): node for node in PLAN.nodes}
    return [found[title] for title in titles]


def titles(nodes: list[Node]) -> list[str]:
    return [node.title.replace(", seed 0", "") for node in nodes]


def test_what_reads_nothing_missing_is_ready_in_the_order_of_the_plan() -> None:
    assert titles(Frontier(PLAN.nodes).ready()) == ["base on a", "base on b", "a", "b"]


def test_with_many_workers_the_longest_path_comes_first() -> None:
    frontier = Frontier(PLAN.nodes)
    # a stage is 800 tokens three times over, a score 40: two stages and a score, against one score
    assert titles(frontier.ready(frontier.urgent(4))) == ["a", "b", "base on a", "base on b"]
    (stage,) = named("a")
    assert frontier.work_behind(stage.key) == 3 * 800 + 3 * 800 + 40


def test_a_node_is_urgent_when_its_path_is_as_long_as_each_workers_share() -> None:
    frontier = Frontier(PLAN.nodes)
    assert frontier.work_behind(named("a")[0].key) == 4840  # of 10,000 in all
    assert frontier.urgent(2) == frozenset()
    assert frontier.urgent(3) == {node.key for node in named("a", "b")}


def test_a_node_waits_until_what_it_reads_is_there() -> None:
    frontier = Frontier(PLAN.nodes)
    first, second, score = named("a", "a>b", "a on b")
    frontier.take(first.key)
    assert not {first.key, second.key, score.key} & {node.key for node in frontier.ready()}
    frontier.finish(first.key)
    assert {second.key, score.key} <= {node.key for node in frontier.ready()}


def test_what_started_in_vain_is_ready_again() -> None:
    frontier = Frontier(PLAN.nodes)
    first = frontier.ready()[0]
    frontier.take(first.key)
    frontier.put_back(first.key)
    assert frontier.ready()[0] is first


def test_everything_is_finished_in_an_order_that_never_reads_what_is_missing() -> None:
    frontier, done = Frontier(PLAN.nodes), {PLAN.nodes[0].base_key}
    while len(frontier):
        node = frontier.ready()[-1]
        assert done >= set(node.reads)
        frontier.take(node.key)
        frontier.finish(node.key)
        done.add(node.key)
    assert done >= {node.key for node in PLAN.nodes}


def lines_run(plan: Plan, workers: int) -> int:
    """Lines of the frontier that are run, turns of loops included, while a plan is gone through from end to end."""
    code, count = Frontier.ready.__code__.co_filename, [0]

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        count[0] += event == "line"
        return trace if frame.f_code.co_filename == code else None

    frontier, before = Frontier(plan.nodes), sys.gettrace()
    sys.settrace(trace)
    try:
        while len(frontier):
            first = frontier.ready(frontier.urgent(workers))[:workers]
            for node in first:
                frontier.take(node.key)
            for node in first:
                frontier.finish(node.key)
    finally:
        sys.settrace(before)
    return count[0]


def test_a_turn_costs_what_changed_and_not_what_is_left() -> None:
    small, large = (make_plan(make_study(names, chains="all orders of 3")) for names in ("abcdef", "abcdefghi"))
    assert len(large.nodes) > 5000
    longer = len(large.nodes) / len(small.nodes)  # about 5 times
    assert lines_run(large, 4) / lines_run(small, 4) == pytest.approx(longer, rel=0.25)


def test_what_waits_again_is_not_ready_when_it_is_put_back() -> None:
    frontier = Frontier(PLAN.nodes)
    first, second = named("a", "a>b")
    frontier.finish(first.key)
    frontier.take(second.key)
    frontier.add(first)  # its checkpoint is gone
    frontier.put_back(second.key)
    assert first in frontier.ready()
    assert second not in frontier.ready()
    frontier.finish(first.key)
    assert second in frontier.ready()


def test_with_a_node_goes_everything_that_reads_it() -> None:
    frontier = Frontier(PLAN.nodes)
    (first,) = named("a")
    gone = frontier.mark_failed(first.key)
    assert titles(gone) == ["a on a", "a on b", "a>b", "a>b on a", "a>b on b"]
    assert len(frontier) == len(PLAN.nodes) - 6


def test_a_stage_that_reads_scores_goes_with_them() -> None:
    replay = {"replay": {"task": "a", "dose": [0.5], "who": "targeted"}}
    plan = make_plan(make_study("ab", chains=[["a", "b"]], mitigations=[replay]))
    weighing = [node for node in plan.scores if node.split == "train"]
    (targeted,) = (node for node in plan.stages if node.weighed_by)
    assert weighing
    gone = Frontier(plan.nodes).mark_failed(weighing[0].key)
    assert targeted in gone
    assert weighing[1] not in gone


def test_a_node_goes_where_its_checkpoint_is_in_memory() -> None:
    child, score = named("a>b", "b on a")
    base = child.base_key
    idle = {"one": (score.checkpoint_key, base), "two": (child.parent_key, base)}  # type: ignore[union-attr]
    assert place([child, score], idle, fits=lambda _node, _worker: True) == [(child, "two"), (score, "one")]


def test_a_node_that_nobody_holds_leaves_alone_what_others_want() -> None:
    stage, score = named("b", "a on a")
    idle = {"one": (score.checkpoint_key, stage.base_key), "two": ("", "")}  # type: ignore[union-attr]
    assert place([stage, score], idle, fits=lambda _node, _worker: True) == [(score, "one"), (stage, "two")]
    hurried = place([stage, score], idle, fits=lambda _node, _worker: True, urgent={stage.key})
    assert hurried == [(stage, "one"), (score, "two")]  # the base is there
    idle["two"] = ("f" * 64, stage.base_key)
    hurried = place([stage, score], idle, fits=lambda _node, _worker: True, urgent={stage.key})
    assert hurried == [(stage, "two"), (score, "one")]


def test_workers_are_started_while_there_is_room() -> None:
    pool = Pool([Machine("one", cpus=2), Machine("two", cpus=1)])
    ready = list(PLAN.nodes)
    first = pool.moves(ready, {}, ask=lambda _node: Ask())
    assert sorted(machine for machine, _ in first.hire) == ["one", "one", "two"]
    for place_, (machine, ask) in enumerate(first.hire):
        pool.add(f"w{place_}", machine, ask)
    again = pool.moves(ready, {}, ask=lambda _node: Ask(), arriving=pool.workers)
    assert (again.start, again.hire, again.dismiss) == ((), (), ())
    assert again.lacking == (Ask(),) * (len(ready) - len(pool.workers))  # who arrives will take one each
    assert len(pool.moves(ready, {"w0": ("", ""), "w2": ("", "")}, ask=lambda _node: Ask()).start) == 2


def test_no_more_workers_than_nodes_that_wait() -> None:
    pool = Pool([Machine("one", cpus=8)])
    assert len(pool.moves(list(PLAN.nodes)[:3], {}, ask=lambda _node: Ask()).hire) == 3
    pool.add("w", "one", Ask())
    assert len(pool.moves(list(PLAN.nodes)[:3], {}, ask=lambda _node: Ask(), arriving=["w"]).hire) == 2


def test_an_idle_worker_of_another_shape_makes_room() -> None:
    pool = Pool([Machine("one", cpus=4, gpus=1)])
    pool.add("small", "one", Ask(gpus=0.5))
    pool.add("other", "one", Ask(gpus=0.5))
    (stage,) = named("a")
    whole = pool.moves([stage], {"small": ("", ""), "other": ("", "")}, ask=lambda _node: Ask(gpus=1))
    assert whole.dismiss == ("small", "other")
    # one of them is at work: nothing can be done but wait
    assert pool.moves([stage], {"small": ("", "")}, ask=lambda _node: Ask(gpus=1)).dismiss == ()


@pytest.mark.parametrize(("ask", "can"), [(Ask(4, 1, 8e9), True), (Ask(5), False), (Ask(1, 2), False)])
def test_what_no_machine_has_is_told(ask: Ask, can: bool) -> None:
    assert Pool([Machine("one", cpus=4, gpus=1, memory_bytes=8e9)]).can_ever(ask) is can


def test_a_recipe_says_what_its_stage_and_its_scores_ask_for() -> None:
    plan = make_plan(make_study("ab", recipe={"cpus": 3, "gpus": 0.5, "memory_gb": 2}))
    ask = asks_of(plan, any_gpu=True)
    assert {ask(node) for node in plan.nodes} == {Ask(3, 0.5, 2e9)}
    usual = asks_of(PLAN, any_gpu=True)
    assert {usual(node) for node in PLAN.nodes} == {Ask(1, 1)}
    pairs = make_plan(make_study("ab", recipe={"devices": 2}))
    assert {asks_of(pairs, any_gpu=False)(node) for node in pairs.nodes} == {Ask(2)}
    assert {asks_of(pairs, any_gpu=True)(node) for node in pairs.nodes} == {Ask(2, 2)}


@pytest.mark.parametrize(("part", "workers"), [(0.6, 2), (0.5, 4), (0.4, 4), (0.3, 6), (1, 2), (2, 1)])
def test_no_part_of_a_gpu_stretches_over_two(part: float, workers: int) -> None:
    assert Pool([Machine("one", cpus=64, gpus=2)]).width(Ask(gpus=part)) == workers


def test_every_process_of_a_stage_has_a_gpu() -> None:
    plan = make_plan(make_study("ab", recipe={"devices": 2, "gpus": 1}))
    assert {asks_of(plan, any_gpu=True)(node).gpus for node in plan.stages} == {2.0}
