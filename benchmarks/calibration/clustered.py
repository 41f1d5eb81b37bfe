"""Changes drawn from each cluster's own probabilities (Dirichlet), in eleven groups of clusters of 1 to 9 examples.

With multiple membership every cluster lies between two groups and each example bears one of them or both.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import sparse, stats

from benchmarks.calibration.procedure import ERROR_RATE, Floats, any_shown, said_of, sample_of
from benchmarks.calibration.tables import percent, points, print_head, print_row
from chaintune.stats import Design, Sample, detectable_biased, disparity

GROUPS = 11
PER_DESIGN = 20


@dataclass(frozen=True)
class Cell:
    """How many clusters a group has, how alike a cluster's examples are, whether groups overlap."""

    clusters: int
    correlation: float
    multiple: bool

    def __str__(self) -> str:
        return f"{self.clusters} | {self.correlation} | {'several' if self.multiple else 'one'}"


@dataclass(frozen=True)
class World:
    """Probabilities of being forgotten and learned, and by how much more the first group is forgotten."""

    forgot: float
    learned: float
    more: float = 0.0

    def __str__(self) -> str:
        return f"{self.forgot:.0%} / {self.learned:.0%}"

    @property
    def forgetting(self) -> float:
        """Expected in every group but the first."""
        return self.forgot - self.learned


def design(rng: Generator, cell: Cell) -> tuple[Design, Floats]:
    """Clusters and groups, and the share of each cluster's examples that bear the first group."""
    homes = _homes(cell)
    clusters = np.repeat(np.arange(len(homes)), rng.integers(1, 10, len(homes)))
    n = len(clusters)
    bears = np.zeros((n, GROUPS))
    if cell.multiple:
        kind = rng.integers(0, 3, n)
        for column, excluded in ((0, 1), (1, 0)):
            rows = np.flatnonzero(kind != excluded)
            bears[rows, homes[clusters[rows], column]] = 1
    else:
        bears[np.arange(n), homes[clusters, 0]] = 1
    found = Design.of(clusters, sparse.csr_array(bears))
    return replace(found, pools=np.minimum(np.arange(GROUPS + 1), 1)), bears[:, 0]


