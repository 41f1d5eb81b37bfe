"""Orders of tasks, predicted from what each task alone does."""

import math

import pytest

from chaintune.errors import ConfigError
from chaintune.forgetting.options import Inference
from chaintune.forgetting.orders import (
    Influence,
    influences_of,
    measured_orders,
    predicted_orders,
    stages_of_all_orders,
)
from chaintune.records import ChainStep, Checkpoint, CheckpointScores, GradientOverlap, Scores
from tests.synthetic import lengths, scores

FAST = Inference(resamples=200)
NEUTRAL = Influence(0.5, 0.5, 0.5)


def overlap(losses: tuple[float, float], product: float) -> GradientOverlap:
    """Gradients of length 1 of two tasks."""
    return GradientOverlap(("a", "b"), losses, ((1.0, product), (product, 1.0)), (8, 8))


def checkpoint(*chain: str, right: dict[str, list[int]]) -> CheckpointScores:
    """A checkpoint and its scores."""
    steps = tuple(ChainStep.plain(task) for task in chain)
    tables: dict[str, Scores] = {task: scores(items, task=task) for task, items in right.items()}
    return CheckpointScores(Checkpoint("base", steps, (), 0, ">".join(chain) or "base"), tables)


NOTHING, HALF, ALL = [0] * 12, [0, 1] * 6, [1] * 12
ALONE = [
    checkpoint(right={"a": NOTHING, "b": NOTHING}),
    checkpoint("a", right={"a": ALL, "b": NOTHING}),
    checkpoint("b", right={"a": NOTHING, "b": ALL}),
]


def test_an_influence_says_half_where_nothing_is_known_and_never_more_than_all() -> None:
    assert NEUTRAL.lost_share == 0.5
    assert Influence(1.0, 1.0, 1.0).lost_share == 1.0
    assert Influence(0.0, 1.0, 1.0).lost_share == 0.0


def test_an_influence_is_made_of_divergences_losses_and_angles() -> None:
    divergences = {("a", "a"): 1.0, ("a", "b"): 2.0, ("b", "a"): 3.0, ("b", "b"): 2.0}
    made = influences_of(
        divergences, overlap((1.0, 1.0), 0.0), {"a": overlap((0.1, 3.0), -1.0), "b": overlap((0.0, 0.1), 1.0)}
    )
    assert made["a", "b"] == Influence(divergence_share=3 / 4, loss_share=3 / 4, gradient_conflict=1.0)
    assert made["b", "a"] == Influence(divergence_share=2 / 4, loss_share=0.0, gradient_conflict=0.0)


def test_a_gradient_of_nothing_and_an_infinite_divergence_say_nothing() -> None:
    none = GradientOverlap(("a", "b"), (1.0, 1.0), ((0.0, 0.0), (0.0, 1.0)), (8, 8))
    divergences = {("a", "a"): math.inf, ("a", "b"): math.inf, ("b", "a"): math.inf, ("b", "b"): 0.0}
    made = influences_of(divergences, none, {"a": none, "b": none})
    assert made["a", "b"] == NEUTRAL


def test_what_comes_last_keeps_its_gain_and_what_comes_before_the_rest_of_it() -> None:
    influences = {0: {("a", "b"): Influence(0.5, 0.5, 0.2), ("b", "a"): NEUTRAL}}
    best, worst = predicted_orders(ALONE, ["a", "b"], influences, FAST)
    assert (best.order, worst.order) == (("a", "b"), ("b", "a"))
    assert best.scores["b"].value == pytest.approx(1.0)
    assert best.scores["a"].value == pytest.approx(0.8)
    assert worst.scores["b"].value == pytest.approx(0.5)
    assert best.mean.value == pytest.approx(0.9)
    assert best.mean.n == 24


def test_every_seed_has_influences_of_its_own() -> None:
    known = [
        CheckpointScores(Checkpoint("base", one.checkpoint.chain, (), seed, one.checkpoint.key), one.scores)
        for one in ALONE
        for seed in (0, 1)
    ]
    influences = {
        0: {("a", "b"): Influence(0.0, 0.5, 0.5), ("b", "a"): NEUTRAL},
        1: {("a", "b"): NEUTRAL, ("b", "a"): NEUTRAL},
    }
    orders = {one.order: one for one in predicted_orders(known, ["a", "b"], influences, FAST)}
    assert orders["a", "b"].scores["a"].value == pytest.approx(0.75)
    assert orders["a", "b"].scores["a"].n_seeds == 2


def test_trained_orders_are_read_at_their_ends() -> None:
    trained = [*ALONE, checkpoint("a", "b", right={"a": HALF, "b": ALL})]
    (one,) = measured_orders(trained, [("a", "b")], FAST)
    assert (one.scores["a"].value, one.scores["b"].value, one.mean.value) == (0.5, 1.0, 0.75)


def test_scores_of_which_less_is_better_have_no_common_mean() -> None:
    known = [CheckpointScores(one.checkpoint, {"a": lengths([1.0] * 12), "b": one.scores["b"]}) for one in ALONE]
    with pytest.raises(ConfigError, match="more is better"):
        predicted_orders(known, ["a", "b"], {0: {("a", "b"): NEUTRAL, ("b", "a"): NEUTRAL}}, FAST)


def test_the_stages_of_all_orders_are_those_of_a_tree() -> None:
    assert [stages_of_all_orders(count) for count in (2, 3, 4)] == [4, 15, 64]
