"""A comparison as named numbers, one a curve, as trackers draw them."""

import math

from chaintune.records import Comparison, Estimate, GroupComparison

Groups = set[tuple[str, str, str]]


def curves(comparison: Comparison, *, worst: int, followed: Groups) -> dict[str, float]:
    """Name -> number of everything that is logged of a comparison; what is undefined is left out.

    Args:
        comparison: of the model before with the model now.
        worst: how many groups of each dimension are taken up, those that forgot most.
        followed: task, dimension and group of each that was taken up at any time, so that a curve goes on once it
            has begun; those of now are added.
    """
    task = comparison.task
    numbers = {f"accuracy/{task}": comparison.overall.after.value}
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
