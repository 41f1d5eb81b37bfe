"""Several seeds of a recipe, and groups whose seeds scatter alike or one of them further than the others."""

import itertools
from dataclasses import replace

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

    Groups share the variance between seeds, or each has its own, in the same data sets. Power, and a group that
    scatters further than the others, are drawn in a third of them.
    """
    fewer = max(2, count // 3)
    print_head(
        "seeds", "SD of the whole, points", "latent SD of a group", "variance", "forgetting: coverage, whole",
        "a group", "truth above", "biased: coverage", "median width", "false alarms", "family",
        "disparity: false alarms", "25 points more, shown",
        "a group that scatters three times as far: coverage", "family",
    )  # fmt: skip
    for seeds, (whole, group), share in itertools.product(SEEDS, SPREADS, (False, True)):
        alike, more, thrice = (replace(cell, share_seeds=share) for cell in _cells(seeds, whole, group))
        seen = tally(alike, count, spread=True)
        shown = [estimates.biased[1].p_adjusted <= ERROR_RATE for _, estimates in more.datasets(fewer)]
        one, family = _first_and_family(thrice, fewer)
        print_row(
            seeds, points([_deviation(whole)]), group, "shared" if share else "separate", percent(seen.whole),
            percent(seen.group), percent(seen.group_above), percent(seen.biased), points(seen.biased_width),
            percent(seen.alarms), percent(seen.biased_family), percent(seen.disparity), percent(shown), percent(one),
            percent(family),
        )  # fmt: skip


def _cells(seeds: int, whole: float, group: float) -> tuple[Cell, Cell, Cell]:
    """Groups alike, the first of them with a loss of 25 points more, and with seeds that scatter three times as far."""
    more, thrice = LAYOUT.by_group([SHOWN] + [0.0] * 10), LAYOUT.by_group([3 * group] + [group] * 10)
    return (
        _cell(seeds, whole, group),
        _cell(seeds, whole, group, more, f"{group} more"),
        _cell(seeds, whole, thrice, name=f"{group} thrice"),
    )


def _cell(seeds: int, whole: float, group: float | Floats, loss: float | Floats = 0.0, name: str = "") -> Cell:
    world = World(loss=loss, noise=USUAL.noise, change=USUAL.change, seed=whole, seed_group=group)
    return Cell(f"{seeds} {whole} {name or group}", LAYOUT, world, seeds=seeds)


def _deviation(latent: float) -> float:
    """SD of the expected accuracy that a latent effect of a seed makes."""
    world = World(noise=USUAL.noise, change=USUAL.change)
    step = 1e-3
    up, down = (world.ability(world.base + change, world.change**2) for change in (step, -step))
    return float(latent * 2 * step / (up - down))


def _first_and_family(cell: Cell, count: int) -> tuple[list[bool], list[bool]]:
    """Whether the interval of the first group covers no difference; whether the family alarms."""
    covers, family = [], []
    for _, estimates in cell.datasets(count):
        covers.append(bool(estimates.biased[1].low <= 0 <= estimates.biased[1].high))
        family.append(bool(np.nanmin([e.p_adjusted for e in estimates.biased[1:]]) <= ERROR_RATE))
    return covers, family
