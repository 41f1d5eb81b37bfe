"""Power of a comparison on a task's examples, before anything is trained or scored."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from chaintune.records import Example, Reference
from chaintune.records.examples import LABEL
from chaintune.stats import Design, Flips, needed_clusters
from chaintune.stats.planned import Layout
from chaintune.stats.power import POWER

# What is taken where nothing is said: flips between two checkpoints of a small model, one training apart.
FLIPS = Flips(0.12, 0.08, 0.1, seed_sd=0.03, group_seed_sd=0.03)
LEVEL = 0.95

GroupsOf = Callable[[Example], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Needed:
    """How many examples show a loss with 80 % power.

    Attributes:
        count: of each group, or of the whole task; None where the data has fewer.
        most: that the data has of each, so the size of its smallest group.
        scarce: that group; empty of the whole task.
        power: with that many, in the group where it is least.
        points: the smallest loss, in halves of a point, that `most` show with 80 % power; None where none is.
        about: where there are fewer, how many it would take if more clusters were like those there are; None where no
            number would do.
    """

    count: int | None
    most: int
    scarce: str
    power: float
    points: float | None
    about: int | None


def counts_flips(examples: Sequence[Example], measures: Sequence[str]) -> bool:
    """Whether what is measured first are shares of what is right, of which flips and this power speak.

    Args:
        examples: that are tested.
        measures: that were named for them, the first deciding; none is what suits them.
    """
    references = any(isinstance(example.target, Reference) for example in examples)
    return measures[0] != "likelihood" if measures else not references


def layout_of(examples: Sequence[Example], groups_of: GroupsOf | None, *, balanced: bool) -> Layout:
    """How examples lie in clusters: of each group's biased loss, or of the whole task's without `groups_of`."""
    borne = [sorted(set(groups_of(example))) if groups_of else [] for example in examples]
    places = {name: place for place, name in enumerate(sorted({name for names in borne for name in names}))}
    rows = np.repeat(np.arange(len(examples)), [len(names) for names in borne])
    columns = [places[name] for names in borne for name in names]
    members = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(examples), len(places)))
    codes = np.unique([example.cluster for example in examples], return_inverse=True)[1].astype(np.int64)
    design = Design.of(codes, members)
    if balanced:
        labels = np.array([example.groups[LABEL][0] for example in examples])
        design = design.balanced_over(labels, {}, needed=needed_clusters(LEVEL))
    return Layout.groups(design, level=LEVEL) if groups_of else Layout.whole(design, level=LEVEL)


def needed_for(
    orders: Mapping[str, Sequence[Example]], groups_of: GroupsOf | None, points: float, *, balanced: bool, flips: Flips
) -> Needed:
    """How many examples of each group, in the order in which a sample takes them, show a loss with 80 % power.

    Args:
        orders: group -> its examples; of the whole task one order.
        groups_of: the groups of an example; None is the whole task.
        points: of the loss.
        balanced: whether scores are balanced over gold labels.
        flips: where nothing is lost.
    """
    most = min(map(len, orders.values()), default=0)
    scarce = min(orders, key=lambda name: len(orders[name]), default="")

    def layout(count: int) -> Layout:
        taken = {example.id: example for order in orders.values() for example in order[:count]}
        return layout_of(list(taken.values()), groups_of, balanced=balanced)

    def power(count: int) -> float:
        return float(layout(count).power(flips, points / 100, level=LEVEL).min(initial=1.0)) if count else 0.0

    low, high = 0, min(8, most)
    while high < most and not power(high) >= POWER:
        low, high = high, min(2 * high, most)
    reached = power(high)
    if not reached >= POWER:
        return (
            _too_few(layout(most), most, scarce, reached, points, flips)
            if most
            else Needed(None, 0, scarce, 0.0, None, None)
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return Needed(high, most, scarce, power(high), points, high)


def _too_few(layout: Layout, most: int, scarce: str, power: float, points: float, flips: Flips) -> Needed:
    """What the whole of the data would show, and what more would."""
    times, limits = layout.growth(flips, points / 100, level=LEVEL), layout.detectable(flips, level=LEVEL)
    largest, limit = (float(values.max(initial=0.0)) for values in (times, limits))
    return Needed(
        None,
        most,
        scarce,
        power,
        math.ceil(200 * limit + 1e-3) / 2 if math.isfinite(limit) else None,
        math.ceil(most * largest) if math.isfinite(largest) else None,
    )
