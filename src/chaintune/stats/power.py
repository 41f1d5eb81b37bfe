"""How small a change the data at hand could have shown."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from chaintune.stats import latent
from chaintune.stats.bisection import bisected
from chaintune.stats.clusters import Floats
from chaintune.stats.rates import MEAN_SKEWNESS, Rates, lower_end, shrinkage, t_quantile

# How often what is told is to be shown, or to decide.
POWER = 0.8
# Bisections of how far the latent change moves, so that a figure is told to a tenth of a point and better.
_HALVINGS = 18
_HALVINGS_OF_SEEDS = 12
_HALVINGS_OF_GROWTH = 12
_HALVINGS_OF_LIMIT = 20
_OUTCOMES = 16
_DRAWS = 60
# By simulation of rare flips in clusters: how many times the skewness of as many independent examples data show on
# average, and how far theirs scatters about it.
_SKEWNESS_TIMES = 1.5
_SKEWNESS_ERROR = 0.08


@dataclass(frozen=True, eq=False)
class Tests:
    """What tests of several estimates see of the data, and how that changes with what is planted.

    Attributes:
        errors: standard errors of the estimates.
        forgot, learned: shares of each group's examples.
        steady: share of each squared error that the group's own change leaves alone.
        worth: clusters of equal size, or of equal share in the estimate.
        from_loss: whether what is planted comes on top of what the group loses, as it does in a difference from others.
        least: standard error that a test of Student's t does not go below; 0 where there is none.
        least_steady: share of its square that the group's own change leaves alone.
        freedom: degrees of freedom of that test.
        n, clusters: examples and clusters of each group, where limits of rates guard a mean of rare changes.
        flips: whether examples are forgotten or learned; else what is planted moves all alike and leaves their scatter.
        size: of a flip: 1 where scores are 0 or 1, less where a score in between moves by less.

    Shape: all `[K]`, but for `size`.
    """

    errors: Floats
    forgot: Floats
    learned: Floats
    steady: Floats
    worth: Floats
    from_loss: bool
    least: Floats
    least_steady: Floats
    freedom: Floats
    n: Floats | None = None
    clusters: Floats | None = None
    flips: bool = True
    size: float = 1.0

    @cached_property
    def ends(self) -> tuple[Floats, Floats]:
        """Thresholds of the latent change."""
        return latent.thresholds(self.forgot, self.learned)

    @cached_property
    def start(self) -> Floats:
        """Shift of the latent change where nothing is planted."""
        return np.zeros_like(self.errors) if self.from_loss else latent.shift_to(self.ends, 0.0)

    def effect(self, shift: Floats) -> Floats:
        """True value once the latent change moved so far from where nothing is planted."""
        if not self.flips:
            return np.asarray(np.maximum(self.errors, 1e-9) * np.expm1(shift))  # to hundreds of standard errors
        lost = latent.loss(self.ends, self.start + shift) - latent.loss(self.ends, self.start)
        return self.size * np.maximum(lost, 0.0)

    def squared(self, shift: Floats) -> Floats:
        """Squared standard error of the estimate there."""
        return np.asarray(self.errors**2 * (self.steady + (1 - self.steady) * self._times(shift)))

    def squared_least(self, shift: Floats) -> Floats:
        """Square of the least error there."""
        return np.asarray(self.least**2 * (self.least_steady + (1 - self.least_steady) * self._times(shift)))

    def grown(self, times: Floats) -> "Tests":
        """What the tests see of so many times the clusters."""
        narrower = np.sqrt(times)
        more = replace(
            self, errors=self.errors / narrower, least=self.least / narrower,
            worth=self.worth * times, freedom=(self.freedom + 1) * times - 1,
            n=None if self.n is None else self.n * times,
            clusters=None if self.clusters is None else self.clusters * times,
        )  # fmt: skip
        # They flip as these do, so what follows from the rates need not be computed again.
        vars(more).update(ends=self.ends, start=self.start)
        return more

    def of_whole(self) -> "Tests":
        """What the test of the whole task alone sees."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        first: dict[str, Any] = {name: one[:1] for name, one in values.items() if isinstance(one, np.ndarray)}
        return replace(self, **first)

    def _times(self, shift: Floats) -> Floats:
        """By how much the variance of the group's values is multiplied."""
        if not self.flips:
            return np.ones_like(self.errors)
        at_hand = latent.variance(self.ends, 0.0)
        return np.asarray(latent.variance(self.ends, self.start + shift) / at_hand)


