"""A comparison as named numbers, one a curve, as trackers draw them."""

import math
from collections.abc import Iterator

import numpy as np

from chaintune.forgetting.chance import answers_of
from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import mean_scores
from chaintune.forgetting.units import Unit
from chaintune.records import Answers, Comparison, Estimate, GroupComparison, Scores
from chaintune.records.answers import is_accuracy

Groups = set[tuple[str, str, str]]


def start_numbers(scores: Scores, options: Inference) -> dict[str, float]:
    """Name -> number of what is logged before the first step: the score, and what guessing would score."""
    every, scores = ([scores], grouping(scores, ())), scores.with_scores()
    groups, values = grouping(scores, ()), scores.item_scores()
    unit = Unit.of(scores.metric, [values])
    (mean,) = mean_scores(groups, unit.inward(values)[np.newaxis], unit, options)
    (answers,) = answers_of([scores], groups, every)
    level = _level(scores.metric.name, scores.metric.unit, scores.metric.direction, answers)
    return _known({f"{level}/{scores.task}": unit.level(mean).value, **_answers(scores.task, answers)})


def warnings(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Kinds and sentences of what should not be overlooked: no loss can be shown, or answers are given by rote."""
    task, row = comparison.task, comparison.overall
    if row.verdict_reason:
        yield "loss", f"no loss of {task} can be shown: {row.verdict_reason}"
    if row.answers_after.is_rote:
        yield "rote", f"the model {row.answers_after.rote_text()} examples of {task}"


def curves(comparison: Comparison, *, worst: int, followed: Groups) -> dict[str, float]:
    """Name -> number of everything that is logged of a comparison; what is undefined is left out.

    Args:
        comparison: of the model before with the model now.
        worst: how many groups of each dimension are taken up, those that forgot most.
        followed: task, dimension and group of each that was taken up at any time, so that a curve goes on once it
            has begun; those of now are added.
    """
    task = comparison.task
    answers = comparison.overall.answers_after
    level = f"{_level(comparison.metric, comparison.unit, comparison.direction, answers)}/{task}"
    numbers = {level: comparison.overall.after.value, **_answers(task, answers)}
    numbers |= _with_ends(f"forgetting/{task}", comparison.overall.forgetting)
    followed |= {(task, row.dimension, row.group) for row in _worst(comparison, worst)}
    for row in comparison.groups:
        if (task, row.dimension, row.group) in followed:
            where = f"{task}/{row.dimension}/{row.group}"
            numbers |= _with_ends(f"forgetting/{where}", row.forgetting)
            numbers |= _with_ends(f"biased_forgetting/{where}", row.biased_forgetting)
    for disparity in comparison.disparities:
        numbers[f"disparity/{task}/{disparity.dimension}"] = disparity.estimate.value
        numbers[f"disparity_expected/{task}/{disparity.dimension}"] = disparity.null_expectation
    return _known(numbers)


def _level(metric: str, unit: str, direction: str, answers: Answers) -> str:
    """What a mean score is called: the accuracy where it is a share of right answers, else the item metric's name."""
    return "accuracy" if is_accuracy(metric, unit, direction, answers) else metric


def _answers(task: str, answers: Answers) -> dict[str, float]:
    return {
        f"chance/{task}": answers.chance,
        f"commonest_gold/{task}": answers.gold_label_share,
        f"commonest_answer/{task}": answers.answer_share,
        **{f"answers/{task}/{name}": share for name, share in answers.shares().items()},
    }


def _known(numbers: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _worst(comparison: Comparison, count: int) -> list[GroupComparison]:
    """Of each dimension the groups that forgot most, among those with an interval."""
    chosen: list[GroupComparison] = []
    for dimension in dict.fromkeys(row.dimension for row in comparison.groups):
        members = [row for row in comparison.groups if row.dimension == dimension]
        sure = [row for row in members if not math.isnan(row.forgetting.low)]
        chosen += sorted(sure, key=lambda row: (-row.forgetting.value, row.group))[:count]
    return chosen


def _with_ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}/low": estimate.low, f"{name}/high": estimate.high}
