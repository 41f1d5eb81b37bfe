"""Scaled margins beside accuracy: how often each shows that a group lost more, and where margins mislead.

The margins are normal, alike within clusters and correlated between the two checkpoints; a choice is right where its
margin is positive. They are scaled as chaintune does it, by all of a checkpoint's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import sparse
from scipy.stats import norm

from benchmarks.calibration.procedure import ERROR_RATE, Floats, any_shown, said_of, sample_of
from benchmarks.calibration.tables import percent, print_head, print_row
from chaintune.records import Estimate
from chaintune.records.margins import scaled_margins
from chaintune.stats import Design

BEFORE, AFTER, MORE = 0.70, 0.65, 0.10
# Correlation of the margins of one cluster, and of one example's before and after.
WITHIN, BETWEEN = 0.2, 0.8
CLUSTER_SIZE = 5


@dataclass(frozen=True)
class MarginWorld:
    """What happens to the margins of a task of several groups.

    Attributes:
        groups: how many there are.
        items: examples of each.
        after: accuracy after, of every group but the first; before, all have the same.
        first: accuracy after of the first group.
        factor: that the first group's margins are multiplied by in the end, which turns no answer.
        group: the one whose biased forgetting is counted, from 1.
    """

    groups: int
    items: int
    after: float
    first: float
    factor: float = 1.0
    group: int = 1

    def design(self) -> Design:
        """Clusters and groups."""
        rows = np.arange(self.groups * self.items)
        return Design.of(rows // CLUSTER_SIZE, sparse.csr_array((np.ones(len(rows)), (rows, rows // self.items))))

    def draw(self, rng: Generator) -> tuple[Floats, Floats]:
        """The margin of each example before and after. Shape: `[E]` each."""
        rows = np.arange(self.groups * self.items)
        first = rows < self.items
        common = rng.normal(size=(2, len(rows) // CLUSTER_SIZE))[:, rows // CLUSTER_SIZE]
        one, other = np.sqrt(WITHIN) * common + np.sqrt(1 - WITHIN) * rng.normal(size=(2, len(rows)))
        later = BETWEEN * one + np.sqrt(1 - BETWEEN**2) * other
        after = norm.ppf(np.where(first, self.first, self.after)) + later
        return norm.ppf(BEFORE) + one, np.where(first, self.factor, 1.0) * after


WORLDS: Mapping[str, MarginWorld] = {
    "all groups lose 5 points": MarginWorld(11, 100, AFTER, AFTER),
    "the first of them loses 10 more": MarginWorld(11, 100, AFTER, AFTER - MORE),
    "half the margins triple; the other half": MarginWorld(2, 550, BEFORE, BEFORE, factor=3.0, group=2),
}


def right(margins: Floats) -> Floats:
    """1 where the choice is right. Shape: `[E]`."""
    return np.asarray(margins > 0, dtype=np.float64)


def scaled(margins: Floats) -> Floats:
    """The scaled margin of each example. Shape: `[E]`."""
    return np.asarray(scaled_margins(margins)["score"], dtype=np.float64)


SCORES: Mapping[str, Callable[[Floats], Floats]] = {"accuracy": right, "scaled margins": scaled}


@dataclass(frozen=True)
class Tally:
    """How often the biased forgetting of a group was shown, and that of others, by one item metric."""

    size: list[float]
    shown: list[bool]
    alone: list[bool]
    others: list[bool]
    any_other: list[bool]

    @classmethod
    def of(cls, world: MarginWorld, count: int) -> "Mapping[str, Tally]":
        """The same data sets of a world by each item metric."""
        tallies = {name: cls([], [], [], [], []) for name in SCORES}
        rng, design = np.random.default_rng([6, world.groups, round(100 * world.first)]), world.design()
        for number in range(count):
            before, after = world.draw(rng)
            for name, score in SCORES.items():
                tallies[name].add(said_of(sample_of(design, score(before) - score(after), number)).biased, world.group)
        return tallies

    def add(self, bias: Sequence[Estimate], group: int) -> None:
        """Count one data set."""
        own, rest = bias[group], [one for number, one in enumerate(bias) if number not in (0, group)]
        self.size.append(own.value)
        self.shown.append(own.p_adjusted <= ERROR_RATE)
        self.alone.append(own.p_value <= ERROR_RATE)
        self.others.extend(one.p_value <= ERROR_RATE for one in rest)
        self.any_other.append(any_shown(rest))


def margins_table(count: int) -> None:
    """Prints, of each world and item metric, how often biased forgetting is shown."""
    print_head(
        "world", "by", "biased forgetting, mean", "shown", "p at most .05", "others: p at most .05", "any other shown"
    )
    for name, world in WORLDS.items():
        for metric, seen in Tally.of(world, count).items():
            rates = map(percent, (seen.shown, seen.alone, seen.others, seen.any_other))
            print_row(name, metric, f"{np.mean(seen.size):+.3f}", *rates)
