"""Smallest forgetting, and difference between a group and the others, that the data at hand show."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chaintune.stats import latent
from chaintune.stats.balanced import contrast
from chaintune.stats.clusters import Floats, Labels
from chaintune.stats.contrasts import (
    SCATTER_FLOOR,
    contrast_by_seed,
    contrast_errors,
    contrast_scatter,
    least_error,
    least_errors,
    shares,
)
from chaintune.stats.effects import Reference, own_errors
from chaintune.stats.power import Curve, SeedScatter, Tests, effective_clusters
from chaintune.stats.rates import standard_errors
from chaintune.stats.sample import Sample, in_parts, needed_clusters
from chaintune.stats.seeds import seed_variances

# How many clusters of its own a group's error has to rest on so that it counts as much as the common one.
_OWN_CLUSTERS = 8.0
# How many examples of its own a group's flips have to rest on so that they count as much as those of the whole task.
_OWN_EXAMPLES = 20.0
# Scores that move by less than so much are no flips, however few they are.
_SMALLEST_FLIP = 0.3


@dataclass(frozen=True, eq=False)
class Prospect:
    """What tests of each group of a sample can show.

    Attributes:
        tests: what they see.
        error_rate: two-sided, of the step at which each group is judged.
        scatter: of the seeds, where there are several.
        scale: the statistic over what the tests are of.
        enough: whether clusters are so many that a test is made.

    Shape: all `[K]`.
    """

    tests: Tests
    error_rate: Floats
    scatter: SeedScatter | None
    scale: Floats
    enough: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether a test is made, and something tells how far changes scatter."""
        return self.enough & ~self.alike

    @property
    def alike(self) -> NDArray[np.bool_]:
        """Whether all examples changed alike, so that nothing tells how far changes scatter."""
        guarded = self.tests.n is not None
        return np.zeros(len(self.scale), dtype=np.bool_) if guarded else np.asarray(self.tests.errors == 0)

    def of_whole(self) -> "Prospect":
        """What the test of the whole task alone can show."""
        scatter = self.scatter and SeedScatter(*(getattr(self.scatter, f.name)[:1] for f in fields(self.scatter)))
        tests, rates = self.tests.of_whole(), self.error_rate[:1]
        return Prospect(tests, rates, scatter, self.scale[:1], self.enough[:1])

    def detectable(self) -> Floats:
        """Smallest true value that is shown with 80 % probability."""
        return np.where(self.known, self._curve.detectable() * self.scale, np.nan)

    def power(self, effect: float) -> Floats:
        """Probability that a true value of this size is shown; NaN where it cannot be, or no test is made."""
        return np.where(self.known, self._curve.power(self._of_tests(effect)), np.nan)

    def growth(self, effect: float) -> Floats:
        """How many times the clusters it takes so that a true value of this size is shown with 80 % probability.

        Undefined: NaN where no number of a reasonable size would do, or there are several seeds, which no number of
        clusters makes up for.
        """
        if self.scatter is not None:
            return np.full_like(self.scale, np.nan)
        return np.where(self.alike, np.nan, self._curve.growth(self._of_tests(effect)))

    @cached_property
    def _curve(self) -> Curve:
        return Curve(self.tests, self.error_rate, self.scatter)

    def _of_tests(self, effect: float) -> Floats:
        return np.divide(effect, self.scale, out=np.full_like(self.scale, np.inf), where=self.scale > 0)


def detectable_means(sample: Sample, *, error_rate: float | Floats) -> Floats:
    """Smallest mean that these data show with 80 % probability. Shape: `[K]`."""
    return prospect_of_means(sample, error_rate=error_rate).detectable()


def detectable_biased(sample: Sample, *, error_rate: float | Floats, reference: Reference = "overall") -> Floats:
    """Smallest difference between group and reference that these data show with 80 % probability."""
    return prospect_of_biased(sample, error_rate=error_rate, reference=reference).detectable()


