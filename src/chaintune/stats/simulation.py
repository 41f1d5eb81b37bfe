"""Power by simulation: flips are drawn for a design's clusters, an effect is planted, and the real procedure judges.

What happens to an example is read from a normal latent change, of which the examples of a cluster share a part and
which an effect moves.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import sparse, special

from chaintune.errors import DataError
from chaintune.stats.clusters import Design, Floats
from chaintune.stats.contrasts import common_scatter, contrast_by_seed, shares
from chaintune.stats.effects import Reference, biased
from chaintune.stats.families import corrected, group_contrasts, own_means
from chaintune.stats.latent import FAR, loss, moved, thresholds, variance
from chaintune.stats.multiplicity import Adjustment
from chaintune.stats.sample import Sample
from chaintune.stats.seeds import seed_variances

Statistic = Literal["forgetting", "biased_forgetting"]

_SHIFTS = np.linspace(-FAR, FAR, 2401)
_HALVINGS = 30
# Of what examples do on their own, the share that every seed repeats.
_REPEATED = 0.5
# Fewest random halves, and how many for each one that the strictest step of a correction lets pass.
_RESAMPLES = 499
_RESAMPLES_A_STEP = 5


@dataclass(frozen=True)
class Flips:
    """How examples change from one checkpoint to the next where nothing is planted.

    Attributes:
        forgot, learned: share of examples that go from right to wrong, and from wrong to right.
        correlation: of the changes of two examples of one cluster, from 0 to 1.
        right: share of examples that are right before; no more can be forgotten.
        seed_sd: standard deviation of the true loss over seeds, in all groups alike.
        group_seed_sd: the same of each group's own loss on top.

    Raises:
        DataError: a rate or deviation that cannot be.
    """

    forgot: float
    learned: float
    correlation: float = 0.0
    right: float = 1.0
    seed_sd: float = 0.0
    group_seed_sd: float = 0.0

    def __post_init__(self) -> None:
        rates = {"forgot": self.forgot, "learned": self.learned, "correlation": self.correlation, "right": self.right}
        for name, rate in rates.items():
            if not 0 <= rate <= 1:
                raise DataError(f"{name} {rate}: expected a share between 0 and 1")
        if not self.forgot <= self.right or not self.forgot + self.learned <= 1:
            raise DataError(
                f"forgot {self.forgot}, learned {self.learned}, right before {self.right}: only what was right "
                "can be forgotten, and the two together are at most 1"
            )
        for name, deviation in (("seed_sd", self.seed_sd), ("group_seed_sd", self.group_seed_sd)):
            if not 0 <= deviation < math.inf:
                raise DataError(f"{name} {deviation}: expected 0 or more")

    @property
    def loss(self) -> float:
        """Forgotten minus learned."""
        return self.forgot - self.learned

    @property
    def thresholds(self) -> tuple[float, float]:
        """Latent change below which an example is learned, and above which it is forgotten."""
        low, high = thresholds(self.forgot, self.learned)
        return float(low), float(high)

    def shift(self, target: float | Floats) -> Floats:
        """How far the latent change moves so that the true loss is this; NaN where it cannot be. Shape: as `target`."""
        losses = self.losses
        possible = (np.asarray(target) > losses[0]) & (np.asarray(target) < losses[-1])
        shift = np.interp(target, losses, _SHIFTS)
        return np.where(possible & (moved(self.thresholds, shift)[0] <= self.right + 1e-9), shift, np.nan)

    @cached_property
    def latent_correlation(self) -> float:
        """Share of the latent change that a cluster's examples have in common."""
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS if self.correlation else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if self._correlation(middle) < self.correlation else (low, middle)
        return low

    @cached_property
    def repeated(self) -> float:
        """Correlation of what happens to one example in the trainings of two seeds."""
        shared = self.latent_correlation
        return self._correlation(shared + (1 - shared) * _REPEATED)

    @cached_property
    def losses(self) -> Floats:
        """True loss at each of the shifts that are tabulated."""
        return loss(self.thresholds, _SHIFTS)

    def _correlation(self, shared: float) -> float:
        """That of changes whose latent ones share so much."""
        low, high = self.thresholds
        # The middles of equally likely slices of what a cluster shares.
        common = np.sqrt(shared) * special.ndtri((np.arange(400) + 0.5) / 400)
        rest = math.sqrt(max(1 - shared, 1e-12))
        losses = loss((low / rest, high / rest), common / rest)
        return float(losses.var() / variance(self.thresholds, 0.0))