def _homes(cell: Cell) -> NDArray[np.int64]:
    """Groups of each cluster; each group gets `cell.clusters` of them."""
    if not cell.multiple:
        return np.repeat(np.arange(GROUPS), cell.clusters)[:, None]
    number = np.arange((cell.clusters * GROUPS + 1) // 2)
    first = number % GROUPS
    return np.stack([first, (first + 1 + number // GROUPS % (GROUPS - 1)) % GROUPS], axis=1)


def changes(rng: Generator, found: Design, first: Floats, cell: Cell, world: World) -> Floats:
    """What happened to each example: 1 forgotten, -1 learned, 0 neither."""
    total = int(found.clusters.max()) + 1
    chances = np.tile([world.forgot, world.learned, 1 - world.forgot - world.learned], (total, 1))
    if cell.correlation > 0:
        drawn = rng.gamma(np.maximum(chances * (1 / cell.correlation - 1), 1e-12))
        chances = drawn / drawn.sum(axis=1, keepdims=True)
    uniform, own = rng.random(len(found.clusters)), chances[found.clusters]
    change = np.where(uniform < own[:, 0], 1.0, np.where(uniform < own[:, 0] + own[:, 1], -1.0, 0.0))
    # Turning some unchanged examples of the first group adds to its forgetting and keeps the correlation.
    turned = (first > 0) & (change == 0) & (rng.random(len(change)) < world.more / (1 - world.forgot - world.learned))
    return np.where(turned, 1.0, change)


def datasets(cell: Cell, world: World, count: int, seed: int) -> Iterator[tuple[Sample, Floats]]:
    """Samples of one cell, and which of their examples bear the first group."""
    rng = np.random.default_rng([seed, cell.clusters, round(10 * cell.correlation), cell.multiple])
    for number in range(count):
        if number % PER_DESIGN == 0:
            found, first = design(rng, cell)
        change = changes(rng, found, first, cell, world)
        yield sample_of(found, change, number), first


def rates(cell: Cell, world: World, count: int) -> list[str]:
    """Coverage, false alarms and family-wise error of the chosen methods in one cell."""
    covers, covers_bias, alarms, alarms_bias, family, family_bias, spread, undefined = ([] for _ in range(8))
    for sample, _ in datasets(cell, world, count, 1):
        estimates = said_of(sample)
        forgetting, bias = estimates.forgetting[1:], estimates.biased[1:]
        covers += [e.low <= world.forgetting <= e.high for e in forgetting if np.isfinite(e.low)]
        covers_bias += [e.low <= 0 <= e.high for e in bias if np.isfinite(e.low)]
        undefined += [not np.isfinite(e.low) for e in bias]
        alarms += [e.p_value <= ERROR_RATE for e in forgetting]
        alarms_bias += [e.p_value <= ERROR_RATE for e in bias]
        family.append(any_shown(forgetting))
        family_bias.append(any_shown(bias))
        spread.append(disparity(sample, list(range(1, GROUPS + 1)))[0].p_value <= ERROR_RATE)
    none = world.forgetting == 0
    return [
        percent(covers), percent(alarms) if none else "", percent(family) if none else "", percent(covers_bias),
        percent(alarms_bias), percent(family_bias), percent(spread), percent(undefined),
    ]  # fmt: skip


def grid_table(cells: Sequence[Cell], worlds: Sequence[World], count: int) -> None:
    """Prints what `rates` finds in every cell and world."""
    print_head(
        "flips", "clusters a group", "correlation", "groups an example", "forgetting: coverage", "false alarms",
        "family-wise", "biased: coverage", "false alarms", "family-wise", "disparity: false alarms", "undefined",
    )  # fmt: skip
    for world, cell in itertools.product(worlds, cells):
        print_row(world, cell, *rates(cell, world, count))


def clustered_power_table(cells: Sequence[Cell], worlds: Sequence[World], count: int) -> None:
    """Prints how often each rule sees a biased forgetting of 5 points, and how often it sees what is not there."""
    print_head(
        "flips elsewhere", "clusters a group", "correlation", "groups an example", "detectable at 80 %",
        "chaintune: seen", "corrected: seen", "false alarms", "drop above 10 points: seen", "false alarms",
        "unpaired z: seen", "false alarms",
    )  # fmt: skip
    for world, cell in itertools.product(worlds, cells):
        columns: list[list[bool]] = [[] for _ in range(7)]
        least = []
        for sample, _ in datasets(cell, world, count, 3):
            estimates = said_of(sample)
            p_values, corrected = (np.array([e.p_value for e in estimates.biased[1:]]), estimates.biased[1].p_adjusted)
            fixed, unpaired = sample.value[1:] > 0.1, unpaired_p(sample)[1:] <= ERROR_RATE
            least.append(detectable_biased(sample, error_rate=ERROR_RATE)[1])
            seen = (p_values[0] <= ERROR_RATE, corrected <= ERROR_RATE, fixed[0], unpaired[0])
            for column, value in zip((0, 1, 3, 5), seen, strict=True):
                columns[column].append(bool(value))
            for column, values in zip((2, 4, 6), (p_values <= ERROR_RATE, fixed, unpaired), strict=True):
                columns[column].extend(values[1:])
        print_row(world, cell, f"{points(least)} points", *map(percent, columns))


def unpaired_p(sample: Sample, *, before: float = 0.6) -> Floats:
    """P-values of a z-test of group against rest that knows neither pairs nor clusters.

    Before and after are taken for independent samples, as when only accuracies are compared.
    """
    n = sample.design.n
    drop = np.stack([sample.value, (sample.value[0] * n[0] - sample.value * n) / np.maximum(n[0] - n, 1)])
    size = np.stack([n, np.maximum(n[0] - n, 1)])
    after = np.clip(before - drop, 0, 1)
    variance = ((before * (1 - before) + after * (1 - after)) / size).sum(axis=0)
    return np.asarray(2 * stats.norm.sf(np.abs(drop[0] - drop[1]) / np.sqrt(variance)))


def seeds_table(count: int) -> None:
    """Prints coverage when several seeds answer the same clusters."""
    print_head(
        "seeds", "seed effect", "cluster effect", "both", "forgetting: coverage, whole task", "a group",
        "biased: false alarms",
    )  # fmt: skip
    cell, limits = Cell(15, 0.0, multiple=False), np.asarray(stats.norm.ppf([0.8, 0.1]))
    for seeds, sizes in itertools.product(
        (2, 3, 5), ((0.0, 0.0, 0.0), (0.0, 0.4, 0.4), (0.15, 0.4, 0.3), (0.4, 0.4, 0.3))
    ):
        rng = np.random.default_rng(4)
        whole, group, alarms = [], [], []
        for number in range(count):
            if number % PER_DESIGN == 0:
                found, _ = design(rng, cell)
            latent = _latent(rng, found, seeds, sizes)
            change = 1.0 * (latent > limits[0]) - 1.0 * (latent < limits[1])
            estimates = said_of(sample_of(found, change, number))
            covers = [e.low <= 0.1 <= e.high for e in estimates.forgetting]
            whole.append(covers[0])
            group += covers[1:]
            alarms += [e.p_value <= ERROR_RATE for e in estimates.biased[1:]]
        print_row(seeds, *sizes, percent(whole), percent(group), percent(alarms))


def _latent(rng: Generator, found: Design, seeds: int, sizes: tuple[float, float, float]) -> Floats:
    """Standard normal inclinations to change, in which seeds, clusters and both together have a say."""
    total = len(found.sizes)
    of_seed, of_cluster, of_both = (size * rng.normal(size=shape) for size, shape in
                                    zip(sizes, ((seeds, 1), (1, total), (seeds, total)), strict=True))  # fmt: skip
    rest = np.sqrt(1 - sum(size**2 for size in sizes))
    return np.asarray(
        (of_seed + of_cluster + of_both)[:, found.clusters] + rest * rng.normal(size=(seeds, len(found.clusters)))
    )
