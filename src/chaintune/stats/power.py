"""How small a change the data at hand could have shown."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from chaintune.stats.clusters import Design, Floats
from chaintune.stats.rates import t_quantile

# Bisections of an interval of length 1, so that a figure is told to a tenth of a point.
_HALVINGS = 12
_HALVINGS_OF_LIMIT = 20
_OUTCOMES = 16
_DRAWS = 60


@dataclass(frozen=True, eq=False)
class SeedScatter:
    """How estimates of several seeds differ, as `seeds.seed_variances` has it.

    Attributes:
        seeds: how many.
        between: variance of the mean over seeds, as the seeds differ.
        within: what of it the clusters' noise explains.

    Shape: between and within `[K]`.
    """

    seeds: int
    between: Floats
    within: Floats


def detectable(
    design: Design,
    errors: Floats,
    variances: Floats,
    freedom: Floats,
    *,
    error_rate: float | Floats,
    power: float = 0.8,
) -> Floats:
    """Smallest true value that a test at `error_rate` shows with probability `power`, in each group.

    The larger of two bounds: what the scatter between clusters allows, and what it takes to have enough
    clusters change at all. A change of more examples scatters more, which is reckoned with.

    Args:
        design: whose groups are asked about.
        errors: standard errors of the estimates.
        variances: of the values of each group's examples.
        freedom: degrees of freedom of the errors.
        error_rate: two-sided, already divided by the number of tests.
        power: between 0 and 1.

    Shape: errors, variances, freedom and result `[K]`.

    Undefined: NaN when even a change of every example would not show.
    """
    factor = (t_quantile(1 - error_rate / 2, freedom) + t_quantile(power, freedom)) ** 2
    # The root of d**2 = factor * (errors**2 + d * (1 - d) / worth): turning a share d of the examples adds
    # their binomial variance, at as many independent examples as the group is worth.
    per_worth = factor * np.divide(errors**2, variances, out=np.zeros_like(errors), where=variances > 0)
    root = np.sqrt(per_worth**2 + 4 * (1 + per_worth) * factor * errors**2)
    by_scatter = (per_worth + root) / (2 * (1 + per_worth))
    value = np.maximum(by_scatter, _enough_clusters(design, error_rate, power))
    return np.asarray(np.where(value <= 1, value, np.nan))


def detectable_over_seeds(
    design: Design,
    errors: Floats,
    variances: Floats,
    scatter: SeedScatter,
    *,
    error_rate: float | Floats,
    power: float = 0.8,
) -> Floats:
    """Smallest true value that a test of several seeds crossed with clusters shows with probability `power`.

    The limit that the estimate has to pass is made from how far the seeds of these data happen to differ, and
    with two to five seeds that limit is itself a draw: it is averaged over, as other seeds would have it.

    Args:
        design: whose groups are asked about.
        errors: standard errors of the estimates over clusters.
        variances: of the values of each group's examples.
        scatter: of the seeds.
        error_rate: two-sided, already divided by the number of tests.
        power: between 0 and 1.

    Shape: errors, variances and result `[K]`.

    Undefined: NaN when even a change of every example would not show.
    """
    # What is seen of a variance by few seeds lies below it more often than not, so it is taken at its median.
    freedom = scatter.seeds - 1.0
    between = np.maximum(scatter.between * freedom / special.chdtri(freedom, 0.5), scatter.within)
    per_worth = np.divide(errors**2, variances, out=np.zeros_like(errors), where=variances > 0)

    def shown(value: Floats) -> Floats:
        over_clusters = errors**2 + value * (1 - value) * per_worth
        beyond = value - _limits(over_clusters, between, scatter, error_rate)
        error = np.sqrt(over_clusters + between - scatter.within)
        ratio = np.divide(beyond, error, out=np.full_like(beyond, -np.inf), where=error > 0)
        return np.asarray(special.ndtr(ratio).mean(axis=0))

    low, high = np.zeros_like(errors), np.ones_like(errors)
    possible = shown(high) >= power
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = shown(middle) >= power
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    value = np.maximum(high, _enough_clusters(design, error_rate, power))
    return np.asarray(np.where(possible & (value <= 1), value, np.nan))


def _limits(over_clusters: Floats, between: Floats, scatter: SeedScatter, error_rate: float | Floats) -> Floats:
    """What an estimate has to pass, for each of some outcomes of the seeds' scatter. Shape: `[outcomes, K]`."""
    freedom = scatter.seeds - 1.0
    outcomes = special.chdtri(freedom, (np.arange(_OUTCOMES) + 0.5) / _OUTCOMES)
    # Evenly in the logarithm: the far tail, which decides, comes from the smallest draws.
    least, most = (float(np.log(special.chdtri(freedom, tail))) for tail in (1 - 1e-7, 1e-7))
    logs = np.linspace(least, most, _DRAWS)
    weights = np.exp(logs * freedom / 2 - np.exp(logs) / 2)
    weights /= weights.sum()
    ratios = outcomes[:, None, None] / np.exp(logs)[None, :, None]
    deviations = np.sqrt(over_clusters + np.maximum(between * ratios - scatter.within, 0.0))  # [outcomes, draws, K]
    low, high = np.zeros(deviations[:, 0].shape), np.ones(deviations[:, 0].shape)
    for _ in range(_HALVINGS_OF_LIMIT):
        middle = (low + high) / 2
        beyond = np.divide(-middle[:, None], deviations, out=np.full_like(deviations, -np.inf), where=deviations > 0)
        too_many = 2 * np.einsum("d,odk->ok", weights, special.ndtr(beyond)) > error_rate
        low, high = np.where(too_many, middle, low), np.where(too_many, high, middle)
    return np.asarray(high)


def _enough_clusters(design: Design, error_rate: float | Floats, power: float) -> Floats:
    """Smallest share of examples to change so that enough clusters change at all; infinite with too few clusters."""
    needed = np.ceil(1 + np.log2(1 / np.asarray(error_rate)))
    clusters = design.n_clusters
    share = special.betaincinv(needed, np.maximum(clusters - needed + 1, 1), power)
    return np.asarray(np.where(clusters >= needed, share * clusters / np.maximum(design.n, 1), np.inf))


def effective_clusters(sizes: Floats) -> Floats:
    """How many clusters of equal size, or of equal share in a sum, there are. Shape: sizes `[C, K]`, result `[K]`."""
    squares = (sizes**2).sum(axis=0)
    return np.asarray(sizes.sum(axis=0) ** 2 / np.where(squares == 0, 1.0, squares))