@dataclass(frozen=True, eq=False)
class SeedScatter:
    """How estimates of several seeds differ, as `seeds.seed_variances` has it.

    Attributes:
        between: variance of the mean over seeds, as the seeds differ.
        within: what of it the clusters' noise explains.
        freedom: degrees of freedom of `between`.

    Shape: all `[K]`.
    """

    between: Floats
    within: Floats
    freedom: Floats


@dataclass(frozen=True, eq=False)
class Curve:
    """How often tests show a true value, by its size.

    The estimate scatters normally about the true value, and has to pass what the sign-flip test asks for, which
    counts the value itself as scatter, Student's t at the least error and, where changes are so rare that the mean is
    skewed, the exact limits of rates. Of several seeds crossed with clusters, the
    limit is made from how far the seeds of these data happen to differ, and with two to five seeds that limit is itself
    a draw: it is averaged over, as other seeds would have it.

    Attributes:
        tests: what they see.
        error_rate: two-sided, of the step at which a group is judged.
        scatter: of the seeds, where there are several.
    """

    tests: Tests
    error_rate: float | Floats
    scatter: SeedScatter | None = None

    def detectable(self, power: float = POWER) -> Floats:
        """Smallest true value that is shown so often, in each group.

        Args:
            power: between 0 and 1.

        Shape: result `[K]`.

        Undefined: NaN when no change would show so often.
        """
        # Over outcomes of the seeds' scatter, arrays are long.
        halvings, at_once = (_HALVINGS, 3) if self.scatter is None else (_HALVINGS_OF_SEEDS, 1)
        shift = _smallest(lambda each: self._shown(each) - power, self.tests, halvings, at_once=at_once)
        return np.where(_enough(self.tests, self.error_rate), self.tests.effect(shift), np.nan)

    def power(self, effect: Floats) -> Floats:
        """Probability that a true value of this size is shown; NaN where none can be so large.

        Args:
            effect: true value in each group.

        Shape: effect and result `[K]`.
        """
        return self._at(self._shift(effect))

    def growth(self, effect: Floats, power: float = POWER) -> Floats:
        """How many times the clusters it takes so that a true value of this size shows so often; of one seed.

        Args:
            effect: true value in each group.
            power: between 0 and 1.

        Shape: effect and result `[K]`.

        Undefined: NaN where so large a value cannot be, or more than 4,096 times would be needed.
        """
        # More clusters of the same kind lose what these do.
        shift = self._shift(effect)
        low, high = np.full_like(self.tests.errors, -6.0), np.full_like(self.tests.errors, 12.0)

        def enough(places: Floats) -> NDArray[np.bool_]:
            return Curve(self.tests.grown(2.0**places), self.error_rate)._at(shift) >= power

        high = bisected(enough, low, high, _HALVINGS_OF_GROWTH)[1]
        return np.where(high < 12.0, 2.0**high, np.nan)

    @cached_property
    def _shown(self) -> Callable[[Floats], Floats]:
        return _shown(self.tests, self.error_rate, self.scatter)

    def _shift(self, effect: Floats) -> Floats:
        """How far the latent change moves so that the true value is this; NaN where it cannot be. Shape: `[K]`."""
        return _smallest(lambda each: self.tests.effect(each) - effect, self.tests, _HALVINGS)

    def _at(self, shift: Floats) -> Floats:
        """The power once the latent change moved so far. Shape: `[K]`."""
        power = np.where(_enough(self.tests, self.error_rate), self._shown(shift), 0.0)
        return np.where(np.isnan(shift), np.nan, power)


def _enough(tests: Tests, error_rate: float | Floats) -> NDArray[np.bool_]:
    """Whether clusters are so many that the sign-flip test can show anything. Shape: `[K]`."""
    return np.asarray(tests.worth > special.ndtri(1 - np.asarray(error_rate) / 2) ** 2)


