"""Intervals of simulated answers: whether they cover, whether tests raise false alarms, whether `kept` is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.calibration.cells import Cell, correlation
from benchmarks.calibration.procedure import ERROR_RATE, LEVEL, any_shown
from benchmarks.calibration.tables import percent, points, print_head, print_row
from chaintune.forgetting.verdicts import verdict
from chaintune.records import Estimate
from chaintune.stats import disparity

MARGIN = 0.02


@dataclass(eq=False)
class Tally:
    """What happened in the data sets of a cell: one entry a data set, or one a group of each."""

    flips: list[float] = field(default_factory=list)
    correlation: list[float] = field(default_factory=list)
    width: list[float] = field(default_factory=list)
    biased_width: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    whole_above: list[bool] = field(default_factory=list)
    whole_kept: list[bool] = field(default_factory=list)
    group: list[bool] = field(default_factory=list)
    group_above: list[bool] = field(default_factory=list)
    group_kept: list[bool] = field(default_factory=list)
    some_kept: list[bool] = field(default_factory=list)
    family: list[bool] = field(default_factory=list)
    biased: list[bool] = field(default_factory=list)
    alarms: list[bool] = field(default_factory=list)
    biased_family: list[bool] = field(default_factory=list)
    disparity: list[bool] = field(default_factory=list)


def tally(cell: Cell, count: int, *, spread: bool = False) -> Tally:
    """What is said of the data sets of a cell, beside its truth.

    Args:
        cell: that is drawn.
        count: data sets.
        spread: with disparity.
    """
    seen, truth = Tally(), cell.truth.tolist()
    for sample, estimates in cell.datasets(count):
        whole, *groups = zip(estimates.forgetting, truth, strict=True)
        known = [(estimate, true) for estimate, true in groups if np.isfinite(estimate.low)]
        verdicts = [_verdict(estimate) for estimate, _ in groups]
        wrongly = [v == "kept" and true >= MARGIN - 1e-9 for v, (_, true) in zip(verdicts, groups, strict=True)]
        biased = [(e, true - truth[0]) for e, (_, true) in zip(estimates.biased[1:], groups, strict=True)]
        seen.flips.append(float((sample.by_seed != 0).mean()))
        seen.correlation.append(correlation(sample, cell.layout))
        seen.width += [estimate.high - estimate.low for estimate, _ in known]
        seen.biased_width += [estimate.high - estimate.low for estimate, _ in biased]
        seen.whole.append(_covers(*whole))
        seen.whole_above.append(whole[0].high < whole[1])
        seen.whole_kept.append(_verdict(whole[0]) == "kept")
        seen.group += [_covers(*one) for one in known]
        seen.group_above += [estimate.high < true for estimate, true in known]
        seen.group_kept += wrongly
        seen.some_kept.append(any(wrongly))
        seen.biased += [_covers(*one) for one in biased if np.isfinite(one[0].low)]
        if cell.nothing_lost:
            seen.family.append(any(v in ("forgot", "gained") for v in verdicts))
        if cell.alike:
            seen.alarms += [estimate.p_value <= ERROR_RATE for estimate, _ in biased]
            seen.biased_family.append(any_shown([estimate for estimate, _ in biased]))
        if cell.alike and spread:
            columns = [k for k, (estimate, _) in enumerate(groups, start=1) if np.isfinite(estimate.low)]
            seen.disparity.append(disparity(sample, columns)[0].p_value <= ERROR_RATE)
    return seen


def coverage_table(cells: Sequence[Cell], count: int) -> None:
    """Prints coverage and false alarms of every cell."""
    print_head(
        "cell", "items, clusters", "flips", "ICC", "forgetting: coverage, whole", "a group", "family of verdicts",
        "biased: coverage", "false alarms", "family", "disparity: false alarms",
    )  # fmt: skip
    for cell in cells:
        seen = tally(cell, count, spread=True)
        print_row(
            cell.name, *_facts(cell, seen), percent(seen.whole), percent(seen.group), percent(seen.family),
            percent(seen.biased), percent(seen.alarms), percent(seen.biased_family), percent(seen.disparity),
        )  # fmt: skip


def upper_table(cells: Sequence[Cell], count: int) -> None:
    """Prints how often the truth lies above the interval, and how often `kept` is said of what lost the margin."""
    print_head(
        "cell", "items, clusters", "flips", "ICC", "truth", "whole: coverage", "truth above", "`kept`",
        "a group: coverage", "truth above", "`kept`", "some group `kept`", "median width",
    )  # fmt: skip
    for cell in cells:
        seen = tally(cell, count)
        kept = cell.truth[0] >= MARGIN - 1e-9
        print_row(
            cell.name, *_facts(cell, seen), points([cell.truth[0]]), percent(seen.whole), percent(seen.whole_above),
            percent(seen.whole_kept) if kept else "-", percent(seen.group), percent(seen.group_above),
            percent(seen.group_kept) if kept else "-", percent(seen.some_kept) if kept else "-", points(seen.width),
        )  # fmt: skip


def _facts(cell: Cell, seen: Tally) -> tuple[str, ...]:
    clusters = len(cell.layout.sizes) if cell.clusters else int(cell.layout.sizes.sum())
    size = f"{cell.layout.sizes.sum():,}, {clusters:,}"
    return size, f"{100 * np.mean(seen.flips):.0f}", f"{np.mean(seen.correlation):.2f}"


def _covers(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def _verdict(estimate: Estimate) -> str:
    return verdict(estimate, margin=MARGIN, level=LEVEL)
