"""Recovery, price and cost of mitigated checkpoints, compared with the chains that lost a task."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from chaintune.forgetting.chance import checkpoint_levels, judged_between, not_above_chance
from chaintune.forgetting.changes import dimension_disparity
from chaintune.forgetting.families import Ends, over_tasks, whole_ends
from chaintune.forgetting.missing import between_bounds, incomplete_between, with_bounds
from chaintune.forgetting.mitigation import recovery
from chaintune.forgetting.options import Inference
from chaintune.forgetting.references import reference_chains, reference_checkpoints
from chaintune.forgetting.rows import Subject, by_seed, estimate_rows, mean_rows, samples, subject_of, with_verdict
from chaintune.forgetting.runs import Runs
from chaintune.records import Chain, Checkpoint, Estimate, ForgettingFrom, MitigationRef, ResultRow, RowKey, chain_label
from chaintune.records.mitigations import VARIED
from chaintune.stats import Design
from chaintune.stats.clusters import Floats

COSTS = ("extra_tokens", "extra_seconds")
NEEDS_OLD_DATA = "needs_old_data"


def mitigation_rows(
    runs: Runs, condition: Checkpoint, options: Inference, reference: ForgettingFrom
) -> list[ResultRow]:
    """Recovery, who regained how much, prices, doses and costs of a mitigated checkpoint; none for a plain one.

    Every row's reference is the chain without the mitigation. `extra_tokens` and `extra_seconds` are what the whole
    chain's training took beyond that of the chain without the mitigation.
    """
    rows: list[ResultRow] = []
    for mitigated in runs.mitigates.get(condition, ()):
        own = _returns(runs, condition, mitigated, options, reference)
        own += _prices(runs, condition, mitigated, options)
        own += _facts(runs, condition, mitigated)
        rows += [replace(row, mitigation=mitigated.dose_curve) for row in own]
    return rows


def share_rows(
    subject: Subject,
    design: Design,
    metric: str,
    seeds: Sequence[int],
    stacks: Sequence[Floats],
    share: Callable[..., Estimate],
    options: Inference,
) -> list[ResultRow]:
    """Rows of a share that is made of the item scores at some checkpoints. Shape: stacks `[S, E]` each."""
    unit = subject.item_unit
    return estimate_rows(
        subject, metric, seeds, lambda at: share(design, *(stack[at] for stack in stacks), options, unit=unit)
    )


def _returns(
    runs: Runs, condition: Checkpoint, mitigated: MitigationRef, options: Inference, reference: ForgettingFrom
) -> list[ResultRow]:
    task, after, rows = mitigated.task, condition.at(mitigated.chain), []
    chains = reference_chains(mitigated.chain, task, reference)
    seeds, starts = reference_checkpoints(runs, after, task, chains, beside=[condition])
    if seeds:
        later = [runs.stacked(point, seeds, task) for point in (after, condition)]
        stacks = [runs.stacked_each(starts, seeds, task), *later]
        subject = subject_of(runs, condition, task, seeds, after)
        recovered = share_rows(subject, runs.groups[task].design, "recovery", seeds, stacks, recovery, options)
        levels = checkpoint_levels(runs, starts, seeds, task, options)
        recovered = _of_what_was_known(recovered, levels, chain_label(starts[0].labels), options)
        rows += [replace(row, verdict_reason=runs.left_out(task)) for row in recovered]
    seeds = runs.seeds([after, condition], task)
    if not seeds:
        return rows
    subject = subject_of(runs, condition, task, seeds, after)
    groups, values = runs.groups[task], runs.stacked(condition, seeds, task) - runs.stacked(after, seeds, task)
    regained = mean_rows(subject, "regained", groups, values, seeds, options)
    incomplete = incomplete_between(runs, ([condition] * len(seeds), [after] * len(seeds)), seeds, task)
    rows += between_bounds(regained, subject, incomplete, seeds, options)
    for seed, sample in samples(groups, values, seeds, options):
        for dimension in groups.dimensions:
            spread = dimension_disparity(groups, sample, dimension, options)
            row = subject.row("regained_disparity", seed, spread.estimate, (dimension, ""))
            if left_out := runs.left_out(task):
                row = replace(row, estimate=replace(row.estimate, p_value=math.nan, reason=left_out))
            rows.append(row)
    return rows


def _of_what_was_known(
    rows: Sequence[ResultRow], before: Sequence[ResultRow], name: str, options: Inference
) -> list[ResultRow]:
    """Recoveries; undefined where the score before the loss is not shown to be above chance."""
    whole = {row.seed: row for row in before if row.is_whole}
    known = []
    for row in rows:
        reason = not_above_chance(whole[row.seed], name, level=options.level)
        estimate = row.estimate
        if reason:
            estimate = Estimate.undefined(
                reason, n=estimate.n, n_clusters=estimate.n_clusters, n_seeds=estimate.n_seeds
            )
        known.append(replace(row, estimate=estimate))
    return known


def _prices(runs: Runs, condition: Checkpoint, mitigated: MitigationRef, options: Inference) -> list[ResultRow]:
    rows, after = [], condition.at(mitigated.chain)
    paid: list[ResultRow] = []
    ends: dict[tuple[RowKey, str], Ends] = {}
    known: dict[str, list[int]] = {}
    for task in mitigated.keep:
        if seeds := runs.seeds([after, condition], task):
            values = runs.stacked(after, seeds, task) - runs.stacked(condition, seeds, task)
            subject = subject_of(runs, condition, task, seeds, after)
            prices = mean_rows(subject, "price", runs.groups[task], values, seeds, options)
            sides = ([after] * len(seeds), [condition] * len(seeds))
            judged = [with_verdict(row, options) for row in prices]
            paid += with_bounds(judged, subject, incomplete_between(runs, sides, seeds, task), seeds, options)
            own = whole_ends(subject.item_unit, runs.groups[task], values, seeds, options)
            ends |= {(prices[0].key, seed): at for seed, at in own.items()}
            known[task] = seeds
    paid = over_tasks(paid, ends, options)
    for task, seeds in known.items():
        sides = ([after] * len(seeds), [condition] * len(seeds))
        rows += judged_between([row for row in paid if row.task == task], runs, sides, seeds, task, options)
    return rows


def _facts(runs: Runs, condition: Checkpoint, mitigated: MitigationRef) -> list[ResultRow]:
    """Rows without sampling error: dose, need of old data, and the extra cost over the chain without the mitigation."""
    plain = condition.at(mitigated.chain)
    seeds = runs.seeds([condition, plain], mitigated.task)
    if not seeds:
        return []
    subject = subject_of(runs, condition, mitigated.task, seeds, plain)
    n = int(runs.groups[mitigated.task].design.n[0])
    clusters = int(runs.groups[mitigated.task].design.n_clusters[0])
    spent = np.array([_extra(runs, condition, mitigated.chain, seed) for seed in seeds])  # [S, 2]
    rows = []
    for label, positions in by_seed(seeds):
        chosen = "no interval: it was chosen"
        varied = {name: getattr(mitigated, name) for name in VARIED}
        values = [(name, value, chosen) for name, value in varied.items() if value is not None]
        values.append((NEEDS_OLD_DATA, float(mitigated.needs_old_data), chosen))
        for name, value in zip(COSTS, spent[positions].mean(axis=0), strict=True):
            reason = (
                "not known: the checkpoints' notes are gone" if math.isnan(value) else "no interval: it was counted"
            )
            values.append((name, float(value), reason))
        for name, value, reason in values:
            estimate = Estimate(value, n=n, n_clusters=clusters, n_seeds=len(positions), reason=reason)
            rows.append(subject.row(name, label, estimate))
    return rows


def _extra(runs: Runs, condition: Checkpoint, plain: Chain, seed: int) -> tuple[float, float]:
    """Tokens and seconds of a chain's training beyond those of another."""
    one, other = (_spent(runs, condition.at(chain), seed) for chain in (condition.chain, plain))
    return one[0] - other[0], one[1] - other[1]


def _spent(runs: Runs, condition: Checkpoint, seed: int) -> tuple[float, float]:
    unknown = (math.nan, math.nan)
    stages = [condition.at(condition.chain[:done]) for done in range(1, len(condition.chain) + 1)]
    costs = [runs.costs.get((stage, seed), unknown) for stage in stages]
    return sum(tokens for tokens, _ in costs), sum(seconds for _, seconds in costs)
