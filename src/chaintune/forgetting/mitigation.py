"""Retained gain and recovery: ratios of mean changes, with their intervals."""

import math
from dataclasses import replace

from chaintune.forgetting.options import Inference
from chaintune.forgetting.units import SHARES, Unit
from chaintune.records import Estimate
from chaintune.records.scales import changes_in
from chaintune.stats import Design, Sample, means, ratio_limits, ratios
from chaintune.stats.clusters import Floats


def retained_gain(
    design: Design, base: Floats, trained: Floats, after: Floats, options: Inference, *, unit: Unit = SHARES
) -> Estimate:
    """Share of the gain from tuning on a task that is left later: 1 is all of it, 0 none.

    Args:
        design: clusters of the task's examples.
        base: item scores under the base model, a row for each seed.
        trained: right after the tuning on the task.
        after: at the later checkpoint.
        options: how sure.
        unit: of the scores that the values come from, for the reason of what is undefined.

    Shape: base, trained, after `[S, E]`.

    Undefined: when the interval of the gain contains 0, so that there may be nothing to retain.
    """
    return share_of(design, after - base, trained - base, "gain over the base", options, unit)


def recovery(
    design: Design, before: Floats, after: Floats, mitigated: Floats, options: Inference, *, unit: Unit = SHARES
) -> Estimate:
    """Share of a loss that a mitigation brings back: 1 is all of it, 0 none, above 1 more than was lost.

    Args:
        design: clusters of the task's examples.
        before: item scores at the checkpoint that forgetting is counted from, a row for each seed.
        after: after the loss.
        mitigated: after the mitigation.
        options: how sure.
        unit: of the scores that the values come from, for the reason of what is undefined.

    Shape: before, after, mitigated `[S, E]`.

    Undefined: when the interval of the loss contains 0, so that there may be nothing to recover.
    """
    return share_of(design, mitigated - after, before - after, "loss", options, unit)


def share_of(design: Design, part: Floats, whole: Floats, what: str, options: Inference, unit: Unit) -> Estimate:
    """Ratio of two mean changes, undefined unless the second is shown to be positive."""
    total = means(Sample.of(design, whole, resamples=options.resamples, seed=options.seed), level=options.level)[0]
    if not total.low > 0:
        size = changes_in(unit.metric.unit).text(unit.difference(total), sign=False)
        reason = f"the {what}, {size}, is not shown to be above 0"
        return replace(total, value=float("nan"), low=float("nan"), high=float("nan"), p_value=float("nan"),
                       method="", reason=reason)  # fmt: skip
    share = ratios(design, part, whole, level=options.level, resamples=options.resamples, seed=options.seed)[0]
    if math.isnan(share.low) and total.method:
        return _nearly_all_or_nothing(design, part, whole, total, share, options)
    return share


def _nearly_all_or_nothing(
    design: Design, part: Floats, whole: Floats, total: Estimate, share: Estimate, options: Inference
) -> Estimate:
    """The interval of a share where nearly every example agrees that all, or nothing, came back.

    The halves of the clusters then hardly differ, and no interval comes from them. What is missing, or what
    came back, is a mean with few changes, whose exact limits are known; it is divided by the loss.
    """
    missing = share.value > 0.5
    sample = Sample.of(design, whole - part if missing else part, resamples=options.resamples, seed=options.seed)
    few = means(sample, level=options.level)[0]
    low, high = ratio_limits(few, total)
    if not math.isfinite(high - low):
        return share
    if missing:
        low, high = 1 - high, 1 - low
    came_back = Sample.of(design, part, resamples=options.resamples, seed=options.seed)
    p_value = means(came_back, level=options.level)[0].p_value
    # The loss is uncertain as well: the limits reach further than a test of what came back alone.
    if low <= 0 <= high:
        p_value = max(p_value, math.nextafter(1 - options.level, 1))
    method = f"{few.method}; divided by the loss"
    return replace(share, low=low, high=high, p_value=p_value, method=method, reason="")
