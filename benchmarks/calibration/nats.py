"""Forgetting in nats: changes without ends, with tails as heavy as single answers have, in clusters.

Nothing is lost on average. A change is a part that its cluster shares and a part of its own, both drawn from one law;
its scores are turned into values between the outermost ones, as chaintune does it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from scipy import sparse

from benchmarks.calibration.procedure import ERROR_RATE, Floats, sample_of
from benchmarks.calibration.tables import percent, print_head, print_row
from chaintune.forgetting.units import Unit
from chaintune.records import LIKELIHOOD_METRICS
from chaintune.stats import Design, means

LAWS: Mapping[str, Callable[[Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "t with 3 degrees of freedom": lambda rng, n: rng.standard_t(3, n),
    "lognormal, sigma 1": lambda rng, n: np.exp(rng.standard_normal(n)) - np.exp(0.5),
    "lognormal, sigma 1.5": lambda rng, n: np.exp(1.5 * rng.standard_normal(n)) - np.exp(1.125),
}
# Share of a change's variance that its cluster decides, and how large changes are beside the scores.
WITHIN, SIZE, CLUSTER_SIZE = 0.3, 0.1, 3


@dataclass(frozen=True)
class NatsWorld:
    """A task of so many clusters whose changes follow a law."""

    law: str
    clusters: int

    def design(self) -> Design:
        """Clusters, and no group."""
        rows = np.arange(self.clusters * CLUSTER_SIZE)
        plain = Design.of(rows // CLUSTER_SIZE, sparse.csr_array((len(rows), 0)))
        return replace(plain, bounded=False)

    def draw(self, rng: Generator) -> tuple[Floats, Floats]:
        """Scores before and after, in nats. Shape: `[E]` each."""
        law, n = LAWS[self.law], self.clusters * CLUSTER_SIZE
        common = law(rng, self.clusters)[np.arange(n) // CLUSTER_SIZE]
        change = np.sqrt(WITHIN) * common + np.sqrt(1 - WITHIN) * law(rng, n)
        before = -rng.gamma(4, 0.5, n) - 5
        return before, before - SIZE * change


def nats_table(datasets: int) -> None:
    """Of each law and number of clusters: coverage of 0, on which side it is missed, and false alarms."""
    print_head("changes", "clusters", "coverage", "truth above", "truth below", "p at most 5 %", "guarded", "width")
    metric = LIKELIHOOD_METRICS["likelihood"]
    for world in (NatsWorld(law, clusters) for law in LAWS for clusters in (30, 60)):
        design, found = world.design(), []
        for number in range(datasets):
            before, after = world.draw(np.random.default_rng([number, world.clusters]))
            unit = Unit.of(metric, (before, after))
            sample = sample_of(design, unit.inward(before) - unit.inward(after), number)
            found.append(unit.difference(means(sample)[0]))
        print_row(
            world.law,
            world.clusters,
            percent([one.low <= 0 <= one.high for one in found]),
            percent([one.high < 0 for one in found]),
            percent([one.low > 0 for one in found]),
            percent([one.p_value <= ERROR_RATE for one in found]),
            percent(["limits of rates" in one.method for one in found]),
            f"{np.median([one.high - one.low for one in found]):.3f}",
        )