@dataclass(frozen=True, slots=True)
class Power:
    """The share of simulated data sets in which an effect is shown.

    Attributes:
        value: the share; NaN where so large an effect cannot be.
        error: standard error of the share, from the number of data sets.
        n: data sets.
    """

    value: float
    error: float
    n: int


def flips_of(sample: Sample, *, right: float = 1.0) -> Flips:
    """The flips that data at hand suggest.

    Args:
        sample: of the changes, before minus after.
        right: share of examples that are right before.
    """
    n = sample.by_seed.size
    # Half a flip of each kind more than there are, for a kind that did not occur may yet.
    forgot, learned = (
        (float(np.maximum(part, 0.0).sum()) + 0.5) / (n + 1) for part in (sample.by_seed, -sample.by_seed)
    )
    alone = [sample] if sample.n_seeds == 1 else [_seed(sample, number) for number in range(sample.n_seeds)]
    correlation = float(np.mean([common_scatter(one)[1] for one in alone]))
    common, own = _seed_deviations(sample)
    return Flips(forgot, learned, correlation, max(right, forgot), common, own)


def simulated_power(
    design: Design,
    columns: Sequence[int],
    flips: Flips,
    effect: float,
    *,
    statistic: Statistic | None = None,
    affected: int | None = None,
    reference: Reference = "overall",
    level: float = 0.95,
    adjust: Adjustment = "minp",
    seeds: int = 1,
    draws: int = 200,
    resamples: int | None = None,
    seed: int = 0,
    on_draw: Callable[[int, int], None] | None = None,
) -> Power:
    """How often an effect in the whole task or in one group would be shown, by the procedure of a comparison.

    Args:
        design: clusters and groups of the examples.
        columns: of the groups that are tested together; `[0]` is the whole task.
        flips: where nothing is planted. Of biased forgetting all groups lose as much as these do; of forgetting none
            but the affected group loses anything.
        effect: true value of the statistic in the affected group, in shares of the score.
        statistic: `forgetting` or `biased_forgetting`; by default the latter for groups.
        affected: column of the group that has the effect, the first one by default.
        reference: what biased forgetting is relative to.
        level: of the intervals.
        adjust: correction for several groups.
        seeds: of the trainings, crossed with the clusters.
        draws: data sets.
        resamples: random halves of the clusters for each; by default as many as the correction needs.
        seed: of all draws; same seed, same bits.
        on_draw: is called after each data set, with how many are done and how many there are.

    Raises:
        DataError: no column, or an effect of the whole task on itself.
    """
    tested = [column for column in columns if column] or [0]
    which = tested[0] if affected is None else affected
    kind = statistic or ("biased_forgetting" if which else "forgetting")
    if which not in tested or (kind == "biased_forgetting" and not which):
        raise DataError(f"column {which}: expected one of the tested groups {tested}, and no bias of the whole task")
    small = _only(design, tested)
    place = tested.index(which) + 1 if which else 0
    losses = planted_losses(small, place, flips, effect, kind, reference)
    if losses is None:
        return Power(math.nan, math.nan, draws)
    size = resamples or halves_needed(len(tested), level)
    family = list(range(1, len(tested) + 1))
    shown = 0
    for number in range(draws):
        values = draw_changes(np.random.default_rng([seed, number]), small, flips, losses, seeds)
        sample = Sample.of(small, values, resamples=size, seed=number)
        statistics = own_means(sample) if kind == "forgetting" else group_contrasts(sample, reference=reference)
        one = corrected(sample, [family] if which else [], statistics, level=level, method=adjust).estimates[place]
        shown += one.is_shown(level) and one.value * effect > 0
        if on_draw:
            on_draw(number + 1, draws)
    smoothed = (shown + 0.5) / (draws + 1)
    return Power(shown / draws, math.sqrt(smoothed * (1 - smoothed) / draws), draws)


