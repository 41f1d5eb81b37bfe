"""Which order of tasks keeps most, predicted from what training on each of them alone does to a model.

A task that is followed by others keeps of its gain what their influences leave of it. An influence is made of three
shares, each 1/2 where it says nothing:

- of divergence: KL(base ‖ after the later task alone) on the task's questions, in that and in what the task's own
  training diverged there together;
- of loss: the later task's loss after the task alone, in that and in its loss at the base together: what there is still
  to learn, more than before where the task taught the opposite;
- gradient conflict: `(1 - cosine) / 2` of both tasks' gradients after the task alone.

The share of the gain that is lost is four times their product, at most all of it: 1/2 where nothing is known.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError
from chaintune.forgetting.options import Inference
from chaintune.forgetting.runs import Runs
from chaintune.records import CheckpointScores, Estimate, GradientOverlap, ItemMetric
from chaintune.records.amounts import is_share, plain
from chaintune.shown import Printed
from chaintune.stats import Sample, combination

MOST_TASKS = 6
Order = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Influence:
    """What training on one task takes from another that was learned before it, as far as it is known beforehand.

    Attributes:
        divergence_share, loss_share, gradient_conflict: as in the module's words, in [0, 1].
    """

    divergence_share: float
    loss_share: float
    gradient_conflict: float

    @property
    def lost_share(self) -> float:
        """Of the other task's gain, in [0, 1]; 1/2 where all three are."""
        return min(1.0, 4 * self.divergence_share * self.loss_share * self.gradient_conflict)

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {**asdict(self), "lost_share": self.lost_share}


# (task that is learned first, task that is trained later) -> what that takes.
Influences = Mapping[tuple[str, str], Influence]


@dataclass(frozen=True, slots=True)
class OrderScores:
    """What every task scores at the end of one order.

    Attributes:
        order: of the tasks.
        scores: task -> its score, predicted or measured; the interval of a prediction reckons with which examples were
            asked, and not with how wrong the prediction is.
        mean: of the tasks, each counted alike.
    """

    order: Order
    scores: Mapping[str, Estimate]
    mean: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is undefined is None."""
        return {
            "order": list(self.order),
            "mean": _plain(self.mean),
            "scores": {task: _plain(estimate) for task, estimate in self.scores.items()},
        }


@dataclass(frozen=True, slots=True)
class PredictedOrders(Printed):
    """Every order of a study's tasks with its predicted scores, and those that were trained to check.

    Attributes:
        study: its name.
        orders: the one that keeps most by the prediction first.
        influences: of each seed: (task learned first, task trained later) -> what that takes.
        trained: orders that were trained, in the order of their predictions.
        stages, stages_of_all: trained for the prediction, and that all orders would take.
        tokens, tokens_of_all: likewise.
        folder: where everything was written.
        level: of the intervals.
    """

    study: str
    orders: tuple[OrderScores, ...]
    influences: Mapping[int, Mapping[tuple[str, str], Influence]]
    trained: tuple[OrderScores, ...]
    stages: int
    stages_of_all: int
    tokens: int
    tokens_of_all: int
    folder: Path
    level: float = 0.95

    def predicted(self, order: Order) -> OrderScores:
        """What was predicted of an order."""
        return next(one for one in self.orders if one.order == order)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "study": self.study,
            "level": self.level,
            "orders": [one.to_dict() for one in self.orders],
            "trained": [one.to_dict() for one in self.trained],
            "influences": [
                {"seed": seed, "task": task, "later": later, **influence.to_dict()}
                for seed, own in self.influences.items()
                for (task, later), influence in own.items()
            ],
            "stages": {"trained": self.stages, "all_orders": self.stages_of_all},
            "tokens": {"trained": self.tokens, "all_orders": self.tokens_of_all},
        }


def influences_of(
    divergences: Mapping[tuple[str, str], float], base: GradientOverlap, alone: Mapping[str, GradientOverlap]
) -> dict[tuple[str, str], Influence]:
    """What each task takes from each other one, under one seed.

    Args:
        divergences: (trained task, task asked) -> mean KL(base ‖ trained) in nats a token of the answers; infinite
            where training rules out a token that the base does not.
        base: gradients and losses at the base.
        alone: the same after each task alone.
    """
    made = {}
    for task, later in itertools.permutations(alone, 2):
        after = alone[task]
        made[task, later] = Influence(
            divergence_share=_part(divergences[later, task], divergences[task, task]),
            loss_share=_part(after.loss(later), base.loss(later)),
            gradient_conflict=0.5 if math.isnan(cosine := after.cosine(task, later)) else (1 - cosine) / 2,
        )
    return made


def predicted_orders(
    checkpoints: Sequence[CheckpointScores],
    tasks: Sequence[str],
    influences: Mapping[int, Influences],
    options: Inference,
) -> list[OrderScores]:
    """Every order of the tasks with its predicted scores, the one that keeps most first.

    Args:
        checkpoints: the base, and after each task alone, with their scores.
        tasks: that are taught.
        influences: of every seed.
        options: of the intervals.

    Raises:
        ConfigError: tasks whose scores have no common mean.
        DataError: a checkpoint lacks scores.
    """
    runs = Runs.of(checkpoints, level=options.level, seed_variance=options.seed_variance)
    _check_scores(runs, tasks)
    base = next(condition for condition in runs.conditions if not condition.chain)
    alone = {condition.tasks[0]: condition for condition in runs.conditions if len(condition.chain) == 1}
    seeds = sorted(influences)

    @cache  # many orders end alike for a task
    def score(task: str, later: frozenset[str]) -> tuple[Sample, Estimate]:
        before = runs.stacked(base, seeds, task)
        gained = runs.stacked(alone[task], seeds, task) - before
        kept = [math.prod(1 - influences[seed][task, one].lost_share for one in later) for seed in seeds]
        return _score(runs, task, before + gained * [[share] for share in kept], options)

    orders = [
        _together(order, [score(task, frozenset(order[place + 1 :])) for place, task in enumerate(order)], options)
        for order in itertools.permutations(tasks)
    ]
    return sorted(orders, key=lambda one: -one.mean.value)


def measured_orders(
    checkpoints: Sequence[CheckpointScores], orders: Iterable[Order], options: Inference
) -> list[OrderScores]:
    """What every task scores at the end of orders that were trained.

    Args:
        checkpoints: of the trained chains.
        orders: that are looked at.
        options: of the intervals.

    Raises:
        ConfigError: tasks whose scores have no common mean.
    """
    runs = Runs.of(checkpoints, level=options.level, seed_variance=options.seed_variance)
    made = []
    for order in orders:
        _check_scores(runs, order)
        end = next(condition for condition in runs.conditions if condition.is_plain and condition.tasks == order)
        scores = [_score(runs, task, runs.stacked(end, runs.seeds([end], task), task), options) for task in order]
        made.append(_together(order, scores, options))
    return made


def stages_of_all_orders(count: int) -> int:
    """How many stages all orders of so many tasks take, each beginning once: a tree's nodes."""
    return sum(math.perm(count, length) for length in range(1, count + 1))


