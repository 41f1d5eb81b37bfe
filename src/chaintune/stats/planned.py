"""Power of a comparison before anything is measured: from its clusters and stated flips, by a formula.

What is in `simulation` a draw is here its expectation: the error of a mean or of a difference follows from how the
examples lie in clusters, how often they flip and how alike those of one cluster do.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from chaintune.stats import latent
from chaintune.stats.clusters import Design, Floats
from chaintune.stats.contrasts import SCATTER_FLOOR
from chaintune.stats.detectable import Prospect
from chaintune.stats.multiplicity import one_test
from chaintune.stats.power import POWER, SeedScatter, Tests, effective_clusters
from chaintune.stats.sample import needed_clusters
from chaintune.stats.simulation import Flips

MOST_SEEDS = 20
# Share of the other groups' degrees of freedom that a moderated variance gains where they scatter alike, by simulation;
# all of them with two seeds.
_MODERATED = 0.5


@dataclass(frozen=True, eq=False)
class Layout:
    """How the examples of estimates lie: what each example and each cluster adds to an estimate.

    Attributes:
        squares: sum of the squared influences of each cluster's examples.
        sums: sum of the influences of each cluster's examples.
        worth: clusters of equal share in each estimate.
        steady: share of the squares that lies outside the group.
        scale: what an estimate becomes when only the group's examples lose, and lose 1.
        alone: whether each is a mean with no larger whole to be held against.
        enough: whether there are the clusters that a test needs.
        tests: how many are corrected together.

    Shape: squares and sums `[C, K]`, the others `[K]`.
    """

    squares: Floats
    sums: Floats
    worth: Floats
    steady: Floats
    scale: Floats
    alone: bool
    enough: NDArray[np.bool_]
    tests: int

    @classmethod
    def whole(cls, design: Design, *, level: float = 0.95) -> "Layout":
        """Of the whole task's forgetting."""
        sizes = _sizes(design)[:, :, :1]
        counts = np.ones((1, 1)) if design.labels is None else design.labels.shares[:, :1]
        inside = counts / np.maximum(sizes.sum(axis=1), 1)
        sums = (inside[:, None] * sizes).sum(axis=0)
        enough = (design.own_clusters[:1] >= needed_clusters(level)) & (design.own_n[:1] > 0)
        squares = (inside[:, None] ** 2 * sizes).sum(axis=0)
        return cls(squares, sums, effective_clusters(sums), np.zeros(1), np.ones(1), True, enough, 1)

    @classmethod
    def groups(cls, design: Design, *, level: float = 0.95) -> "Layout":
        """Of the biased forgetting of each group but the whole task, relative to it; the groups are one family."""
        sizes = _sizes(design)
        whole, within = sizes[:, :, :1], sizes[:, :, 1:]
        beside = whole - within
        n, n_whole = np.maximum(within.sum(axis=1), 1), np.maximum(whole.sum(axis=1), 1)
        if design.labels is None:
            counts = np.ones((1, 1))
        else:
            compared = design.labels.compared[:, 1:]
            counts = compared / np.maximum(compared.sum(axis=0), 1)
        inside, outside = counts * (1 / n - 1 / n_whole), -counts / n_whole  # [L, K]
        apart = (outside[:, None] ** 2 * beside).sum(axis=0)
        squares = (inside[:, None] ** 2 * within).sum(axis=0) + apart
        sums = (inside[:, None] * within + outside[:, None] * beside).sum(axis=0)
        scale = (inside * n).sum(axis=0)
        columns = range(1, design.members.shape[1])
        tests = max(one_test(design, columns, complementary=True), default=0) + 1
        needed = needed_clusters(1 - (1 - level) / tests)
        enough = (design.n_clusters[1:] >= needed) & (design.n_outside[1:] >= needed) & (scale > 1e-12)
        total = squares.sum(axis=0)
        steady = np.divide(apart.sum(axis=0), total, out=np.ones_like(total), where=total > 0)
        return cls(squares, sums, effective_clusters(squares), steady, scale, False, enough, tests)

    def power(
        self, flips: Flips, effect: float, *, level: float = 0.95, seeds: int = 1, times: float | Floats = 1.0
    ) -> Floats:
        """Probability that a true value is shown; 0 where clusters are too few, NaN where it cannot be.

        Args:
            flips: where nothing is planted.
            effect: the true value: forgetting of the whole task, biased forgetting of a group.
            level: of the intervals.
            seeds: of the trainings, crossed with the clusters.
            times: as many more clusters of the same kind, and examples in them.

        Shape: result `[K]`.
        """
        seen = self._prospect(flips, level, seeds)
        tests = seen.tests.grown(np.broadcast_to(times, seen.scale.shape))
        shown = replace(seen, tests=tests).power(effect)
        return np.where(self.enough, shown, 0.0)

    def growth(self, flips: Flips, effect: float, *, level: float = 0.95) -> Floats:
        """How many times the examples, in clusters of the same kind, show a true value with 80 % probability.

        Shape: result `[K]`.

        Undefined: NaN where no reasonable number does, or clusters are too few to tell.
        """
        return np.where(self.enough, self._prospect(flips, level, 1).growth(effect), np.nan)

    def detectable(self, flips: Flips, *, level: float = 0.95) -> Floats:
        """Smallest true value that one training shows with 80 % probability; NaN where none is. Shape: `[K]`."""
        return self._prospect(flips, level, 1).detectable()

    def _prospect(self, flips: Flips, level: float, seeds: int) -> Prospect:
        """What tests of a comparison of so many seeds can show."""
        variance, repeated = float(latent.variance(flips.thresholds, 0.0)), flips.repeated
        common = repeated + (1 - repeated) / seeds
        scatter = variance * ((common - flips.correlation) * self.squares + flips.correlation * self.sums**2)
        scale = np.where(self.enough, self.scale, 1.0)
        errors = np.sqrt(np.where(self.enough, scatter.sum(axis=0), 1.0)) / scale
        tests = Tests(
            errors,
            np.full_like(errors, flips.forgot),
            np.full_like(errors, flips.learned),
            self.steady,
            self.worth,
            not self.alone,
            np.where(self.alone, 0.0, SCATTER_FLOOR * errors),
            1 - self.steady,
            np.maximum(effective_clusters(scatter) - 1, 1.0),
        )
        rates = np.full_like(errors, (1 - level) / self.tests)
        noise = variance * (1 - repeated) * self.squares.sum(axis=0) / (seeds * scale**2)
        of_seeds = flips.seed_sd**2 if self.alone else flips.group_seed_sd**2 / scale
        by_seed = self._by_seed(noise, of_seeds / seeds, seeds) if seeds > 1 else None
        return Prospect(tests, rates, by_seed, scale, self.enough)

    def _by_seed(self, noise: Floats, of_seeds: float | Floats, seeds: int) -> SeedScatter:
        """How estimates of seeds differ that scatter as stated, of which data would show their median."""
        moderated = 1.0 if seeds == 2 else _MODERATED
        freedom = np.full_like(noise, (seeds - 1.0) * (1.0 if self.alone else 1 + moderated * max(self.tests - 2, 0)))
        return SeedScatter((noise + of_seeds) * special.chdtri(freedom, 0.5) / freedom, noise, freedom)

    def seeds(self, flips: Flips, effect: float, *, level: float = 0.95) -> int | None:
        """Fewest seeds, of two or more, that show a true value with `POWER` in each; None where more than `MOST_SEEDS`.

        One seed is no sample of seeds: what it shows is said of that training alone.
        """
        low, high = 1, MOST_SEEDS
        if not self._shows(flips, effect, level, high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._shows(flips, effect, level, middle) else (middle, high)
        return high

    def _shows(self, flips: Flips, effect: float, level: float, seeds: int) -> bool:
        return bool((self.power(flips, effect, level=level, seeds=seeds) >= POWER).all())


def _sizes(design: Design) -> Floats:
    """Examples of each cluster in each group, label by label. Shape: `[L, C, K]`."""
    return design.sizes[None] if design.labels is None else design.labels.sizes