def prospect_of_means(sample: Sample, *, error_rate: float | Floats) -> Prospect:
    """What tests of each group's mean can show."""
    size = _flip_size(sample)
    forgot, learned = _flips(sample, size)

    def of_part(part: Sample) -> tuple[Floats, ...]:
        sizes = np.broadcast_to(part.design.weights, part.seed_sums.shape)
        own = standard_errors(part.sums, sizes[0])
        squares = (part.design.sizes**2).sum(axis=0)
        by_seed = _seed_variances(part, part.seed_sums, sizes, part.design.recipes)
        return own, effective_clusters(sizes[0]), squares, *by_seed

    errors, worth, squares, *by_seed = in_parts(sample, of_part, alone=True)
    least, few = least_errors(sample, squares)
    common, freedom = least / SCATTER_FLOOR, np.full_like(errors, few)
    errors = np.where(common > 0, _blended(errors, common, worth), errors)
    if (labels := sample.design.labels) is not None:
        by_label, of_label = own_errors(sample)
        errors = np.maximum(errors, by_label)
        freedom = np.where(by_label > least, of_label, freedom)
        flips, times = _without_loss(sample, labels)
        errors, least = np.sqrt(times) * errors, np.sqrt(times) * np.maximum(least, by_label)
        forgot = learned = flips
    # What the groups have in common hardly moves with one of them.
    steady = np.where(common > 0, 1 - shares(sample.design), 0.0)
    bounded = sample.design.bounded and size > 0
    guarded: tuple[Floats | None, Floats | None] = (None, None)
    if bounded and not labels:
        guarded = (sample.design.n.astype(np.float64), sample.design.n_clusters.astype(np.float64))
    scattered = np.zeros_like(errors)
    tests = Tests(
        errors, forgot, learned, scattered, worth, False, least, steady, freedom, guarded[0], guarded[1],
        flips=bounded, size=size or 1.0,
    )  # fmt: skip
    rates = np.broadcast_to(error_rate, errors.shape)
    enough = (sample.design.own_clusters >= _needed(rates)) & (sample.design.own_n > 0)
    return Prospect(tests, rates, _scatter(by_seed), np.ones_like(errors), enough)


def prospect_of_biased(sample: Sample, *, error_rate: float | Floats, reference: Reference = "overall") -> Prospect:
    """What tests of each group against the whole or the rest can show."""
    size = _flip_size(sample)
    forgot, learned = _flips(sample, size)
    share = shares(sample.design)
    if (labels := sample.design.labels) is not None:
        made = contrast(sample.design, labels, sample.label_sums, sample.values, overall=reference == "overall")
        weights = np.broadcast_to(made.weights, made.sums.shape)
        errors, freedom = contrast_errors(made, labels)
        worth = effective_clusters(made.weights)
        tests = Tests(errors, forgot, learned, share, worth, True, errors, share, freedom)
        scatter = _scatter(_seed_variances(sample, made.sums, weights))
        known = np.asarray(labels.compared.any(axis=0))
        return Prospect(tests, np.broadcast_to(error_rate, share.shape), scatter, np.ones_like(share), known)

    def of_part(part: Sample) -> tuple[Floats, ...]:
        seed_sums, sizes = contrast_by_seed(part)
        scatter, worth = contrast_scatter(part, sizes[0]), effective_clusters(sizes[0])
        least = least_error(scatter, sizes[0])
        errors = _blended(standard_errors(seed_sums.mean(axis=0), sizes[0]), least / SCATTER_FLOOR, worth)
        return errors, worth, least, effective_clusters(scatter) - 1, *_seed_variances(part, seed_sums, sizes)

    errors, worth, least, freedom, *by_seed = in_parts(sample, of_part)
    tests = Tests(
        errors, forgot, learned, share, worth, True, least, 1 - share, freedom,
        flips=sample.design.bounded and size > 0, size=size or 1.0,
    )  # fmt: skip
    rates = np.broadcast_to(error_rate, share.shape)
    needed = _needed(rates)
    known = (sample.design.n_outside >= needed) & (sample.design.n_clusters >= needed) & (share < 1)
    return Prospect(
        tests, rates, _scatter(by_seed), 1 - share if reference == "overall" else np.ones_like(share), known
    )


