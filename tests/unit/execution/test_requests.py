"""What jobs ask of a machine."""

import pytest

from chaintune.execution.requests import ResourceRequest, requests_of
from chaintune.plan.nodes import ScoreNode
from chaintune.plan.plan import Plan
from tests.dummy_engine import make_plan, make_study


@pytest.mark.parametrize(
    ("recipe", "any_gpu", "request_"),
    [
        ({}, False, ResourceRequest(1, 0)),
        ({}, True, ResourceRequest(1, 1)),
        ({"gpus": 0.5}, True, ResourceRequest(1, 0.5)),
        ({"gpus": 0.5}, False, ResourceRequest(1, 0.5)),
        ({"devices": 4}, True, ResourceRequest(4, 4)),
        ({"devices": 4, "gpus": 8, "cpus": 32, "memory_gb": 64}, True, ResourceRequest(32, 8, 64e9)),
    ],
)
def test_a_recipe_says_what_its_stages_and_their_scores_ask_for(
    recipe: dict[str, float], any_gpu: bool, request_: ResourceRequest
) -> None:
    plan = make_plan(make_study("ab", recipe=recipe))
    request_of = requests_of(plan, any_gpu=any_gpu)
    assert {request_of(node) for node in plan.nodes} == {request_}


def test_a_scoring_without_stages_asks_for_its_devices() -> None:
    scores = [node for node in make_plan(make_study("ab", recipe={"devices": 2})).scores if not node.chain]
    plan = Plan("score", tuple(scores), (), 0, 1, "all", {})
    assert all(isinstance(node, ScoreNode) for node in plan.nodes)
    assert {requests_of(plan, any_gpu=True)(node) for node in plan.nodes} == {ResourceRequest(2, 2)}
