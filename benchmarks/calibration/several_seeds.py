"""Several seeds of a recipe, and groups whose seeds scatter alike or one of them further than the others."""

import itertools
from dataclasses import replace

import numpy as np
from scipy import sparse

from benchmarks.calibration.cells import USUAL, Cell
from benchmarks.calibration.coverage import tally
from benchmarks.calibration.procedure import ERROR_RATE, sample_of
from benchmarks.calibration.tables import percent, points, print_head, print_row
from benchmarks.irt import Floats, Layout, World
from chaintune.forgetting.grouping import Grouping
from chaintune.records import Estimate
from chaintune.stats import Design, means

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


def over_recipes_table(count: int) -> None:
    """Prints coverage and width of a whole task's forgetting, alone and sharing its variance with two other recipes.

    The recipe whose interval it is scatters as the others or three times as far; each answers items of its own.
    """
    print_head(
        "seeds", "SD of the recipe, of the others, points", "alone: coverage, median width",
        "over recipes: coverage, median width",
    )  # fmt: skip
    design = _whole_only()
    for seeds, times in itertools.product(SEEDS[:3], (1, 3)):
        rng = np.random.default_rng([seeds, times])
        alone: list[Estimate] = []
        shared: list[Estimate] = []
        scatters = [times * SPREADS[0][0], SPREADS[0][0], SPREADS[0][0]]
        for number in range(count):
            own, *others = (_cell(seeds, one, SPREADS[0][1]).world.changes(rng, LAYOUT, seeds) for one in scatters)
            groups = Grouping((("", ""),), design)
            for known, estimates in ((groups, alone), (groups.beside_recipes(others), shared)):
                estimates.append(means(sample_of(known.design, own, number))[0])
        print_row(
            seeds, ", ".join(points([_deviation(one)]) for one in scatters[:2]),
            *(f"{percent([e.low <= 0 <= e.high for e in some])}, {points([np.median([e.high - e.low for e in some])])}"
              for some in (alone, shared)),
        )  # fmt: skip


def _whole_only() -> Design:
    """The layout's templates without its groups."""
    design = Design.of(LAYOUT.templates, sparse.csr_array((len(LAYOUT.templates), 0)))
    return replace(design, pools=np.zeros(1, dtype=np.int64))


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