def _needed(error_rates: Floats) -> NDArray[np.int64]:
    """Fewest clusters from which a test at each error rate shows anything."""
    return np.array([needed_clusters(1 - rate) for rate in error_rates.tolist()], dtype=np.int64)


def _flip_size(sample: Sample) -> float:
    """By how much scores move that do: 1 of scores that are 0 or 1; 0 where most move, and by little.

    That many flips of that size have the mean size and the mean square of the changes at hand.
    """
    sizes, squares = float(np.abs(sample.by_seed).mean()), float((sample.by_seed**2).mean())
    size = squares / sizes if sizes > 0 and sample.design.labels is None else 1.0
    return 1.0 if size > 1 - 1e-9 else size if size >= _SMALLEST_FLIP else 0.0


def _flips(sample: Sample, size: float) -> tuple[Floats, Floats]:
    """Shares forgotten and learned in each group, drawn towards those of the whole task in small ones.

    Args:
        sample: of the changes.
        size: of a flip; 0 and changes count as they are.

    Shape: `[K]`.
    """
    n, rates = np.maximum(sample.design.n, 1), []
    for part in (sample.by_seed / (size or 1.0), -sample.by_seed / (size or 1.0)):
        events = np.asarray(sample.design.members.T @ np.maximum(part, 0.0).mean(axis=0))
        whole = (events[0] + 0.5) / (n[0] + 1)
        rates.append((events + _OWN_EXAMPLES * whole) / (n + _OWN_EXAMPLES))
    return rates[0], rates[1]


def _without_loss(sample: Sample, labels: Labels) -> tuple[Floats, Floats]:
    """Flips of either kind, and by how much the variance of a balanced mean is multiplied, where no label loses.

    Labels that lose and gain have other flips alone than together; each counts as much as it adds to the variance.

    Shape: `[K]` each.
    """
    rates = []
    for part in (sample.by_seed, -sample.by_seed):
        events = sample.design.label_sums(np.maximum(part, 0.0).mean(axis=0)).sum(axis=1)  # [L, K]
        whole = (events[:, :1] + 0.5) / (labels.n[:, :1] + 1)
        rates.append((events + _OWN_EXAMPLES * whole) / (labels.n + _OWN_EXAMPLES))
    ends = latent.thresholds(*rates)
    shift = latent.shift_to(ends, 0.0)
    times = latent.variance(ends, shift) / latent.variance(ends, 0.0)
    parts = (labels.influences(sample.label_sums.mean(axis=0)) ** 2).sum(axis=1)
    parts = np.where(parts.any(axis=0), parts, 1.0)
    weights = parts / parts.sum(axis=0)
    return (weights * latent.moved(ends, shift)[0]).sum(axis=0), (weights * times).sum(axis=0)


def _blended(own: Floats, common: Floats, worth: Floats) -> Floats:
    """Each group's own standard error, drawn towards what the common scatter says the more, the fewer its clusters."""
    return np.asarray(np.sqrt((own**2 * worth + common**2 * _OWN_CLUSTERS) / (worth + _OWN_CLUSTERS)))


def _seed_variances(sample: Sample, sums: Floats, sizes: Floats, recipes: Floats | None = None) -> tuple[Floats, ...]:
    """How seeds differ, of several. Shape: sums and sizes `[S, C, K]`."""
    return seed_variances(sums, sizes, sample.design.pools, recipes) if sample.n_seeds > 1 else ()


def _scatter(by_seed: Sequence[Floats]) -> SeedScatter | None:
    """How seeds differ, of several."""
    return SeedScatter(*by_seed) if by_seed else None
