"""Every statistic of a study, from the scores of its checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from chaintune.errors import ConfigError, nearest, number_of
from chaintune.forgetting.agreement import agreement_rows, parted
from chaintune.forgetting.auc import auc_rows
from chaintune.forgetting.bias import CONTEXTS, answers, bias_score
from chaintune.forgetting.chance import checkpoint_levels, judged_between
from chaintune.forgetting.changes import adjusted_by_dimension
from chaintune.forgetting.families import Ends, over_tasks, whole_ends
from chaintune.forgetting.missing import between_bounds, incomplete_between, with_bounds
from chaintune.forgetting.mitigated import mitigation_rows, share_rows
from chaintune.forgetting.mitigation import retained_gain
from chaintune.forgetting.options import Inference
from chaintune.forgetting.order import OTHER_UNITS, order_rows
from chaintune.forgetting.references import check_reference, lost_tasks, reference_checkpoints
from chaintune.forgetting.rounding import rounding_rows
from chaintune.forgetting.rows import Subject, by_seed, forgetting_rows, mean_rows, subject_of
from chaintune.forgetting.runs import Runs, earlier_tasks, last_tasks, trained_at
from chaintune.forgetting.slope import slope_rows
from chaintune.forgetting.variants import variant_rows
from chaintune.records import (
    Chain,
    Checkpoint,
    CheckpointScores,
    Estimate,
    ForgettingFrom,
    ResultRow,
    Role,
    RowKey,
    SeedVariance,
)
from chaintune.records.amounts import USUAL_MARGIN
from chaintune.records.comparison import AUC
from chaintune.stats import Adjustment, Sample, combination
from chaintune.stats.clusters import Floats


def summarise(
    checkpoints: Sequence[CheckpointScores],
    *,
    study: str,
    roles: Mapping[str, Role],
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    adjust: Adjustment = "minp",
    forgetting_from: ForgettingFrom = "trained",
    margin: float | str = USUAL_MARGIN,
    seed_variance: SeedVariance = "over_groups",
    other_ways: Mapping[str, str] = MappingProxyType({}),
) -> list[ResultRow]:
    """Every result of a study, one row each.

    Rows of one seed speak about its checkpoints only; where a condition was run under several seeds, rows
    with seed `all` speak about the recipe.

    Args:
        checkpoints: of the study, and what they scored.
        study: name of the study.
        roles: of every task in a chain.
        level: of the intervals.
        resamples: random halves of the clusters that are drawn.
        seed: of the draws; same seed, same bits.
        adjust: correction for several groups of a dimension, `minp`, `holm` or `bh`.
        forgetting_from: the checkpoint that forgetting is counted from: right after the task was `trained`, the
            `best` of the earlier stages, the `base`, or the `previous` stage. The best is picked by the same examples
            that forgetting is then measured on, so it looks better than it is, and forgetting larger; neither interval
            nor p-value reckons with that.
        margin: a loss up to it counts as none, as a share of the score or as text with a unit, `0.05 nats`; the margin
            that a task names goes first.
        seed_variance: how much seeds differ is estimated `over_groups` of a dimension together, or for each group
            `separate`. Together, few seeds show far more; a group whose seeds differ much more than those of the others
            has an interval that is too narrow. `over_recipes` is as `over_groups`, and the forgetting of a whole task
            shares the variance too, with the other variants that have lost it after the same chain, from the same
            reference and under as many seeds. It takes three variants to gain by it; one whose seeds differ much more
            than those of the others has an interval that is too narrow.
        other_ways: tasks that ask the examples of another one the other way, in its chat template or as plain text ->
            that one, which chains teach. Their rows are those that it would have if it were asked so, and correct for
            each other alone; rows of `chat_agreement` say how far both ways agree.

    Raises:
        ConfigError: an option that does not exist, or a task without a role.
        DataError: checkpoints that were not measured on the same examples, or one given twice.

    Sign: positive forgetting, biased forgetting and price are worse; gain, order effect, recovery, transfer
        are better.
    """
    options = Inference(level, resamples, seed, adjust, "overall", margin, seed_variance)
    check_reference(forgetting_from)
    _check_roles(checkpoints, roles)
    if other_ways:
        how: dict[str, Any] = {"level": level, "resamples": resamples, "seed": seed, "adjust": adjust, "margin": margin}
        how |= {"study": study, "roles": roles, "forgetting_from": forgetting_from, "seed_variance": seed_variance}
        one, other = parted(checkpoints, other_ways)
        names = {task: name for name, task in other_ways.items()}
        asked_again = [replace(row, task=names[row.task]) for row in summarise(other, **how) if row.task in names]
        return [*summarise(one, **how), *asked_again, *agreement_rows(one, other, study, options)]
    runs = Runs.of(checkpoints, study=study, level=level, seed_variance=seed_variance)
    rows: list[ResultRow] = []
    for condition in runs.conditions:
        rows += _losses(runs, condition, options, forgetting_from)
        for statistics in (_accuracies, _gains, _retained):
            rows += statistics(runs, condition, options)
        rows += mitigation_rows(runs, condition, options, forgetting_from)
        for statistics in (_transfers, _biases, rounding_rows):
            rows += statistics(runs, condition, options)
    rows += order_rows(runs, roles, options, forgetting_from) + slope_rows(runs, options, forgetting_from)
    rows += variant_rows(runs, options, forgetting_from)
    rows += _missing(runs)
    ranked = {row.task for row in rows if row.item_metric == AUC}
    for name in dict.fromkeys(name for one in checkpoints for by in one.further.values() for name in by):
        further = Runs.of(_by(checkpoints, name), study=study, level=level, seed_variance=seed_variance)
        beside = _further(further, roles, options.without_verdict, forgetting_from)
        # The AUC is of the log-odds, whichever metric reads them: one row, not one a metric.
        rows += [row for row in beside if row.item_metric != AUC or row.task not in ranked]
        ranked |= {row.task for row in beside if row.item_metric == AUC}
    rendered = {
        task for one in checkpoints for task, table in one.scores.items() if table.provenance.get("chat") == "on"
    }
    return [replace(row, chat="on") if row.task in rendered else row for row in rows]


def _by(checkpoints: Sequence[CheckpointScores], metric: str) -> list[CheckpointScores]:
    """The checkpoints with their scores by a further item metric, of the tasks that have it."""
    further = [{task: by[metric] for task, by in one.further.items() if metric in by} for one in checkpoints]
    return [replace(one, scores=scores) for one, scores in zip(checkpoints, further, strict=True) if scores]


def _further(runs: Runs, roles: Mapping[str, Role], options: Inference, reference: ForgettingFrom) -> list[ResultRow]:
    """Rows of a further item metric: levels, gains, losses and order effects, without a verdict."""
    rows: list[ResultRow] = []
    for condition in runs.conditions:
        rows += _losses(runs, condition, options, reference)
        rows += _accuracies(runs, condition, options) + _gains(runs, condition, options)
    rows += [row for row in order_rows(runs, roles, options, reference) if row.metric == "order_effect"]
    return [replace(row, verdict="", deciding=False) for row in [*rows, *_missing(runs)]]


def _missing(runs: Runs) -> list[ResultRow]:
    """How many examples have no score under a checkpoint, where there are any."""
    rows = []
    for (condition, seed, task), count in runs.missing.items():
        left = int(runs.groups[task].design.n[0]) if task in runs.groups else 0
        scored = number_of(left, "example has", "examples have")
        reason = f"no interval: it was counted; {scored} a score under every checkpoint"
        rows.append(subject_of(runs, condition, task, [seed]).row("missing", str(seed), Estimate(count, reason=reason)))
    return rows


def _check_roles(checkpoints: Sequence[CheckpointScores], roles: Mapping[str, Role]) -> None:
    taught = {task for one in checkpoints for task in one.checkpoint.tasks}
    for task in sorted(taught | {mitigated.task for one in checkpoints for mitigated in one.mitigates}):
        if task not in roles:
            raise ConfigError(f"task '{task}' has no role: {nearest(task, roles)}")


def _accuracies(runs: Runs, condition: Checkpoint, options: Inference) -> list[ResultRow]:
    rows = []
    for task in runs.tasks(condition):
        # The base is no draw from anything a seed decides: one measurement says it all.
        seeds = runs.seeds([condition], task)[: None if condition.chain else 1]
        rows += checkpoint_levels(runs, [condition] * len(seeds), seeds, task, options)
        tables = runs.tables([condition] * len(seeds), seeds, task)
        rows += auc_rows(
            subject_of(runs, condition, task, seeds), "accuracy", runs.groups[task], tables, seeds, options
        )
    return rows


def _gains(runs: Runs, condition: Checkpoint, options: Inference) -> list[ResultRow]:
    rows, base = [], condition.at(())
    for task in last_tasks(condition.chain):
        if seeds := runs.seeds([condition, base], task):
            values = runs.stacked(condition, seeds, task) - runs.stacked(base, seeds, task)
            subject = subject_of(runs, condition, task, seeds, base)
            sides = ([condition] * len(seeds), [base] * len(seeds))
            own_rows = mean_rows(subject, "gain", runs.groups[task], values, seeds, options)
            rows += between_bounds(own_rows, subject, incomplete_between(runs, sides, seeds, task), seeds, options)
            later, earlier = (runs.tables(points, seeds, task) for points in sides)
            rows += auc_rows(subject, "gain", runs.groups[task], later, seeds, options, minus=earlier)
    return rows


def _losses(runs: Runs, condition: Checkpoint, options: Inference, reference: ForgettingFrom) -> list[ResultRow]:
    rows = []
    starts = lost_tasks(runs, condition, reference)
    if reference == "trained":  # a checkpoint that learned everything at once is held to where the task was learned
        starts |= {m.task: [trained_at(m.chain, m.task)] for m in runs.mitigates.get(condition, ())}
    lost: list[ResultRow] = []
    ends: dict[tuple[RowKey, str], Ends] = {}
    known: dict[str, tuple[Subject, list[int], list[Checkpoint]]] = {}
    shares = options.seed_variance == "over_recipes"
    for task, chains in starts.items():
        seeds, chosen = reference_checkpoints(runs, condition, task, chains)
        if not seeds:
            continue
        subject = subject_of(runs, condition, task, seeds, chosen, name="" if len(set(chosen)) == 1 else reference)
        values = runs.stacked_each(chosen, seeds, task) - runs.stacked(condition, seeds, task)
        others = _other_recipes(runs, condition, task, chains, chosen) if shares else ()
        groups = runs.groups[task].beside_recipes(others)
        own_rows = forgetting_rows(subject, groups, values, seeds, options)
        incomplete = incomplete_between(runs, (chosen, [condition] * len(seeds)), seeds, task)
        lost += with_bounds(own_rows, subject, incomplete, seeds, options)
        own = whole_ends(subject.item_unit, groups, values, seeds, options)
        ends |= {(own_rows[0].key, seed): at for seed, at in own.items()}
        known[task] = (subject, seeds, chosen)
    lost = over_tasks(lost, ends, options)
    for task, (subject, seeds, chosen) in known.items():
        sides = (chosen, [condition] * len(seeds))
        rows += judged_between([row for row in lost if row.task == task], runs, sides, seeds, task, options)
        before, after = (runs.tables(points, seeds, task) for points in sides)
        rows += auc_rows(subject, "forgetting", runs.groups[task], before, seeds, options, minus=after)
    return rows


def _other_recipes(
    runs: Runs, condition: Checkpoint, task: str, chains: Sequence[Chain], chosen: Sequence[Checkpoint]
) -> list[Floats]:
    """What other variants lost of the task after the same chain, from the same references and under as many seeds.

    Args:
        runs: of the study.
        condition: whose fellows are asked for.
        task: measured.
        chains: of the candidates for a reference.
        chosen: references of the condition, one a seed.

    Shape: results `[S, E]`.
    """
    lost = []
    for other in runs.conditions:
        if other == condition or replace(other, variant=condition.variant) != condition:
            continue
        seeds, references = reference_checkpoints(runs, other, task, chains)
        if [one.chain for one in references] == [one.chain for one in chosen]:
            lost.append(runs.stacked_each(references, seeds, task) - runs.stacked(other, seeds, task))
    return lost


def _retained(runs: Runs, condition: Checkpoint, options: Inference) -> list[ResultRow]:
    rows = []
    for task in earlier_tasks(condition.chain):
        base = condition.at(())
        points = [base, condition.at(trained_at(condition.chain, task)), condition]
        if seeds := runs.seeds(points, task):
            subject = subject_of(runs, condition, task, seeds, base)
            stacks = [runs.stacked(point, seeds, task) for point in points]
            rows += share_rows(
                subject, runs.groups[task].design, "retained_gain", seeds, stacks, retained_gain, options
            )
    return rows


def _transfers(runs: Runs, condition: Checkpoint, options: Inference) -> list[ResultRow]:
    chain = condition.chain
    if len(chain) < 2 or not condition.is_plain or len(set(chain)) < len(chain):
        return []
    stages = [condition.at(chain[:stage]) for stage in range(len(chain) + 1)]
    backward = [(task, stages[stage], condition) for stage, task in enumerate(condition.tasks[:-1], start=1)]
    forward = [(task, stages[0], stages[stage]) for stage, task in enumerate(condition.tasks[1:], start=1)]
    rows = []
    for metric, terms in (("bwt", backward), ("fwt", forward)):
        rows += _transfer_rows(runs, condition, metric, terms, options)
    return rows


def _transfer_rows(
    runs: Runs,
    condition: Checkpoint,
    metric: str,
    terms: Sequence[tuple[str, Checkpoint, Checkpoint]],
    options: Inference,
) -> list[ResultRow]:
    shared = [set(runs.seeds([before, after, condition], task)) for task, before, after in terms]
    seeds = sorted(set.intersection(*shared))
    if not seeds:
        return []
    changes: list[tuple[str, Floats]] = [
        (task, runs.stacked(after, seeds, task) - runs.stacked(before, seeds, task)) for task, before, after in terms
    ]
    subject, rows = subject_of(runs, condition, "", seeds), []
    unit = runs.common_unit([task for task, _ in changes])
    if unit is None:
        return [subject.row(metric, label, Estimate.undefined(OTHER_UNITS)) for label, _ in by_seed(seeds)]
    subject = replace(subject, item_unit=unit)
    weights = [runs.units[task].width / unit.width / len(changes) for task, _ in changes]
    for label, positions in by_seed(seeds):
        drawn = [
            Sample.of(runs.groups[task].design, values[positions], resamples=options.resamples, seed=options.seed)
            for task, values in changes
        ]
        mean = combination(drawn, weights, level=options.level, seed=options.seed)
        rows.append(subject.row(metric, label, mean))
    return rows


def _biases(runs: Runs, condition: Checkpoint, options: Inference) -> list[ResultRow]:
    rows = []
    for task in runs.tasks(condition):
        seeds = runs.seeds([condition], task)[: None if condition.chain else 1]
        answered = [answers(runs.scores[condition, one, task]) for one in seeds]
        known = [answer for answer in answered if answer is not None]
        if not known:
            continue
        leaning = np.stack([answer.leaning for answer in known])
        subject = subject_of(runs, condition, task, seeds)
        for metric in CONTEXTS:
            picked = known[0].rows[metric]
            if not len(picked):
                continue
            groups = runs.groups[task].subset(picked)
            for label, positions in by_seed(seeds):
                estimates = bias_score(groups, leaning[positions][:, picked], metric, options)
                labelled = zip(adjusted_by_dimension(groups, estimates, options), groups.labels, strict=True)
                rows += [
                    subject.row(metric, label, estimate, name)
                    for estimate, name in labelled
                    if name[0] not in ("context", "polarity")
                ]
    return rows
