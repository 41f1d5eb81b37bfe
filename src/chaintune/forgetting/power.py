"""Power of a comparison by simulation: its sizes, clusters and flips, under the procedure that it is judged by."""

import math
from collections.abc import Callable, Collection

import numpy as np

from chaintune.forgetting.grouping import Grouping, Label
from chaintune.forgetting.options import Inference
from chaintune.records.power import GroupPower, SimulatedPower
from chaintune.stats import Flips, Power, Sample, flips_of, simulated_power
from chaintune.stats.clusters import Floats
from chaintune.stats.simulation import halves_needed

EFFECTS = (0.05, 0.1)
OnDraw = Callable[[int, int], None]

_DRAWS_OF_WHOLE = 400
_MOST_DRAWS, _FEWEST_DRAWS = 200, 40
# What one comparison takes, measured on one core: in all, for each test of each half, and for each example.
_SECONDS, _SECONDS_OF_CELL, _SECONDS_OF_EXAMPLE = 0.004, 8e-7, 4e-7
# Draws are as many as take about so long for all groups; a dimension that takes longer with the fewest is left out.
_SECONDS_OF_GROUPS, _MOST_SECONDS_OF_DIMENSION = 60.0, 180.0


def power_by_simulation(
    groups: Grouping,
    change: Floats,
    options: Inference,
    *,
    right: float,
    testable: Collection[Label],
    on_draw: OnDraw | None = None,
) -> SimulatedPower:
    """How often comparisons like this one show a loss of 5 and of 10 points in the whole task and in each group.

    A group loses so much more than the reference, while all others lose what they do in the data, and the groups of its
    dimension are corrected as those of the comparison are. The number of comparisons follows from the sizes, so that
    the same data and seed give the same numbers.

    Args:
        groups: of the examples.
        change: what each example lost: 1 forgotten, -1 learned, 0 neither.
        options: how sure, and relative to what.
        right: share of the examples that are right before.
        testable: dimension and name of the groups whose biased forgetting can be tested.
        on_draw: is called after each comparison, with how many are done and how many there are.

    Shape: change `[E]`.
    """
    flips = flips_of(Sample.of(groups.design, change, resamples=1), right=right)
    draws, left_out = _draws(groups, options)
    columns = [(0, _DRAWS_OF_WHOLE)] + [
        (column, draws)
        for dimension in groups.dimensions
        if dimension not in left_out
        for column in groups.columns(dimension)
        if groups.labels[column] in testable
    ]
    total, done = len(EFFECTS) * sum(count for _, count in columns), 0

    def note(_done: int, _total: int) -> None:
        nonlocal done
        done += 1
        if on_draw:
            on_draw(done, total)

    powers = {}
    for column, count in columns:
        powers[column] = [_power(groups, column, flips, effect, count, options, note) for effect in EFFECTS]
    unknown = [Power(math.nan, math.nan, 0)] * len(EFFECTS)
    shown = (k for k, label in enumerate(groups.labels) if label[0] not in left_out)
    rows = tuple(_row(groups, column, powers.get(column, unknown)) for column in shown)
    return SimulatedPower(flips.forgot, flips.learned, flips.correlation, rows, tuple(left_out), level=options.level)


def _power(
    groups: Grouping, column: int, flips: Flips, effect: float, draws: int, options: Inference, note: OnDraw
) -> Power:
    return simulated_power(
        groups.design, groups.columns(groups.labels[column][0]) if column else [0], flips, effect,
        affected=column, reference=options.reference, level=options.level, adjust=options.adjust, draws=draws,
        seed=options.seed, on_draw=note,
    )  # fmt: skip


def _draws(groups: Grouping, options: Inference) -> tuple[int, list[str]]:
    """How many comparisons are simulated for each group, and dimensions whose groups are too many."""
    seconds = {}
    for dimension in groups.dimensions:
        count = len(groups.columns(dimension))
        cells = count * halves_needed(count, options.level)
        one = _SECONDS + _SECONDS_OF_CELL * cells + _SECONDS_OF_EXAMPLE * len(groups.design.clusters)
        seconds[dimension] = len(EFFECTS) * count * one
    left_out = [name for name, own in seconds.items() if _FEWEST_DRAWS * own > _MOST_SECONDS_OF_DIMENSION]
    each = sum(own for name, own in seconds.items() if name not in left_out)
    draws = int(np.clip(_SECONDS_OF_GROUPS / max(each, 1e-9), _FEWEST_DRAWS, _MOST_DRAWS))
    return draws, left_out


def _row(groups: Grouping, column: int, powers: list[Power]) -> GroupPower:
    five, ten = powers
    n, clusters = (int(counts[column]) for counts in (groups.design.n, groups.design.n_clusters))
    drawn = 0 if math.isnan(five.value) and math.isnan(ten.value) else five.n
    return GroupPower(*groups.labels[column], n, clusters, five.value, five.error, ten.value, ten.error, drawn)
