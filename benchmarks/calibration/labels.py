"""Labelling tasks, whose means are balanced over labels: how sure they are, and what they can show."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import sparse, stats

from benchmarks.calibration.clustered import PER_DESIGN, Cell, World, changes
from benchmarks.calibration.procedure import ERROR_RATE, LEVEL, Floats, any_shown, said_of, sample_of
from benchmarks.calibration.tables import print_head, print_row
from chaintune.records import Estimate
from chaintune.stats import (
    Design,
    Sample,
    biased,
    detectable_biased,
    detectable_means,
    disparity,
    means,
    needed_clusters,
)
from chaintune.stats import rates as levels
from chaintune.stats.latent import shift_to, thresholds

LABEL_GROUPS = 5
# Of what happens to an example, the share that its cluster decides.
SHARED = 0.35
LABEL_COLUMNS = (
    "whole", "group", "biased", "biased, one label", "of a label", "level", "false alarms", "family-wise", "disparity",
    "undefined",
)  # fmt: skip


@dataclass(frozen=True)
class LabelCell:
    """One kind of labelling task.

    Attributes:
        clusters: how many there are.
        mixed: whether one may hold several labels; else labels are tied to clusters.
        one_label: whether a group has the commonest label only.
        labels: how many there are; all but the commonest are as common as each other.
        share: of the commonest.
    """

    clusters: int
    mixed: bool
    one_label: bool
    labels: int = 2
    share: float = 0.75

    def __str__(self) -> str:
        several, one = "several" if self.mixed else "one", "yes" if self.one_label else "no"
        return f"{self.labels} | {self.share:.0%} | {self.clusters} | {several} | {one}"

    @property
    def shares(self) -> Floats:
        """Of each label. Shape: `[L]`."""
        return np.array([self.share, *[(1 - self.share) / (self.labels - 1)] * (self.labels - 1)])


CELL_HEAD = ("labels", "the commonest", "clusters", "labels a cluster", "a group of one label")
# What happens to the commonest label's examples, and to the others': alike, or what the mean of all hides.
LABEL_WORLDS: Mapping[str, tuple[World, World]] = {
    "alike": (World(0.15, 0.15), World(0.15, 0.15)),
    "uneven": (World(0.05, 0.20), World(0.50, 0.05)),
    "rare": (World(0.02, 0.02), World(0.10, 0.02)),
    "by rote": (World(0.0, 0.16), World(0.51, 0.0)),
}


def labelled(rng: Generator, cell: LabelCell) -> tuple[Design, NDArray[np.int64]]:
    """Clusters of a labelling task, five groups and those of dimension `label`, and each example's label."""
    clusters = np.repeat(np.arange(cell.clusters), rng.integers(1, 10, cell.clusters))
    if cell.mixed:
        label = rng.choice(cell.labels, len(clusters), p=cell.shares)
    else:
        ends = np.cumsum(cell.shares[::-1])[:-1] * cell.clusters
        label = cell.labels - 1 - np.searchsorted(ends, rng.permutation(cell.clusters), side="right")[clusters]
    group = rng.integers(0, LABEL_GROUPS, len(clusters))
    if cell.one_label:
        group = np.where((label > 0) & (group == 0), rng.integers(1, LABEL_GROUPS, len(clusters)), group)
    bears = np.zeros((len(clusters), LABEL_GROUPS + cell.labels))
    bears[np.arange(len(clusters)), group] = 1
    bears[np.arange(len(clusters)), LABEL_GROUPS + label] = 1
    only = {LABEL_GROUPS + 1 + code: f"label {code}" for code in range(cell.labels)}
    names = np.array([f"label {code}" for code in range(cell.labels)])[label]
    design = Design.of(clusters, sparse.csr_array(bears)).balanced_over(names, only, needed=needed_clusters(LEVEL))
    return design, label


def label_rates(cell: LabelCell, worlds: tuple[World, World], count: int) -> dict[str, float]:
    """Percent: coverage, false alarms and what is undefined of balanced means in one cell."""
    usual, other = (world.forgetting for world in worlds)
    weights = np.array([1, cell.labels - 1]) / cell.labels  # of the commonest label, and of the others together
    truth, columns = float(weights @ [usual, other]), list(range(1, LABEL_GROUPS + 1))
    seen: dict[str, list[bool]] = {name: [] for name in LABEL_COLUMNS}
    rng = np.random.default_rng([5, cell.clusters, cell.mixed, cell.one_label, cell.labels, round(100 * cell.share)])
    plain = Cell(cell.clusters, 0.2, multiple=False)
    for number in range(count):
        if number % PER_DESIGN == 0:
            found, code = labelled(rng, cell)
        nobody = np.zeros(len(code))
        both = [changes(rng, found, nobody, plain, world) for world in worlds]
        sample = sample_of(found, np.where(code > 0, both[1], both[0]), number)
        estimates = said_of(sample, ["group"] * LABEL_GROUPS + ["label"] * cell.labels)
        lost, bias = estimates.forgetting, estimates.biased
        groups = [(lost[k], bias[k]) for k in columns]
        seen["whole"] += [lost[0].low <= truth <= lost[0].high] if np.isfinite(lost[0].low) else []
        seen["group"] += [one.low <= truth <= one.high for one, _ in groups if np.isfinite(one.low)]
        seen["biased"] += [two.low <= 0 <= two.high for one, two in groups if np.isfinite(one.low)]
        seen["biased, one label"] += [two.low <= 0 <= two.high for one, two in groups
                                      if np.isfinite(two.low) and not np.isfinite(one.low)]  # fmt: skip
        seen["false alarms"] += [two.p_value <= ERROR_RATE for _, two in groups if np.isfinite(two.low)]
        seen["family-wise"].append(any_shown([two for _, two in groups]))
        label = bias[LABEL_GROUPS + cell.labels]
        seen["of a label"] += [label.low <= other - truth <= label.high] if np.isfinite(label.low) else []
        large = [k for k, (_, two) in enumerate(groups, start=1) if np.isfinite(two.low)]
        seen["disparity"] += [disparity(sample, large)[0].p_value <= ERROR_RATE] if len(large) > 1 else []
        seen["undefined"] += [not np.isfinite(one.low) for one, _ in groups]
        level = levels(found, np.where(sample.values > 0, 1.0, 0.0))[0]
        expected = float(weights @ [world.forgot for world in worlds])
        seen["level"] += [level.low <= expected <= level.high] if np.isfinite(level.low) else []
    return {name: 100 * float(np.mean(values)) if values else np.nan for name, values in seen.items()}