def halves_needed(tests: int, level: float) -> int:
    """Random halves of the clusters that a correction over so many tests needs."""
    return max(_RESAMPLES, math.ceil(_RESAMPLES_A_STEP * tests / (1 - level)))


def grown(design: Design, times: int) -> Design:
    """The design with as many more clusters of the same kind; every cluster stands in it `times` times."""
    clusters = (design.clusters[None] + design.total * np.arange(times)[:, None]).ravel()
    members = sparse.csr_array(sparse.vstack([design.members] * times, format="csr"))
    labels = design.labels
    if labels is not None:
        labels = replace(labels, sizes=np.tile(labels.sizes, (1, times, 1)), codes=np.tile(labels.codes, times))
    return replace(design, clusters=clusters, members=members, labels=labels)


def _only(design: Design, columns: Sequence[int]) -> Design:
    """The design with these groups only, the whole task first."""
    places = [0, *(column for column in columns if column)]
    labels = design.labels
    if labels is not None:
        labels = replace(labels, only=labels.only[places], sizes=labels.sizes[:, :, places])
    pools = None if design.pools is None else design.pools[places]
    return Design(design.clusters, sparse.csr_array(design.members[:, places]), labels, pools)


def planted_losses(
    design: Design, place: int, flips: Flips, effect: float, kind: Statistic, reference: Reference
) -> Floats | None:
    """True loss of each example, an effect planted; None where no loss has so large an effect. Shape: `[E]`."""
    inside = np.asarray(design.members[:, [place]].todense(), dtype=np.float64)[:, 0]
    if kind == "forgetting":
        losses = inside * effect
    else:
        # What the statistic becomes when only the group's examples lose, and lose everything.
        whole = biased(Sample.of(design, inside, resamples=1), level=0.5, reference=reference)[place].value
        if not whole > 0:
            return None
        losses = flips.loss + inside * effect / whole
    return None if np.isnan(flips.shift(np.unique(losses))).any() else losses


def draw_changes(rng: np.random.Generator, design: Design, flips: Flips, losses: Floats, seeds: int = 1) -> Floats:
    """Changes of the examples: 1 forgotten, -1 learned, 0 neither. Shape: losses `[E]`, result `[S, E]`."""
    n, total = len(design.clusters), design.total
    of_seed = np.broadcast_to(losses, (seeds, n))
    if seeds > 1 and flips.seed_sd + flips.group_seed_sd > 0:
        own = rng.standard_normal((seeds, design.members.shape[1] - 1)) * flips.group_seed_sd
        of_seed = of_seed + flips.seed_sd * rng.standard_normal((seeds, 1)) + (design.members[:, 1:] @ own.T).T
    shift = np.interp(of_seed, flips.losses, _SHIFTS)
    common = rng.standard_normal(total)[design.clusters]
    alone = rng.standard_normal(n)
    if seeds > 1:
        alone = math.sqrt(_REPEATED) * alone + math.sqrt(1 - _REPEATED) * rng.standard_normal((seeds, n))
    shared = flips.latent_correlation
    latent = math.sqrt(shared) * common + math.sqrt(1 - shared) * alone + shift
    low, high = flips.thresholds
    return np.asarray((latent > high).astype(np.float64) - (latent < low))


def _seed(sample: Sample, number: int) -> Sample:
    return Sample(sample.design, sample.by_seed[[number]], sample.resamples, sample.seed)


def _seed_deviations(sample: Sample) -> tuple[float, float]:
    """Standard deviation over seeds of the whole task's true loss, and of a group's beside it."""
    if sample.n_seeds == 1:
        return 0.0, 0.0

    def beyond_chance(sums: Floats, sizes: Floats) -> Floats:
        between, within, _ = seed_variances(sums, np.broadcast_to(sizes, sums.shape))
        return np.asarray(sample.n_seeds * (between - within))

    whole = float(beyond_chance(sample.seed_sums[:, :, :1], sample.design.weights[:, :1])[0])
    # Of a group minus the rest, whose own deviations average out over its groups.
    contrasts = (beyond_chance(*contrast_by_seed(sample)) * (1 - shares(sample.design)))[1:]
    known = contrasts[np.isfinite(contrasts)]
    own = float(known.mean()) if len(known) else 0.0
    return math.sqrt(max(whole, 0.0)), math.sqrt(max(own, 0.0))
