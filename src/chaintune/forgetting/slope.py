"""How forgetting grows with a varied knob."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from chaintune.forgetting.options import Inference
from chaintune.forgetting.references import reference_chains, reference_checkpoints
from chaintune.forgetting.rows import estimate_rows, keys_by_seed, subject_of
from chaintune.forgetting.runs import Runs, earlier_tasks
from chaintune.records import Checkpoint, Estimate, ForgettingFrom, ResultRow, Settings
from chaintune.records.checkpoint import knob_target
from chaintune.stats import Sample, means
from chaintune.stats.clusters import Floats

# A recipe's name, and what tells two of one name apart, are no amounts, though they may be figures.
_NAMES = ("recipe", "number")


def slope_rows(runs: Runs, options: Inference, reference: ForgettingFrom) -> list[ResultRow]:
    """Slope of forgetting against each knob that takes two or more numeric values, all else equal.

    A learning rate is taken in powers of ten. In a row's variant the knob's value is `slope`, or `log10
    slope`, and `forgetting_slope` is the forgetting that one unit, or a tenfold, more costs.
    """
    rows: list[ResultRow] = []
    for others, points in _curves(runs.conditions).items():
        for task in earlier_tasks(others.chain):
            rows += _task_slope(runs, task, others, points, options, reference)
    return rows


def _curves(conditions: Sequence[Checkpoint]) -> Mapping[Checkpoint, Mapping[float, Checkpoint]]:
    """Checkpoints that differ in one numeric knob only, under that knob's place in the variant."""
    curves: dict[Checkpoint, dict[float, Checkpoint]] = defaultdict(dict)
    for condition in conditions:
        for position, (knob, text) in enumerate(condition.variant):
            value = _numeric(knob, text)
            if value is not None and len(condition.chain) > 1:
                name = "log10 slope" if _is_rate(knob) else "slope"
                variant: Settings = (*condition.variant[:position], (knob, name), *condition.variant[position + 1 :])
                curves[replace(condition, variant=variant)][value] = condition
    return {others: points for others, points in curves.items() if len(points) > 1}


def _task_slope(
    runs: Runs,
    task: str,
    others: Checkpoint,
    points: Mapping[float, Checkpoint],
    options: Inference,
    reference: ForgettingFrom,
) -> list[ResultRow]:
    ends, chains = list(points.values()), reference_chains(others.chain, task, reference)
    counted = [reference_checkpoints(runs, end, task, chains, beside=ends) for end in ends]
    seeds = sorted(set.intersection(*(set(own) for own, _ in counted)))
    if not seeds:
        return []
    starts = [[dict(zip(own, chosen, strict=True))[seed] for seed in seeds] for own, chosen in counted]
    weights = _slope_weights(np.array(list(points)))
    # Values must lie between -1 and 1 for the limits of rare changes, so the largest slope is taken out.
    scale = float(np.abs(weights).sum())
    losses = [
        runs.stacked_each(own, seeds, task) - runs.stacked(end, seeds, task)
        for own, end in zip(starts, ends, strict=True)
    ]
    values: Floats = np.asarray(sum(w / scale * loss for w, loss in zip(weights, losses, strict=True)))
    design = runs.groups[task].design

    def slope(positions: list[int]) -> Estimate:
        sample = Sample.of(design, values[positions], resamples=options.resamples, seed=options.seed)
        mean = means(sample, level=options.level)[0]
        return replace(mean, value=mean.value * scale, low=mean.low * scale, high=mean.high * scale)

    labels = {start.chain for own in starts for start in own}
    subject = replace(
        subject_of(runs, others, task, seeds, others.at(labels.pop()))
        if len(labels) == 1
        else replace(subject_of(runs, others, task, seeds), reference=reference),
        checkpoint_keys=keys_by_seed(runs, seeds, [ends] * len(seeds)),
        reference_keys=keys_by_seed(runs, seeds, list(zip(*starts, strict=True))),
    )
    return estimate_rows(subject, "forgetting_slope", seeds, slope)


def _slope_weights(knob: Floats) -> Floats:
    centred = knob - knob.mean()
    return np.asarray(centred / (centred**2).sum())


def _is_rate(knob: str) -> bool:
    return knob.rpartition(".")[2] == "learning_rate"


def _numeric(knob: str, text: str) -> float | None:
    if knob_target(knob)[1] in _NAMES:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    if _is_rate(knob):
        return math.log10(value) if value > 0 else None
    return value if math.isfinite(value) else None
