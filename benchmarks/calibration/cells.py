"""Named cells of simulated answers: how templates lie in groups, and what two checkpoints can do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

import numpy as np

from benchmarks.calibration.procedure import Floats, Said, said_of, sample_of
from benchmarks.irt import Layout, World
from chaintune.stats import Sample

QUICKSTART = Layout.even(11, 15, 2)
HUNDRED = Layout.even(11, 25, 4)
LARGE = Layout.even(11, 25, 20)
BBQ_LIKE = Layout.of([np.linspace(4, 32, 25).round().astype(int).tolist()] * 11)
ONE_GIANT = Layout.of([[100] + [2] * 24] * 11)
TWO_GIANTS = Layout.of([[60] * 2 + [4] * 10] * 11)
UNEVEN = Layout.of([[items] * templates for templates, items in zip(
    (6, 8, 10, 13, 18, 25, 36, 50, 70, 100), (2, 3, 4, 5, 6, 8, 10, 12, 16, 20), strict=True)])  # fmt: skip
MOST_IN_ONE = Layout.of([[4] * 400] + [[4] * 10] * 10)
LONE_ITEMS = Layout.even(3, 100, 1)
LARGE_AND_SMALL = Layout.of([[20] * 5 + [2] * 20] * 11)
BASES = np.linspace(0.97, 0.3, 11).tolist()

# About a fifth of the answers change, hardly more alike within a template than between; so they do as well.
USUAL = World(noise=0.55, change=0.2)
TOGETHER = World(noise=0.35, change=0.7)
# Nearly all that changes are the templates that are lost whole.
QUIET = World(noise=0.05, change=0.05)
BUSY = World(noise=0.27, change=0.1)


def overlapping(groups: int, templates: int, items: int) -> Layout:
    """Groups of which each template bears two."""
    number = np.arange(groups * templates // 2)
    first = number % groups
    other = (first + 1 + number // groups % (groups - 1)) % groups
    bears = (first[:, None] == np.arange(groups)) | (other[:, None] == np.arange(groups))
    return Layout(np.full(len(number), items, dtype=np.int64), bears)


@dataclass(frozen=True, eq=False)
class Cell:
    """One kind of data.

    Attributes:
        name: for the table.
        layout: of its templates.
        world: that answers.
        clusters: whether the templates are known as clusters.
        seeds: checkpoints of each recipe.
        share_seeds: whether the groups share the variance between seeds, as they do by default.
    """

    name: str
    layout: Layout
    world: World
    clusters: bool = True
    seeds: int = 1
    share_seeds: bool = True
    truth: Floats = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "truth", self.world.forgetting(self.layout))

    @property
    def nothing_lost(self) -> bool:
        """Whether no group forgets anything on average."""
        return bool(np.abs(self.truth).max() < 1e-9)

    @property
    def alike(self) -> bool:
        """Whether all groups forget alike."""
        return bool(np.ptp(self.truth) < 1e-9)

    def datasets(self, count: int) -> Iterator[tuple[Sample, Said]]:
        """Samples of the cell, the same ones whatever else is drawn, and what is said of them."""
        rng, design = np.random.default_rng(crc32(self.name.encode())), self.layout.design(clusters=self.clusters)
        design = design if self.share_seeds else replace(design, pools=None)
        for number in range(count):
            sample = sample_of(design, self.world.changes(rng, self.layout, self.seeds), number)
            yield sample, said_of(sample)


def correlation(sample: Sample, layout: Layout) -> float:
    """Correlation of the changes of two items of a template, about the mean of its first group."""
    group = layout.members.argmax(axis=1)[layout.templates]
    values = sample.values - (np.bincount(group, sample.values) / np.maximum(np.bincount(group), 1))[group]
    squares = float((values**2).sum())
    pairs = float((layout.sizes**2 - layout.sizes).sum()) * squares / len(values)
    between = float((np.bincount(layout.templates, values) ** 2).sum()) - squares
    return between / pairs if pairs > 0 else 0.0


def of_seeds(cell: Cell, seeds: int) -> Cell:
    """The same cell with several seeds, which move the whole by about 5 points, and each group by about 3."""
    return replace(
        cell, name=f"{seeds} seeds: {cell.name}", world=replace(cell.world, seed=0.17, seed_group=0.1), seeds=seeds
    )


def losing(world: World, loss: float | Floats, base: float | Floats = 0.7) -> World:
    """The same world with another accuracy before, and a loss of it."""
    return replace(world, base=base, loss=loss)


def lost_whole(world: World, share: float, base: float = 0.7) -> World:
    """The same world, in which a share of the templates is lost whole."""
    return replace(world, base=base, lost_whole=share)


COVERAGE: Sequence[Cell] = [
    Cell("quickstart, 11 x 15 x 2", QUICKSTART, USUAL),
    Cell("BBQ-like, 25 templates of 4 to 32", BBQ_LIKE, USUAL),
    Cell("same, changes together", BBQ_LIKE, TOGETHER),
    Cell("one giant template a group", ONE_GIANT, USUAL),
    Cell("two giants of 12", TWO_GIANTS, USUAL),
    Cell("10 groups of 12 to 2,000 items", UNEVEN, USUAL),
    Cell("same, all lose 5", UNEVEN, losing(USUAL, 0.05)),
    Cell("overlapping groups", overlapping(11, 26, 4), USUAL),
    Cell("0.97 before, nothing lost", HUNDRED, losing(World(noise=0.4), 0.0, 0.97)),
    Cell("0.97 before, all lose 3", HUNDRED, losing(World(noise=0.4), 0.03, 0.97)),
    Cell("near chance (0.38 of 1/3)", HUNDRED, World(base=0.38, guessing=1 / 3)),
    Cell("bases 0.97 to 0.30, all lose 5, 25 templates", HUNDRED, losing(USUAL, 0.05, HUNDRED.by_group(BASES))),
    Cell("same, 12 templates", Layout.even(11, 12, 4),
         losing(USUAL, 0.05, Layout.even(11, 12, 4).by_group(BASES))),
    Cell("one group holds 80 %", MOST_IN_ONE, USUAL),
    Cell("no clusters, 3 x 100", LONE_ITEMS, USUAL),
    Cell("large templates lose 10, small ones nothing", LARGE_AND_SMALL,
         losing(USUAL, np.where(LARGE_AND_SMALL.sizes > 2, 0.1, 0.0))),
    Cell("misuse: clusters of 8 not named", Layout.even(11, 25, 8), TOGETHER, clusters=False),
]  # fmt: skip

UPPER_ENDS: Sequence[Cell] = [
    Cell("4 % lost whole, x 20, some flips", LARGE, lost_whole(BUSY, 0.04)),
    Cell("4 % lost whole, x 20, few flips", LARGE, lost_whole(QUIET, 0.04)),
    Cell("4 % lost whole, x 4, few flips", HUNDRED, lost_whole(QUIET, 0.04)),
    Cell("10 % lost whole, x 8, some flips", Layout.even(11, 25, 8), lost_whole(BUSY, 0.1)),
    Cell("5 % lost whole, x 100, 0.80 before", Layout.even(11, 25, 100),
         lost_whole(World(noise=0.1, change=0.1), 0.05, 0.8)),
    Cell("0.97 loses 3, x 8, changes together", Layout.even(11, 25, 8),
         losing(World(noise=0.3, change=0.8), 0.03, 0.97)),
    Cell("0.97 loses 3, x 4", HUNDRED, losing(World(noise=0.4, change=0.1), 0.03, 0.97)),
    Cell("0.995 loses 1, x 4", HUNDRED, losing(World(noise=0.4, change=0.1), 0.01, 0.995)),
    Cell("quickstart, nothing lost", QUICKSTART, USUAL),
    Cell("quickstart, all lose 15", QUICKSTART, losing(USUAL, 0.15)),
    Cell("one giant template a group, all lose 5", ONE_GIANT, losing(USUAL, 0.05)),
    Cell("10 groups of 12 to 2,000 items, all lose 5", UNEVEN, losing(USUAL, 0.05)),
    Cell("11 x 25 x 4, all lose 2", HUNDRED, losing(USUAL, 0.02)),
    Cell("11 x 100 x 4, all lose 2", Layout.even(11, 100, 4), losing(USUAL, 0.02)),
    Cell("11 x 100 x 20, all lose 2, few flips", Layout.even(11, 100, 20), losing(World(noise=0.1, change=0.1), 0.02)),
    Cell("0.97 loses 2, x 4", HUNDRED, losing(World(noise=0.4, change=0.1), 0.02, 0.97)),
]  # fmt: skip

SEVERAL_SEEDS = [of_seeds(cell, seeds) for seeds in (3, 5) for cell in COVERAGE if "misuse" not in cell.name]
UPPER_ENDS_OF_SEEDS = [of_seeds(cell, seeds) for seeds in (3, 5) for cell in UPPER_ENDS]
