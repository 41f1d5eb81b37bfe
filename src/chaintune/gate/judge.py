"""Judges on intervals whether comparisons keep a policy's budgets.

A budget is kept when the upper end of the interval lies within it, exceeded when the lower end lies beyond it, and
otherwise the answer is inconclusive. Examples that lack a score count at their worst for the upper end and at their
best for the lower one, unless they were dropped. None is kept where the scores could not show a loss, and none is
exceeded either where a checkpoint hardly answered. Where one budget speaks of several groups, it is kept only if each
group keeps it, which needs no correction; that one of them exceeds it is claimed at the error rate divided by their
number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Literal, NamedTuple, get_args

import numpy as np

from chaintune.errors import ConfigError, nearest, number_of
from chaintune.forgetting.rounding import DIFFERENCE
from chaintune.gate.policy import EVERY, Budget, Policy
from chaintune.records import Comparison, Estimate, Gate, GroupComparison, Judgement, Series, Tier
from chaintune.records.crossing import joined, parts_of
from chaintune.records.scales import changes_in
from chaintune.stats.clusters import Floats
from chaintune.stats.deciding import growth_to_decide, room_to_pass
from chaintune.stats.rates import combine, t_quantile

_SPREAD = (
    "how many examples it takes to pass is not told: the largest of several differences is not 0 where nothing is lost"
)
PolicyOn = Literal["last", "each"]


@dataclass(frozen=True, slots=True)
class _Judged:
    """An estimate less its relative budget.

    Attributes:
        value, low, high: the estimate, and the interval to judge it by.
        n: examples.
        reason: why there is no interval, or not one of everything.
        obstacle: why the scores cannot show a loss, so that nothing passes.
        silent: whether a checkpoint hardly answered, so that nothing fails either.
        n_clusters, n_seeds: clusters and seeds.
        tests: groups that the budget speaks of.
        unlost: what the number is if nothing is lost; NaN where that is not known.
    """

    value: float
    low: float
    high: float
    n: int
    reason: str = ""
    obstacle: str = ""
    silent: bool = False
    n_clusters: int = 0
    n_seeds: int = 1
    tests: int = 1
    unlost: float = math.nan


class _Times(NamedTuple):
    """By what the error rate of a pass and that of a failure are divided."""

    passing: int
    failing: int


def judge(policy: Policy, comparisons: Sequence[Comparison], *, looks: int = 1, pairs: int = 1) -> Gate:
    """One judgement for each budget and each task and group that it covers.

    Args:
        policy: the budgets.
        comparisons: one a task, by every dimension of the policy.
        looks: how often the policy is asked in one training, any of which may stop it: the error rate of a pass and of
            a failure is divided by them (Bonferroni), so that it holds for all looks together.
        pairs: of checkpoints that are judged, these among them, and fail together where one does: the error rate of a
            failure is divided by them.

    Raises:
        ConfigError: a budget is in another unit than the scores of its task.
    """
    by_task = {comparison.task: comparison for comparison in comparisons}
    left_out = [task for comparison in comparisons for task in comparison.tasks_left_out]
    every = list(dict.fromkeys([*by_task, *left_out]))
    times = _Times(looks, looks * pairs)
    for one in comparisons:
        policy.check_unit(one.task, one.metric, one.unit)
    judgements: list[Judgement] = []
    for budget in policy.budgets:
        for task in every if budget.task == EVERY else [budget.task]:
            comparison = by_task.get(task)
            if comparison is None or budget in policy.of(task, comparison.unit):
                judgements += _of_task(budget, task, comparison, times)
    return Gate(policy.name, tuple(judgements))


def judge_series(policy: Policy, series: Series, on: PolicyOn | None = None) -> Gate:
    """What `judge` says of the pairs of a series that a policy is asked about; the worst answer is that of all.

    That some pair exceeds a budget is claimed at the error rate divided by their number; that all keep it needs no
    correction.

    Args:
        policy: the budgets.
        series: by every dimension of the policy.
        on: `last` judges the last checkpoint against the first; `each` every step, and the last against the first, and
            rivals each against the first; None is `each` of rivals, else `last`.

    Raises:
        ConfigError: there is no such choice.
    """
    known = get_args(PolicyOn)
    if on is not None and on not in known:
        raise ConfigError(f"policy_on '{on}': {nearest(on, known)}")
    last = [(series.names[0], series.names[-1])]
    is_each = series.against_first if on is None else on == "each"
    pairs = list(dict.fromkeys([*series.steps, *last])) if is_each else last
    judgements: list[Judgement] = []
    for start, end in pairs:
        own = judge(policy, series.at([(start, end)]), pairs=len(pairs)).judgements
        judgements += [replace(one, start=start, end=end) for one in own]
    return Gate(policy.name, tuple(judgements))


def _of_task(budget: Budget, task: str, comparison: Comparison | None, times: _Times) -> list[Judgement]:
    if comparison is None:
        return [_missing(budget, task, "", "the task was not compared")]
    dimension = joined(*parts_of(budget.by)) if budget.by else ""
    rows = [row for row in (comparison.overall, *comparison.groups) if row.dimension == dimension]
    left_out = [group for name, group in comparison.groups_left_out if name == dimension and not budget.groups]
    unit = comparison.unit
    gone = [_missing(budget, task, group, f"no example of '{group}' is on both sides", unit) for group in left_out]
    if not rows:
        return gone or [_missing(budget, task, "", f"the task has no groups on '{budget.by}'", unit)]
    if budget.statistic == "disparity":
        return [*gone, _judgement(budget, comparison, dimension, "", _disparity(budget, comparison, rows, times))]
    known = {row.group: row for row in rows}
    chosen = budget.groups or tuple(known)
    tests = sum(group in known for group in chosen)
    return gone + [
        _judgement(budget, comparison, dimension, group, _number(budget, known[group], comparison, tests, times))
        if group in known
        else _missing(budget, task, group, f"there is no example of '{group}'", unit)
        for group in chosen
    ]


def _missing(budget: Budget, task: str, group: str, reason: str, unit: str = "") -> Judgement:
    tier: Tier = budget.tier if budget.required else "note"
    limit = budget.limit
    return Judgement(
        task, budget.by, group, budget.statistic, tier, limit.value, limit.relative, "missing", reason=reason, unit=unit
    )  # fmt: skip


def _number(budget: Budget, row: GroupComparison, comparison: Comparison, tests: int, times: _Times) -> _Judged:
    if budget.statistic == "biased_forgetting":
        estimate, rows = row.biased_forgetting, [comparison.overall, row]
        lower, upper = comparison.bounds_of(row.dimension, row.group, "biased_forgetting")
    else:
        estimate, rows = row.forgetting, [row]
        lower, upper = comparison.bounds_of(row.dimension, row.group)
    if comparison.bounds and budget.limit.relative:
        return _unbounded(estimate.value, comparison, *_obstacle(rows))
    low = lower.value - (lower.value - lower.low) * _widening(comparison.level, tests * times.failing, lower.n_clusters)
    high = upper.value + (upper.high - upper.value) * _widening(comparison.level, times.passing, upper.n_clusters)
    ends, reason = (estimate.value, low, high), lower.reason or estimate.reason
    if math.isnan(estimate.value) and not math.isnan(row.biased_forgetting.value):
        reason += "; it has a biased_forgetting, which a budget can limit"
    judged = _Judged(
        *ends, estimate.n, reason, *_obstacle(rows), estimate.n_clusters, estimate.n_seeds, tests, unlost=0.0
    )
    return _less_relative(budget, judged, row.before)


def _unbounded(value: float, comparison: Comparison, obstacle: str, silent: bool) -> _Judged:
    """A number that is not judged where a score is missing: a share of the score before moves with it."""
    left_out, n = comparison.n_left_out, comparison.overall.forgetting.n
    reason = f"{left_out} of {n + left_out} examples without a score, and a relative budget has no bounds"
    return _Judged(value, math.nan, math.nan, n, reason, obstacle, silent)


def _less_relative(budget: Budget, judged: _Judged, before: Estimate) -> _Judged:
    """The estimate less the budget's share of the score before, whose interval widens that of the estimate."""
    if not budget.limit.relative:
        return judged
    share = budget.limit.value
    allowed = (share * before.value, share * before.low, share * before.high)
    if before.value < 0:  # a share of how far the score lies from 0
        allowed = (-allowed[0], -allowed[2], -allowed[1])
    low, high = _ends((judged.value, judged.low, judged.high), allowed)
    return replace(judged, value=judged.value - allowed[0], low=low, high=high, unlost=judged.unlost - allowed[0])


