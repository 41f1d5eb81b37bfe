"""Order effects: two chains that are each other's reverse, compared."""

from collections.abc import Mapping
from dataclasses import replace

from chaintune.forgetting.auc import auc_rows
from chaintune.forgetting.missing import between_bounds, incomplete_between
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import estimate_rows, mean_rows, subject_of
from chaintune.forgetting.runs import Runs
from chaintune.records import Checkpoint, Estimate, ForgettingFrom, ResultRow, Role
from chaintune.stats import Sample, combination

OTHER_UNITS = "the tasks score in different units, which no difference or mean can be made of"


def order_rows(runs: Runs, roles: Mapping[str, Role], options: Inference, reference: ForgettingFrom) -> list[ResultRow]:
    """Final safety and asymmetry of every two chains that are each other's reverse.

    `order_effect` is the final score of a safety task where it comes later minus that where it comes
    earlier, on the same examples. `asymmetry` is the forgetting of the safety task when it comes first
    minus the forgetting of the capability task when that comes first, each by the item metric that decides about it.
    """
    rows: list[ResultRow] = []
    for one, other in _reversed_pairs(runs):
        for task in (task for task in one.tasks if roles[task] == "safety"):
            early, late = sorted((one, other), key=lambda condition: condition.tasks.index(task))
            if early.tasks.index(task) < late.tasks.index(task):
                rows += _final_safety(runs, task, (early, late), options)
        if len(one.chain) == 2 and {roles[task] for task in one.tasks} == {"safety", "capability"}:
            rows += _asymmetry(runs, roles, (one, other), options, reference)
    return rows


def _reversed_pairs(runs: Runs) -> list[tuple[Checkpoint, Checkpoint]]:
    conditions = runs.conditions
    known = set(conditions)
    pairs = []
    for position, one in enumerate(conditions):
        other = one.at(one.chain[::-1])
        plain = len(one.chain) > 1 and len(set(one.chain)) == len(one.chain) and one.is_plain
        if plain and other in known and other not in conditions[:position]:
            pairs.append((one, other))
    return pairs


def _final_safety(runs: Runs, task: str, pair: tuple[Checkpoint, Checkpoint], options: Inference) -> list[ResultRow]:
    early, late = pair
    seeds = runs.seeds([early, late], task)
    if not seeds:
        return []
    values = runs.stacked(late, seeds, task) - runs.stacked(early, seeds, task)
    subject = subject_of(runs, late, task, seeds, early)
    sides = ([late] * len(seeds), [early] * len(seeds))
    tables = [runs.tables(points, seeds, task) for points in sides]
    rows = mean_rows(subject, "order_effect", runs.groups[task], values, seeds, options)
    return [
        *between_bounds(rows, subject, incomplete_between(runs, sides, seeds, task), seeds, options),
        *auc_rows(subject, "order_effect", runs.groups[task], tables[0], seeds, options, minus=tables[1]),
    ]


def _asymmetry(
    runs: Runs,
    roles: Mapping[str, Role],
    pair: tuple[Checkpoint, Checkpoint],
    options: Inference,
    reference: ForgettingFrom,
) -> list[ResultRow]:
    """Forgetting of the first task of either chain: safety first minus capability first."""
    first, second = sorted(pair, key=lambda condition: roles[condition.tasks[0]] != "safety")
    # After two stages every reference but the base is the first of them.
    stages = 0 if reference == "base" else 1
    starts = [(condition, condition.at(condition.chain[:stages]), condition.tasks[0]) for condition in (first, second)]
    seeds = sorted(set.intersection(*(set(runs.seeds([end, start], task)) for end, start, task in starts)))
    if not seeds:
        return []
    losses = [runs.stacked(start, seeds, task) - runs.stacked(end, seeds, task) for end, start, task in starts]
    designs = [runs.groups[task].design for _, _, task in starts]
    tasks = [task for *_, task in starts]
    subject, unit = subject_of(runs, first, tasks[0], seeds, second), runs.common_unit(tasks)
    if unit is None:
        rows = estimate_rows(subject, "asymmetry", seeds, lambda _: Estimate.undefined(OTHER_UNITS))
        return [replace(row, unit="") for row in rows]
    weights = [sign * runs.units[task].width for sign, task in zip((1.0, -1.0), tasks, strict=True)]

    def between(positions: list[int]) -> Estimate:
        drawn = [
            Sample.of(design, loss[positions], resamples=options.resamples, seed=options.seed)
            for design, loss in zip(designs, losses, strict=True)
        ]
        return combination(drawn, weights, level=options.level, seed=options.seed)

    rows = estimate_rows(subject, "asymmetry", seeds, between)
    return [replace(row, unit=unit.metric.unit, item_metric=unit.metric.name) for row in rows]