def labels_table(cells: Mapping[str, Sequence[LabelCell]], count: int) -> None:
    """Prints what `label_rates` finds in every cell of each world."""
    print_head("changes", *CELL_HEAD, *LABEL_COLUMNS)
    for name, several in cells.items():
        for cell in several:
            numbers = label_rates(cell, LABEL_WORLDS[name], count).values()
            print_row(name, cell, *("-" if np.isnan(number) else f"{number:.1f}" for number in numbers))


def label_power(cell: LabelCell, worlds: tuple[World, World], count: int) -> dict[str, tuple[float, float]]:
    """The smallest loss that is detectable, as the data say, and the percent of data sets that show one so large.

    Of the whole task, where all labels lose as much, and of the biased forgetting of two groups: one of all labels and
    the first, which may have one only. Each is tested at the error rate alone. All data sets have one design.
    """
    rng = np.random.default_rng([7, cell.clusters, cell.mixed, cell.one_label, cell.labels, round(100 * cell.share)])
    design, label = labelled(rng, cell)
    low, high = (np.array(part)[np.minimum(label, 1)] for part in
                 zip(*(thresholds(world.forgot, world.learned) for world in worlds), strict=True))  # fmt: skip
    losses = np.array([world.forgetting for world in worlds])[np.minimum(label, 1)]

    def drawn(target: Floats, number: int) -> Sample:
        shared, own = rng.normal(size=cell.clusters)[design.clusters], rng.normal(size=len(label))
        latent = np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * own + shift_to((low, high), target)
        return sample_of(design, 1.0 * (latent > high) - 1.0 * (latent < low), number)

    limits = []
    for number in range(max(count // 5, 2)):
        sample = drawn(losses, number)
        bias = detectable_biased(sample, error_rate=ERROR_RATE)
        limits.append([detectable_means(sample, error_rate=ERROR_RATE)[0], bias[LABEL_GROUPS], bias[1]])
    of_whole, *of_bias = np.median(limits, axis=0)
    lost = np.full_like(losses, of_whole)
    found = {"whole": (100 * of_whole, _shown(lambda number: means(drawn(lost, number))[0], count))}
    for name, column, limit in zip(("group", "first group"), (LABEL_GROUPS, 1), of_bias, strict=True):
        inside = design.members.toarray()[:, column] > 0
        outside = 1 - np.array([inside[label == code].mean() for code in range(cell.labels)])[label]
        planted = losses + np.where(inside, limit / outside, 0.0)
        estimate = partial(_bias_of, drawn, planted, column)
        found[name] = (100 * limit, _shown(estimate, count))
    return found


def _bias_of(drawn: Callable[[Floats, int], Sample], losses: Floats, column: int, number: int) -> Estimate:
    return biased(drawn(losses, number))[column]


def _shown(estimate: Callable[[int], Estimate], count: int) -> float:
    return 100 * float(np.mean([estimate(number).p_value <= ERROR_RATE for number in range(count)]))


def over_needed(power: float) -> float:
    """A detectable difference over the one that 80 % power takes, from its own power in percent."""
    usual = stats.norm.ppf(1 - ERROR_RATE / 2)
    return float((usual + stats.norm.ppf(np.clip(power / 100, 1e-3, 1 - 1e-3))) / (usual + stats.norm.ppf(0.8)))


def label_power_table(cells: Mapping[str, Sequence[LabelCell]], count: int) -> None:
    """Prints detectable differences, the power for them, and how they compare with what 80 % takes."""
    parts = ("whole", "group", "first group")
    print_head("changes", *CELL_HEAD, *(f"{part}: {what}" for part in parts for what in ("points", "power", "ratio")))
    for name, several in cells.items():
        for cell in several:
            found = label_power(cell, LABEL_WORLDS[name], count)
            shown = ((f"{least:.1f}", f"{rate:.1f}", f"{over_needed(rate):.2f}") for least, rate in found.values())
            print_row(name, cell, *itertools.chain.from_iterable(shown))