def _shown(tests: Tests, error_rate: float | Floats, scatter: SeedScatter | None) -> Callable[[Floats], Floats]:
    """The power as a function of how far the latent change moved. Shape: `[K]` to `[K]`."""
    quantile = special.ndtri(1 - np.asarray(error_rate) / 2)
    strict = t_quantile(1 - np.asarray(error_rate) / 2, tests.freedom)
    if scatter is None:

        def passes(shift: Floats) -> Floats:
            value = tests.effect(shift)
            noise, share = tests.squared(shift), value**2 / np.maximum(tests.worth, 1.0)
            # Of a mean, the skewness of rare flips takes back what few clusters give.
            light = _flip_quantile(quantile, noise, share, tests.worth) if tests.from_loss else quantile
            flips = light * np.sqrt(noise + share)
            return np.asarray(value - np.maximum(flips, strict * np.sqrt(tests.squared_least(shift))))

        limit = _limit(passes, tests)
        if tests.n is None:
            return lambda shift: _beyond(tests.effect(shift) - limit, np.sqrt(tests.squared(shift)))
        guarded = np.maximum(limit, _limit(_guard(tests, error_rate), tests))

        def often(shift: Floats) -> Floats:
            value, error = tests.effect(shift), np.sqrt(tests.squared(shift))
            rare = special.ndtr((_skewness(tests, shift) - MEAN_SKEWNESS) / _SKEWNESS_ERROR)
            return np.asarray((1 - rare) * _beyond(value - limit, error) + rare * _beyond(value - guarded, error))

        return often
    # What is seen of a variance by few seeds lies below it more often than not, so it is taken at its median.
    between = np.maximum(scatter.between * scatter.freedom / special.chdtri(scatter.freedom, 0.5), scatter.within)

    def over_seeds(shift: Floats) -> Floats:
        over_clusters, least = tests.squared(shift), strict * np.sqrt(tests.squared_least(shift))
        passes = tests.effect(shift) - np.maximum(_limits(over_clusters, between, scatter, error_rate), least)
        often = _beyond(passes, np.sqrt(over_clusters + between - scatter.within)).mean(axis=0)
        return np.asarray(often.reshape(shift.shape))

    return over_seeds


def _flip_quantile(normal: Floats, noise: Floats, share: Floats, worth: Floats) -> Floats:
    """Quantile of flipped sums, whose tails are lighter than normal ones the fewer clusters there are.

    Cornish and Fisher's expansion by the fourth cumulant of `sum(sign * x)`, which is minus twice the sum of the fourth
    powers; the cluster sums scatter normally about an equal share of the value.

    Args:
        normal: quantile of the normal law.
        noise: sum of the squares that is scatter.
        share: sum of the squares that is the value's.
        worth: clusters of equal size.

    Shape: all `[K]`.
    """
    fourth = (3 * noise**2 + 6 * noise * share + share**2) / ((noise + share) ** 2 * np.maximum(worth, 1.0))
    return np.asarray(normal - (normal**3 - 3 * normal) * fourth / 12)


def _limit(passes: Callable[[Floats], Floats], tests: Tests) -> Floats:
    """Smallest value that passes; infinite where none does. Shape: `[K]`."""
    place = _smallest(passes, tests, _HALVINGS)
    return np.where(np.isnan(place), np.inf, tests.effect(np.nan_to_num(place)))


def _worth(tests: Tests, shift: Floats) -> Floats:
    """Independent examples with the same standard error, at most those there are. Shape: `[K]`."""
    squared, n = tests.squared(shift) / tests.size**2, np.asarray(tests.n)
    of_example = latent.variance(tests.ends, tests.start + shift)
    return np.asarray(np.minimum(np.divide(of_example, squared, out=n + np.zeros_like(squared), where=squared > 0), n))


def _skewness(tests: Tests, shift: Floats) -> Floats:
    """To expect of the mean. Shape: `[K]`."""
    forgot, learned = latent.moved(tests.ends, tests.start + shift)
    value, variance = forgot - learned, latent.variance(tests.ends, tests.start + shift)
    third = value - 3 * value * (forgot + learned) + 2 * value**3
    of_example = np.abs(third) / np.maximum(variance, 1e-12) ** 1.5
    return np.asarray(_SKEWNESS_TIMES * of_example / np.sqrt(np.maximum(_worth(tests, shift), 1.0)))