def check_metric(task: str, metric: ItemMetric) -> None:
    """Refuse scores that have no mean with those of other tasks.

    Raises:
        ConfigError: less of them is better, or they are no shares.
    """
    if not is_share(metric.unit) or metric.direction == "less":
        raise ConfigError(
            f"task '{task}' is scored by '{metric.name}', and orders are judged by the mean of scores of which more is "
            "better, from 0 to 1; name such a metric for it"
        )


def _check_scores(runs: Runs, tasks: Sequence[str]) -> None:
    for task in tasks:
        if task not in runs.units:
            raise DataError(f"task '{task}': it has no scores, so that no order can be judged by it")
        check_metric(task, runs.units[task].metric)


def _score(runs: Runs, task: str, values: Any, options: Inference) -> tuple[Sample, Estimate]:
    sample = Sample.of(runs.groups[task].design, values, resamples=options.resamples, seed=options.seed)
    return sample, combination([sample], [1.0], level=options.level, seed=options.seed)


def _together(order: Order, scores: Sequence[tuple[Sample, Estimate]], options: Inference) -> OrderScores:
    samples, estimates = zip(*scores, strict=True)
    weights = [1 / len(order)] * len(order)
    mean = combination(samples, weights, level=options.level, seed=options.seed)
    return OrderScores(order, dict(zip(order, estimates, strict=True)), mean)


def _part(one: float, other: float) -> float:
    """The share of the first in both; 1/2 of nothing."""
    if math.isinf(one) or math.isinf(other):
        return 0.5 if math.isinf(one) and math.isinf(other) else float(math.isinf(one))
    return one / (one + other) if one + other > 0 else 0.5


def _plain(estimate: Estimate) -> dict[str, Any]:
    names = ("value", "low", "high", "n", "n_clusters", "n_seeds", "reason")
    return {name: plain(getattr(estimate, name)) for name in names}
