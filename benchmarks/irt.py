"""Answers of two checkpoints to the same items, by a probit model whose truth is known: two-parameter item response.

An item is answered right when what the checkpoint can do exceeds the item's difficulty and a fresh error. Difficulties
of templates and of items are shared by before and after; the error is drawn anew for each item and checkpoint, and
counts less for items that discriminate well. Afterwards each template's answers move together by a change of its own.
Expected accuracies are means of the normal distribution function, so expected forgetting needs no simulation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse, special

from chaintune.stats import Design

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Items discriminate in one of these ways, equally often; the error is divided by it.
DISCRIMINATIONS = np.array([0.7, 1.0, 1.4])


@dataclass(frozen=True, eq=False)
class Layout:
    """Templates with their items, and the groups that they bear.

    Shape: sizes `[T]`, members `[T, G]`.
    """

    sizes: Integers
    members: NDArray[np.bool_]

    @classmethod
    def of(cls, sizes: Sequence[Sequence[int]]) -> "Layout":
        """Groups that share no template.

        Args:
            sizes: of each group's templates, in items.
        """
        home = np.repeat(np.arange(len(sizes)), [len(own) for own in sizes])
        return cls(np.concatenate(sizes).astype(np.int64), home[:, None] == np.arange(len(sizes)))

    @classmethod
    def even(cls, groups: int, templates: int, items: int) -> "Layout":
        """Groups of equally many templates of equally many items."""
        return cls.of([[items] * templates] * groups)

    @property
    def templates(self) -> Integers:
        """Template of each item. Shape: `[E]`."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def design(self, *, clusters: bool = True) -> Design:
        """Templates are the clusters; without, every item is one of its own. The groups are those of one dimension."""
        own = self.templates
        design = Design.of(own if clusters else np.arange(len(own)), sparse.csr_array(1.0 * self.members[own]))
        return replace(design, pools=np.minimum(np.arange(design.members.shape[1]), 1))

    def by_group(self, values: Sequence[float]) -> Floats:
        """A value of each group as one of each template, that of the first group it bears. Shape: `[T]`."""
        return np.asarray(np.asarray(values, dtype=np.float64)[self.members.argmax(axis=1)])

    def means(self, values: Floats) -> Floats:
        """Means over the items of the whole and of each group. Shape: values `[T]`, result `[1 + G]`."""
        weights = self.sizes[:, None] * np.column_stack([np.ones(len(self.sizes)), self.members])
        return np.asarray(np.broadcast_to(values, self.sizes.shape) @ weights / weights.sum(axis=0))


@dataclass(frozen=True, eq=False)
class World:
    """What the two checkpoints can do, and what scatters. Difficulties have variance 1, which is the unit of all SDs.

    Attributes:
        base: expected accuracy before, of all templates or of each.
        loss: what is lost of it in templates that are not lost whole.
        alike: share of the variance of difficulties that lies between templates.
        noise: SD of the error of an item that discriminates as the middle one does.
        change: SD of a template's own change.
        guessing: probability that an item is right by luck where it is not by skill.
        lost_whole: share of templates of which every answer is wrong afterwards.
        seed: SD of a seed's effect on all that it answers afterwards.
        seed_group: SD of its effect on a group, of all groups or of each template's.

    Shape: base, loss and seed_group are numbers or `[T]`.
    """

    base: float | Floats = 0.7
    loss: float | Floats = 0.0
    alike: float = 0.3
    noise: float = 0.4
    change: float = 0.2
    guessing: float = 0.0
    lost_whole: float = 0.0
    seed: float = 0.0
    seed_group: float | Floats = 0.0

    def forgetting(self, layout: Layout) -> Floats:
        """Expected forgetting of the whole and of each group. Shape: `[1 + G]`."""
        base = np.broadcast_to(self.base, layout.sizes.shape)
        return layout.means(base - (1 - self.lost_whole) * (base - self.loss))

    def answers(self, rng: np.random.Generator, layout: Layout, seeds: int = 1) -> tuple[Floats, Floats]:
        """Whether each item is right before and after, under each seed: 1 or 0. Shape: both `[S, E]`."""
        own, count = layout.templates, len(layout.sizes)
        between, within = np.sqrt([self.alike, 1 - self.alike])
        difficulty = (between * rng.standard_normal(count))[own] + within * rng.standard_normal(len(own))
        errors = self.noise / rng.choice(DISCRIMINATIONS, len(own))
        moved = self.change * rng.standard_normal(count) + self.seed * rng.standard_normal((seeds, 1))
        of_groups = rng.standard_normal((seeds, layout.members.shape[1]))[:, layout.members.argmax(axis=1)]
        moved = moved + self.seed_group * of_groups
        whole = rng.random(count) < self.lost_whole

        def right(ability: Floats) -> Floats:
            solved = ability - difficulty + errors * rng.standard_normal((seeds, len(own))) > 0
            return np.asarray(1.0 * (solved | (rng.random((seeds, len(own))) < self.guessing)))

        before = right(np.broadcast_to(self.ability(self.base, 0.0), count)[own])
        spread = self.change**2 + self.seed**2 + np.square(self.seed_group)
        able = np.broadcast_to(self.ability(np.subtract(self.base, self.loss), spread), count)
        return before, np.asarray(right((able + moved)[:, own]) * ~whole[own])

    def changes(self, rng: np.random.Generator, layout: Layout, seeds: int = 1) -> Floats:
        """What happened to each item under each seed: 1 forgotten, -1 learned, 0 neither. Shape: `[S, E]`."""
        before, after = self.answers(rng, layout, seeds)
        return before - after

    def ability(self, accuracy: float | Floats, spread: float | Floats) -> Floats:
        """What answers items at an expected accuracy. Shape: accuracy, spread and result alike.

        Args:
            accuracy: guesses among it.
            spread: variance of what moves templates and groups.
        """
        skilled = (np.asarray(accuracy) - self.guessing) / (1 - self.guessing)
        pairs = np.stack(np.broadcast_arrays(skilled, spread), axis=-1)
        kinds, codes = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
        roots = np.array([_ability(self.noise, *kind) for kind in kinds.tolist()])
        return np.asarray(roots[codes].reshape(pairs.shape[:-1]))


@cache
def _ability(noise: float, accuracy: float, spread: float) -> float:
    deviations = np.sqrt(1 + (noise / DISCRIMINATIONS) ** 2 + spread)
    root = optimize.brentq(lambda ability: special.ndtr(ability / deviations).mean() - accuracy, -20, 20)
    return float(root)
