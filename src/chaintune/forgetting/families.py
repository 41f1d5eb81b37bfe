"""Whole tasks as one family of tests, under one pair of checkpoints or several.

Where nothing was lost, some task or other is called lost by some pair in 5 %.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference, over_pairs
from chaintune.forgetting.rows import by_seed
from chaintune.forgetting.units import Unit
from chaintune.forgetting.verdicts import verdict
from chaintune.records import Estimate, ResultRow, RowKey
from chaintune.records.amounts import margin_in
from chaintune.records.results import LOWER_BOUND, UPPER_BOUND
from chaintune.stats import Adjustment, Sample, means
from chaintune.stats.clusters import Floats
from chaintune.stats.families import NAMES, judged
from chaintune.stats.multiplicity import correct

# Ends of the interval of a whole task, in its unit, by the level.
Ends = Callable[[float], tuple[float, float]]


def whole_ends(
    unit: Unit, groups: Grouping, values: Floats, seeds: Sequence[int], options: Inference
) -> dict[str, Ends]:
    """Ends of the interval of a whole task's mean at any level, for each seed alone and for all together.

    Args:
        unit: of the ends.
        groups: of the examples.
        values: of the examples.
        seeds: of the values.
        options: how many draws.

    Shape: values `[S, E]`.
    """

    def ends(positions: Sequence[int]) -> Ends:
        sample = Sample.of(groups.design, values[positions], resamples=options.resamples, seed=options.seed)

        def at(level: float) -> tuple[float, float]:
            one = means(sample, level=level)[0]
            # Too few clusters for the level exclude nothing.
            one = replace(one, low=-1.0, high=1.0) if math.isnan(one.low) else one
            own = unit.difference(one)
            return own.low, own.high

        return at

    return {seed: ends(positions) for seed, positions in by_seed(seeds)}


def over_tasks(
    rows: Sequence[ResultRow], ends: Mapping[tuple[RowKey, str], Ends], options: Inference
) -> list[ResultRow]:
    """Rows of changes under one checkpoint, or several; those of whole tasks corrected as one family for each seed.

    Tasks have their own examples, so no joint draws would gain anything over Holm. Bounds of what lacks a score are
    held to the error rate of the family over the number of its tasks.

    Args:
        rows: of all tasks, and their bounds; those of groups, and those without a verdict, stay as they are.
        ends: by what names checkpoints and task, and by seed.
        options: how sure.
    """
    families: dict[tuple[str, str], list[int]] = {}
    for place, row in enumerate(rows):
        # Two that answer alike to the last bit leave nothing to test.
        if row.is_whole and row.verdict and row.estimate.low < row.estimate.high:
            families.setdefault((row.metric, row.seed), []).append(place)
    method: Adjustment = "bh" if options.adjust == "bh" else "holm"
    known, whole = list(rows), {(row.metric, row.key, row.seed): row.estimate for row in rows if row.is_whole}
    for (metric, _), places in families.items():
        if len(places) < 2:
            continue
        p_values = np.array([rows[place].estimate.p_value for place in places])
        made = correct(p_values, method, error_rate=1 - options.level)
        tasks = {rows[place].task for place in places}
        over = f"over {len(places)} {'tasks' if len(places) == len(tasks) else 'tests'}"
        family = f"{metric}{_of([rows[place] for place in places])}"
        for place, p_adjusted, rate in zip(places, made.p_adjusted.tolist(), made.error_rates.tolist(), strict=True):
            row = rows[place]
            own = replace(row.estimate, method=f"{row.estimate.method}; {NAMES[method]} {over}")
            estimate = judged(own, p_adjusted, ends[row.key, row.seed](1 - rate), level=options.level)
            bounds = [whole.get((f"{metric}{name}", row.key, row.seed)) for name in (LOWER_BOUND, UPPER_BOUND)]
            bounds = [one and replace(one, p_adjusted=min(1.0, len(places) * one.p_value)) for one in bounds]
            known[place] = _judged_again(replace(row, estimate=estimate, family=family), bounds, options)
    return known


def _of(rows: Sequence[ResultRow]) -> str:
    """What the tests of a family are of: ` of 3 tasks`, and over how many pairs, where a task has several."""
    tasks, pairs = {row.task for row in rows}, {(row.reference, row.chain, row.variant) for row in rows}
    several = f" of {len(tasks)} tasks" if len(tasks) > 1 else ""
    return several + (over_pairs(len(pairs)) if len(rows) > len(tasks) else "")


def _judged_again(row: ResultRow, bounds: Sequence[Estimate | None], options: Inference) -> ResultRow:
    """The row with the verdict on its corrected estimate, or bounds; what could not be shown before cannot be now."""
    lower, upper = bounds
    margin = margin_in(row.unit, options.margin, row.margin)
    word = verdict(lower or row.estimate, upper=upper, margin=margin, level=options.level)
    again = replace(row, verdict=word)
    stays = not row.verdict_reason or row.verdict == again.verdict == "gained"
    return again if stays else row if row.verdict != "gained" else replace(row, verdict="inconclusive")
