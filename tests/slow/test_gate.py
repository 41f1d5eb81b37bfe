"""The gate at its budgets' edges: over 500 simulated pairs of known truth, each wrong answer is rare.

As a program it prints the shares: `python tests/slow/test_gate.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

import chaintune
from chaintune.gate import Budget, Policy, judge
from chaintune.gate.policy import Limit
from chaintune.records import Comparison, items_table, plain_scores

PAIRS, EXAMPLES, RESAMPLES = 500, 400, 400
MOST = 0.05
PLAIN = Budget("t", "", (), "forgetting", Limit(0.1, relative=False), "block", required=True)
Generator = np.random.Generator
Sides = tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.float64]]]


@dataclass(frozen=True)
class Truth:
    """Made data and the budget that their truth lies exactly on.

    Attributes:
        draw: scores before and after.
        budget: whose edge it is.
        groups: the example's group by its place; empty for none.
        per_cluster: examples in a cluster.
    """

    draw: Callable[[Generator], Sides]
    budget: Budget = PLAIN
    groups: str = ""
    per_cluster: int = 1


def lose(rng: Generator, share: "float | np.ndarray[tuple[int], np.dtype[np.float64]]", learned: float = 0.0) -> Sides:
    """Right before with probability 0.8; so many of all are forgotten, and so many of the wrong ones learned."""
    before = (rng.random(EXAMPLES) < 0.8).astype(float)
    kept = rng.random(EXAMPLES) >= share / 0.8
    return before, np.where(before > 0, kept, rng.random(EXAMPLES) < learned).astype(float)


def alike(rng: Generator) -> Sides:
    """Examples of a cluster share a rate of loss that differs much from cluster to cluster."""
    return lose(rng, np.repeat(0.8 * rng.beta(0.25, 1.75, EXAMPLES // 4), 4))


def graded(rng: Generator) -> Sides:
    before = rng.uniform(0.4, 0.9, EXAMPLES)
    return before, before - rng.uniform(-0.1, 0.3, EXAMPLES)


def by_group(rng: Generator) -> Sides:
    """The first of every four examples is forgotten twice as often."""
    return lose(rng, np.tile([0.2, 0.1, 0.1, 0.1], EXAMPLES // 4))


TRUTHS = {
    "much forgotten": Truth(lambda rng: lose(rng, 0.1)),
    "little forgotten": Truth(lambda rng: lose(rng, 0.02), replace(PLAIN, limit=Limit(0.02, relative=False))),
    "forgotten and learned": Truth(lambda rng: lose(rng, 0.13, learned=0.15)),
    "clusters": Truth(alike, per_cluster=4),
    "graded": Truth(graded),
    "relative": Truth(lambda rng: lose(rng, 0.08), replace(PLAIN, limit=Limit(0.1, relative=True))),
    "a group": Truth(by_group, replace(PLAIN, by="faith", groups=("a",), limit=Limit(0.2, relative=False)), "abbb"),
    "a group beside the whole": Truth(
        by_group,
        replace(PLAIN, by="faith", groups=("a",), statistic="biased_forgetting", limit=Limit(0.075, relative=False)),
        "abbb",
    ),
    "disparity": Truth(by_group, replace(PLAIN, by="faith", statistic="disparity"), "abbb"),
}


def comparison(truth: Truth, seed: int) -> Comparison:
    sides = truth.draw(np.random.default_rng(seed))
    groups = [{"faith": (truth.groups[i % len(truth.groups)],)} if truth.groups else {} for i in range(EXAMPLES)]
    ids = [f"e{i:04d}" for i in range(EXAMPLES)]
    clusters = [f"c{i // truth.per_cluster:04d}" for i in range(EXAMPLES)]
    both = [plain_scores("t", items_table(ids, side.tolist(), groups, clusters)) for side in sides]
    by = ["faith"] if truth.groups else []
    return chaintune.compare(both[0], both[1], by=by, resamples=RESAMPLES, seed=seed)


def shares(truth: Truth, pairs: int = PAIRS) -> tuple[float, float]:
    """Of all pairs, how many pass and how many fail."""
    policy = Policy("p", (truth.budget,))
    answers = [judge(policy, [comparison(truth, seed)]).answer for seed in range(pairs)]
    return answers.count("pass") / pairs, answers.count("fail") / pairs


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUTHS)
def test_at_the_budgets_edge_neither_wrong_answer_is_given_often(name: str) -> None:
    passed, failed = shares(TRUTHS[name])
    assert passed <= MOST
    assert failed <= MOST


@pytest.mark.slow
def test_the_truth_lies_on_the_budget() -> None:
    """Over many examples the number that is judged comes to the budget, so that either answer would be wrong."""
    for name, truth in TRUTHS.items():
        found = [judge(Policy("p", (truth.budget,)), [comparison(truth, seed)]).judgements[0] for seed in range(60)]
        allowed = 0.0 if truth.budget.limit.relative else truth.budget.limit.value
        mean, error = np.mean([j.value for j in found]), np.std([j.value for j in found]) / 60**0.5
        # The larger of two noisy groups is above the truth where chance turns them round.
        assert abs(mean - allowed) < 4 * error + 0.002 * (name == "disparity"), name


if __name__ == "__main__":
    for name, truth in TRUTHS.items():
        passed, failed = shares(truth)
        print(f"{name:26} pass {100 * passed:4.1f} %   fail {100 * failed:4.1f} %", flush=True)  # noqa: T201