def _guard(tests: Tests, error_rate: float | Floats) -> Callable[[Floats], Floats]:
    """Lower limit of the difference of rates, as `rates.Differences` has it, at the rates to expect after a shift.

    Shape: `[K]` to `[K]`.
    """
    n, clusters, level = np.asarray(tests.n), np.asarray(tests.clusters), 1 - np.asarray(error_rate)
    tail, shrink = (1 - level) / 2, shrinkage(n, clusters, level)
    # Rates of which nothing was seen are worth no more than the clusters.
    nothing = np.zeros_like(tests.errors)
    most_of_nothing = Rates(nothing, clusters, n, clusters, np.ones_like(nothing)).high(tail, shrink)

    def rates(flipped: Floats, worth: Floats) -> Rates:
        """Of scores that rise, or fall, by the size of a flip."""
        value = tests.size * flipped
        graded = (1 - value) / np.maximum(tests.size * (1 - flipped), 1e-9)
        return Rates(value, worth * graded, n, clusters, graded)

    def limit(shift: Floats) -> Floats:
        forgot, learned = latent.moved(tests.ends, tests.start + shift)
        worth = _worth(tests, shift)
        risen, fallen = rates(forgot, worth), rates(learned, worth)
        least, most = risen.low(tail, shrink), fallen.high(tail, shrink)
        unseen = np.exp(-learned * worth)
        usual = lower_end(risen.value, least, fallen.value, most)
        strict = lower_end(risen.value, least, nothing, most_of_nothing)
        return np.asarray((1 - unseen) * usual + unseen * strict)

    return limit


def _beyond(distance: Floats, error: Floats) -> Floats:
    """Probability that what scatters so far passes what lies so far below it."""
    sure = np.where(distance > 0, np.inf, -np.inf)
    return np.asarray(special.ndtr(np.divide(distance, error, out=sure, where=error > 0)))


def _smallest(beyond: Callable[[Floats], Floats], tests: Tests, halvings: int, *, at_once: int = 3) -> Floats:
    """Smallest shift of the latent change where a function reaches 0; NaN where it never does. Shape: `[K]`."""
    low, high = np.zeros_like(tests.errors), np.full_like(tests.errors, latent.FAR / 2)
    possible = beyond(high) >= 0
    high = bisected(lambda places: beyond(places) >= 0, low, high, halvings, at_once=at_once)[1]
    return np.where(possible, high, np.nan)


def _limits(over_clusters: Floats, between: Floats, scatter: SeedScatter, error_rate: float | Floats) -> Floats:
    """What an estimate has to pass, for each of some outcomes of the seeds' scatter. Shape: `[outcomes, K]`."""
    freedom = scatter.freedom
    outcomes = special.chdtri(freedom, ((np.arange(_OUTCOMES) + 0.5) / _OUTCOMES)[:, None])  # [outcomes, K]
    # Evenly in the logarithm: the far tail, which decides, comes from the smallest draws.
    least, most = (np.log(special.chdtri(freedom, tail)) for tail in (1 - 1e-7, 1e-7))
    logs = np.linspace(least, most, _DRAWS)  # [draws, K]
    densities = logs * freedom / 2 - np.exp(logs) / 2
    weights = np.exp(densities - densities.max(axis=0))
    weights /= weights.sum(axis=0)
    ratios = outcomes[:, None] / np.exp(logs)
    deviations = np.sqrt(over_clusters + np.maximum(between * ratios - scatter.within, 0.0))  # [outcomes, draws, K]
    low, high = np.zeros(deviations[:, 0].shape), np.ones(deviations[:, 0].shape)
    for _ in range(_HALVINGS_OF_LIMIT):
        middle = (low + high) / 2
        beyond = np.divide(-middle[:, None], deviations, out=np.full_like(deviations, -np.inf), where=deviations > 0)
        too_many = 2 * np.einsum("dk,odk->ok", weights, special.ndtr(beyond)) > error_rate
        low, high = np.where(too_many, middle, low), np.where(too_many, high, middle)
    return np.asarray(high)


def effective_clusters(sizes: Floats) -> Floats:
    """How many clusters of equal size, or of equal share in a sum, there are. Shape: sizes `[C, K]`, result `[K]`."""
    squares = (sizes**2).sum(axis=0)
    return np.asarray(sizes.sum(axis=0) ** 2 / np.where(squares == 0, 1.0, squares))
