"""A study that asks for more jobs than can be planned is refused with the count; all others are planned."""

from typing import Any

import pytest

from chaintune.errors import ConfigError
from chaintune.study.chains import MOST_JOBS
from chaintune.study.study import Study
from tests.dummy_engine import make_plan, make_task


def mapping(count: int = 2, **changes: Any) -> dict[str, Any]:
    tasks = {f"t{number}": {"role": "safety", "path": "f.jsonl"} for number in range(count)}
    return {"base": "tiny", "tasks": tasks, "chains": [list(tasks)], "resamples": 100} | changes


@pytest.mark.parametrize(
    ("changes", "jobs"),
    [
        ({"count": 450}, "203,400 jobs"),
        ({"count": 1000}, "1,002,000 jobs"),
        (
            {"vary": {"seed": list(range(1000)), "recipe.learning_rate": [i * 1e-6 for i in range(1, 1001)]}},
            "6,000,002",
        ),
        ({"mitigations": [{"replay": {"task": "t0", "dose": [i / 1e5 for i in range(1, 50_000)]}}]}, "150,005 jobs"),
        ({"base": [f"b{number}" for number in range(20_000)]}, "160,000 jobs"),
        ({"count": 100, "chains": "all orders"}, "more than 1,000,000,000,000 chains, .* 'all orders of 1', or list"),
        ({"count": 8, "chains": "all orders"}, "40,320 chains, more than the 5,000 .*; write '20 random orders', 'all"),
        ({"count": 30, "chains": ["all orders of 3"] * 9_000}, "24,360 chains, .*'all orders of 2', or"),
        (
            {"count": 9, "chains": [f"all orders of {n}" for n in range(1, 10)]},
            "15,120 chains, more .* 'all orders of 4', or",
        ),
        ({"count": 2, "chains": f"all orders of {'9' * 5000}"}, "expected 'both orders'"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_the_count(changes: dict[str, Any], jobs: str) -> None:
    with pytest.raises(ConfigError, match=jobs) as refusal:
        Study.from_mapping(mapping(**changes))
    assert "\n" not in str(refusal.value)


def test_beginnings_that_chains_share_are_counted_once() -> None:
    tasks = [f"t{number}" for number in range(220)]
    shared = [tasks[:length] for length in range(1, 221)]
    assert len(Study.from_mapping(mapping(220, chains=shared)).chains) == 220


def test_the_count_of_a_study_is_that_of_its_plan() -> None:
    changes = {"base": ["tiny", "other"], "chains": ["all orders of 3"], "vary": {"seed": [0, 1, 2]}}
    study = Study.from_mapping(mapping(3, **changes))
    plan = make_plan(study, {name: make_task(name) for name in study.tasks})
    stages = 2 * 3 * (3 + 6 + 6)
    assert len(plan.nodes) == stages * 4 + 2 * 3 <= MOST_JOBS


def test_the_plan_of_a_long_chain_needs_no_recursion() -> None:
    names = [f"t{number}" for number in range(2)]
    study = Study.from_mapping(mapping(2, chains=[names * 1_000]))
    plan = make_plan(study, {name: make_task(name) for name in study.tasks})
    assert len(plan.stages) == 2_000
    assert plan.counts()["scores_shared"] == 4_002