def _disparity(budget: Budget, comparison: Comparison, rows: Sequence[GroupComparison], times: _Times) -> _Judged:
    """The largest difference between two groups, with limits that hold for the largest of all pairs.

    It lies below its upper end when every pair does, which needs no correction; that some pair lies above the lower
    end is claimed at the error rate divided by the number of pairs.
    """
    obstacle = _obstacle([comparison.overall, *rows])
    bounds = [comparison.bounds_of(row.dimension, row.group) for row in rows if not math.isnan(row.forgetting.low)]
    values = [row.forgetting.value for row in rows if not math.isnan(row.forgetting.low)]
    n = comparison.overall.forgetting.n
    if len(values) < 2:
        return _Judged(math.nan, math.nan, math.nan, n, "fewer than two groups have an interval")
    spread = max(values) - min(values)
    if comparison.bounds and budget.limit.relative:
        return _unbounded(spread, comparison, *obstacle)
    if open_ := next((lower.reason for lower, _ in bounds if math.isnan(lower.low)), ""):
        return _Judged(spread, math.nan, math.nan, n, open_, *obstacle)
    # Where a score is missing, a difference is least with the one group at its best and the other at its worst.
    least = [(one[0], other[1]) for one, other in permutations(bounds, 2)]
    most = [(one[1], other[0]) for one, other in permutations(bounds, 2)]
    low = max(_end(pair, comparison.level, len(least) // 2 * times.failing)[0] for pair in least)
    high = max(_end(pair, comparison.level, times.passing)[1] for pair in most)
    whole = comparison.overall.forgetting
    judged = _Judged(spread, low, high, n, _without_interval(rows), *obstacle, whole.n_clusters, whole.n_seeds)
    return _less_relative(budget, judged, comparison.overall.before)


def _end(pair: tuple[Estimate, Estimate], level: float, tests: int) -> tuple[float, float]:
    """Limits of the difference of two groups, each at an error rate divided by so many tests."""
    one, other = pair
    value = one.value - other.value
    low, high = _ends((one.value, one.low, one.high), (other.value, other.low, other.high))
    factor = _widening(level, tests, min(one.n_clusters, other.n_clusters))
    return value - (value - low) * factor, value + (high - value) * factor


def _without_interval(rows: Sequence[GroupComparison]) -> str:
    small = [row.group for row in rows if math.isnan(row.forgetting.low)]
    return f"not judged, for too few clusters: {', '.join(small)}" if small else ""


def _obstacle(rows: Sequence[GroupComparison]) -> tuple[str, bool]:
    """Why some rows cannot show a loss: the first one's reason, with their number; whether one hardly has answers."""
    known = [(row.group, row.verdict_reason or row.doubt) for row in rows]
    reasons = [f"{group}: {reason}".removeprefix(": ") for group, reason in known if reason]
    more = f"; so it is with {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return (reasons[0] + more if reasons else "", any(row.is_silent for row in rows))


def _ends(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float]:
    """Confidence limits of a difference from value, low and high of its parts, which are taken as independent."""
    low, high = combine(_arrays(one), _arrays(other))
    return float(low), float(high)


def _arrays(numbers: tuple[float, float, float]) -> tuple[Floats, Floats, Floats]:
    value, low, high = (np.asarray(number) for number in numbers)
    return value, low, high


def _widening(level: float, tests: int, clusters: int) -> float:
    """The factor by which one side of an interval from so many clusters grows at an error rate divided by the tests."""
    tail = (1 - level) / 2
    strict, usual = t_quantile(1 - tail * np.array([1 / max(tests, 1), 1.0]), np.array(clusters - 1.0))
    return float(strict / usual)


def _judgement(budget: Budget, comparison: Comparison, dimension: str, group: str, judged: _Judged) -> Judgement:
    limit = budget.limit
    # A relative budget is in the number already.
    allowed = 0.0 if limit.relative else limit.value
    if math.isnan(judged.low) or math.isnan(judged.high):
        answer, reason = "inconclusive", judged.reason or "the number has no interval"
    elif judged.low > allowed and not judged.silent:
        answer, reason = "fail", "the whole interval lies beyond the budget"
    elif judged.obstacle:
        answer, reason = "inconclusive", judged.obstacle
    elif judged.high > allowed:
        answer, reason = "inconclusive", "the interval straddles the budget"
    elif judged.reason or comparison.forced:
        answer = "inconclusive"
        reason = judged.reason or f"compared by force: {'; '.join(comparison.forced)}"
    else:
        answer, reason = "pass", "the whole interval lies within the budget"
    if answer in ("pass", "fail") and (noise := _noise(comparison, abs(allowed - judged.value))):
        answer, reason = "inconclusive", noise
    if comparison.bounds and not math.isnan(judged.low):
        many = number_of(comparison.n_left_out, "example")
        reason += f"; counted at best and at worst: {many} without a score"
    reason += "; " * bool(comparison.assumption) + comparison.assumption
    judgement = Judgement(
        comparison.task, dimension, group, budget.statistic, budget.tier, limit.value, limit.relative,
        answer, judged.value, judged.low, judged.high, None, reason, comparison.unit,  # type: ignore[arg-type]
    )  # fmt: skip
    undecided = answer == "inconclusive" and judged.low <= allowed < judged.high and not judged.obstacle
    undecided = undecided and not comparison.bounds  # more examples do not tell what the missing ones would be
    return _with_what_decides(judgement, judged, allowed, comparison.level) if undecided else judgement


def _noise(comparison: Comparison, room: float) -> str:
    """Why a budget so near to the number says nothing: texts written twice differ by more; empty where they do not."""
    moved = comparison.rounding.get(DIFFERENCE)
    if moved is None or not (moved.low > 0 or moved.high < 0) or room >= abs(moved.value):
        return ""
    return (
        "the budget lies nearer to the number than two runs of one checkpoint lie apart, of the same texts written in "
        f"another grouping: {changes_in(comparison.unit).text(moved, level=comparison.level)}"
    )


def _with_what_decides(judgement: Judgement, judged: _Judged, allowed: float, level: float) -> Judgement:
    """The judgement with the sizes that would decide, or the budget that could, if more come of the same kind."""
    growth = growth_to_decide(judged.value, judged.low, judged.high, allowed, level)
    if math.isnan(growth):
        return judgement
    reason = judgement.reason
    if math.isnan(judged.unlost):
        reason += f"; {_SPREAD}"
    room, spare = room_to_pass(judged.value, judged.high, level, judged.tests), allowed - judged.unlost
    # A relative budget is a share of how far the score before lies from 0, which the number lies below 0 by.
    scale = abs(judged.unlost) / judgement.budget if judgement.relative and judgement.budget else 1.0
    return replace(
        judgement,
        reason=reason,
        more_examples=math.ceil(judged.n * (growth - 1)),
        examples=judged.n,
        more_clusters=math.ceil(judged.n_clusters * (growth - 1)),
        more_seeds=math.ceil(judged.n_seeds * (growth - 1)) if judged.n_seeds > 1 else None,
        examples_needed=math.ceil(judged.n * (room / spare) ** 2) if spare > 0 else None,
        least_budget=math.nan if math.isnan(judged.unlost) else room / scale,
    )
