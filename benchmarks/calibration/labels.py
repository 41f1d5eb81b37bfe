"""Labelling tasks of 75:25 labels, whose means are balanced over labels."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.calibration.clustered import PER_DESIGN, Cell, World, changes
from benchmarks.calibration.procedure import ERROR_RATE, any_shown, said_of, sample_of
from benchmarks.calibration.tables import print_head, print_row
from chaintune.stats import Design, disparity, needed_clusters
from chaintune.stats import rates as levels

LABEL_GROUPS = 5
LABEL_COLUMNS = (
    "whole", "group", "biased", "biased, one label", "of a label", "level", "false alarms", "family-wise", "disparity",
    "undefined",
)  # fmt: skip


@dataclass(frozen=True)
class LabelCell:
    """How many clusters there are, whether one may hold both labels, and whether a group has one label only."""

    clusters: int
    mixed: bool
    one_label: bool

    def __str__(self) -> str:
        return f"{self.clusters} | {'both' if self.mixed else 'one'} | {'yes' if self.one_label else 'no'}"


# What happens to the commoner label's examples, and to the other's: alike, or what the mean of all hides.
LABEL_WORLDS: Mapping[str, tuple[World, World]] = {
    "alike": (World(0.15, 0.15), World(0.15, 0.15)),
    "uneven": (World(0.05, 0.20), World(0.50, 0.05)),
    "rare": (World(0.02, 0.02), World(0.10, 0.02)),
    "by rote": (World(0.0, 0.16), World(0.51, 0.0)),
}


def labelled(rng: Generator, cell: LabelCell) -> tuple[Design, NDArray[np.bool_]]:
    """Clusters of a labelling task, five groups and those of dimension `label`, and who bears the rarer label."""
    clusters = np.repeat(np.arange(cell.clusters), rng.integers(1, 10, cell.clusters))
    if cell.mixed:
        rarer = rng.random(len(clusters)) < 0.25
    else:
        rarer = rng.permutation(np.arange(cell.clusters) < cell.clusters / 4)[clusters]
    group = rng.integers(0, LABEL_GROUPS, len(clusters))
    if cell.one_label:
        group = np.where(rarer & (group == 0), rng.integers(1, LABEL_GROUPS, len(clusters)), group)
    bears = np.zeros((len(clusters), LABEL_GROUPS + 2))
    bears[np.arange(len(clusters)), group] = 1
    bears[np.arange(len(clusters)), LABEL_GROUPS + rarer] = 1
    names = np.where(rarer, "rarer", "usual")
    only = {LABEL_GROUPS + 1: "usual", LABEL_GROUPS + 2: "rarer"}
    return Design.of(clusters, sparse.csr_array(bears)).balanced_over(names, only, needed=needed_clusters(0.95)), rarer


def label_rates(cell: LabelCell, worlds: tuple[World, World], count: int) -> dict[str, float]:
    """Percent: coverage, false alarms and what is undefined of balanced means in one cell."""
    usual, other = (world.forgetting for world in worlds)
    truth, columns = (usual + other) / 2, list(range(1, LABEL_GROUPS + 1))
    seen: dict[str, list[bool]] = {name: [] for name in LABEL_COLUMNS}
    rng = np.random.default_rng([5, cell.clusters, cell.mixed, cell.one_label])
    plain = Cell(cell.clusters, 0.2, multiple=False)
    for number in range(count):
        if number % PER_DESIGN == 0:
            found, rarer = labelled(rng, cell)
        nobody = np.zeros(len(rarer))
        both = [changes(rng, found, nobody, plain, world) for world in worlds]
        sample = sample_of(found, np.where(rarer, both[1], both[0]), number)
        estimates = said_of(sample, ["group"] * LABEL_GROUPS + ["label"] * 2)
        lost, bias = estimates.forgetting, estimates.biased
        groups = [(lost[k], bias[k]) for k in columns]
        seen["whole"].append(lost[0].low <= truth <= lost[0].high)
        seen["group"] += [one.low <= truth <= one.high for one, _ in groups if np.isfinite(one.low)]
        seen["biased"] += [two.low <= 0 <= two.high for one, two in groups if np.isfinite(one.low)]
        seen["biased, one label"] += [two.low <= 0 <= two.high for one, two in groups
                                      if np.isfinite(two.low) and not np.isfinite(one.low)]  # fmt: skip
        seen["false alarms"] += [two.p_value <= ERROR_RATE for _, two in groups if np.isfinite(two.low)]
        seen["family-wise"].append(any_shown([two for _, two in groups]))
        label = bias[LABEL_GROUPS + 2]
        seen["of a label"].append(label.low <= other - truth <= label.high)
        large = [k for k, (_, two) in enumerate(groups, start=1) if np.isfinite(two.low)]
        seen["disparity"] += [disparity(sample, large)[0].p_value <= ERROR_RATE] if len(large) > 1 else []
        seen["undefined"] += [not np.isfinite(one.low) for one, _ in groups]
        level = levels(found, np.where(sample.values > 0, 1.0, 0.0))[0]
        expected = (worlds[0].forgot + worlds[1].forgot) / 2
        seen["level"].append(level.low <= expected <= level.high)
    return {name: 100 * float(np.mean(values)) if values else np.nan for name, values in seen.items()}


def labels_table(cells: Sequence[LabelCell], count: int) -> None:
    """Prints what `label_rates` finds in every cell and world."""
    print_head("changes", "clusters", "labels a cluster", "a group of one label", *LABEL_COLUMNS)
    for (name, worlds), cell in itertools.product(LABEL_WORLDS.items(), cells):
        numbers = label_rates(cell, worlds, count).values()
        shown = ("-" if np.isnan(number) else f"{number:.1f}" for number in numbers)
        print_row(name, cell, *shown)
