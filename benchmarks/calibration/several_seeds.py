"""Several seeds of a recipe, and groups whose seeds scatter alike or one of them further than the others."""

import itertools

import numpy as np

from benchmarks.calibration.cells import USUAL, Cell
from benchmarks.calibration.coverage import tally
from benchmarks.calibration.procedure import ERROR_RATE
from benchmarks.calibration.tables import percent, points, print_head, print_row
from benchmarks.irt import Floats, Layout, World

LAYOUT = Layout.even(11, 16, 2)
SEEDS = (2, 3, 5, 10)
# SD of what a seed does to the whole, and to a group, in the unit of difficulties.
SPREADS = ((0.17, 0.1), (0.37, 0.1), (0.37, 0.35))
SHOWN = 0.25


def recipes_table(count: int) -> None:
    """Prints coverage, false alarms and power of biased forgetting where a recipe has several seeds.

    Power, and a group that scatters further than the others, are drawn in a third of the data sets.
    """
    fewer = max(2, count // 3)
    print_head(
        "seeds", "SD of the whole, points", "latent SD of a group", "forgetting: coverage, whole", "a group",
        "truth above", "biased: coverage", "median width", "false alarms", "family", "disparity: false alarms",
        "25 points more, shown", "a group that scatters three times as far: coverage", "family",
    )  # fmt: skip
    for seeds, (whole, group) in itertools.product(SEEDS, SPREADS):
        cell = _cell(seeds, whole, group)
        seen = tally(cell, count, spread=True)
        one, family = _three_times(seeds, whole, group, fewer)
        print_row(
            seeds, points([_deviation(whole)]), group, percent(seen.whole), percent(seen.group),
            percent(seen.group_above), percent(seen.biased), points(seen.biased_width), percent(seen.alarms),
            percent(seen.biased_family), percent(seen.disparity), percent(_shown(seeds, whole, group, fewer)),
            percent(one), percent(family),
        )  # fmt: skip


def _cell(seeds: int, whole: float, group: float | Floats, loss: float | Floats = 0.0, name: str = "") -> Cell:
    world = World(loss=loss, noise=USUAL.noise, change=USUAL.change, seed=whole, seed_group=group)
    return Cell(f"{seeds} {whole} {name or group}", LAYOUT, world, seeds=seeds)


def _deviation(latent: float) -> float:
    """SD of the expected accuracy that a latent effect of a seed makes."""
    world = World(noise=USUAL.noise, change=USUAL.change)
    step = 1e-3
    up, down = (world.ability(world.base + change, world.change**2) for change in (step, -step))
    return float(latent * 2 * step / (up - down))


def _shown(seeds: int, whole: float, group: float, count: int) -> list[bool]:
    """Whether the first group, which loses 25 points more than the others, is shown to."""
    cell = _cell(seeds, whole, group, LAYOUT.by_group([SHOWN] + [0.0] * 10), f"{group} more")
    return [estimates.biased[1].p_adjusted <= ERROR_RATE for _, estimates in cell.datasets(count)]


def _three_times(seeds: int, whole: float, group: float, count: int) -> tuple[list[bool], list[bool]]:
    """Whether the interval of a group whose seeds scatter three times as far covers; whether a family alarms."""
    cell = _cell(seeds, whole, LAYOUT.by_group([3 * group] + [group] * 10), name=f"{group} thrice")
    covers, family = [], []
    for _, estimates in cell.datasets(count):
        covers.append(bool(estimates.biased[1].low <= 0 <= estimates.biased[1].high))
        family.append(bool(np.nanmin([e.p_adjusted for e in estimates.biased[1:]]) <= ERROR_RATE))
    return covers, family
