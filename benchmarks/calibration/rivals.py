"""Other ways to make intervals and p-values of clusters, on the same data."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.random import Generator
from scipy import special

from benchmarks.calibration.clustered import Cell, World, datasets
from benchmarks.calibration.procedure import ERROR_RATE, RESAMPLES, Floats, any_shown, said_of
from benchmarks.calibration.tables import percent, print_head, print_row
from chaintune.stats import Sample, adjust
from chaintune.stats.contrasts import contrast_by_seed
from chaintune.stats.halves import halves, sign_flip_p

Rule = Callable[[Floats, Floats, float, Generator], Floats]


def t_rule(power: float) -> Rule:
    """P-values of a t-test with cluster-robust error: residuals over `(1 - leverage) ** power`.

    Power 0.5 is CR2, 1 is CR3, the jackknife; degrees of freedom after Satterthwaite.
    """

    def rule(top: Floats, bottom: Floats, null: float, _: Generator) -> Floats:
        share = bottom / bottom.sum(axis=0)
        value = top.sum(axis=0) / bottom.sum(axis=0)
        residuals = (top - value * bottom) / (1 - share) ** power
        error = np.sqrt((residuals**2).sum(axis=0)) / bottom.sum(axis=0)
        freedom = np.maximum(1 / (share**2).sum(axis=0) - 1, 1)
        return np.asarray(2 * special.stdtr(freedom, -np.abs(value - null) / np.where(error > 0, error, np.inf)))

    return rule


def flip_rule(top: Floats, bottom: Floats, null: float, rng: Generator) -> Floats:
    """P-values of the sign-flip test alone, without what guards it where changes are few."""
    scores = top - null * bottom
    drawn = halves(scores, resamples=RESAMPLES, seed=int(rng.integers(2**31)))
    return sign_flip_p(drawn, np.abs(scores).sum(axis=0))


def wild_rule(webb: bool) -> Rule:
    """P-values of the wild cluster bootstrap-t with the null imposed (Cameron, Gelbach and Miller 2008)."""
    six = np.sqrt([1.5, 1.0, 0.5])
    points = np.concatenate([-six, six]) if webb else np.array([-1.0, 1.0])

    def rule(top: Floats, bottom: Floats, null: float, rng: Generator) -> Floats:
        scores = top - null * bottom
        weights = rng.choice(points, (RESAMPLES, len(scores)))
        total = bottom.sum(axis=0)
        drawn = weights @ scores / total
        squares = (
            weights**2 @ scores**2 - 2 * drawn * (weights @ (scores * bottom)) + drawn**2 * (bottom**2).sum(axis=0)
        )
        value = scores.sum(axis=0) / total
        observed = np.abs(value) / np.sqrt(((scores - value * bottom) ** 2).sum(axis=0).clip(1e-12))
        return np.asarray(
            (1 + (np.abs(drawn) / np.sqrt(squares.clip(1e-12)) >= observed - 1e-9).sum(axis=0)) / (RESAMPLES + 1)
        )

    return rule


def bootstrap_rule(kind: str) -> Rule:
    """P-values by inverting a cluster bootstrap interval: `percentile`, `bca` or `t`."""

    def rule(top: Floats, bottom: Floats, null: float, rng: Generator) -> Floats:
        weights = rng.multinomial(len(top), np.full(len(top), 1 / len(top)), RESAMPLES).astype(float)
        sizes = (weights @ bottom).clip(1e-9)
        drawn = weights @ top / sizes
        value = top.sum(axis=0) / bottom.sum(axis=0)
        if kind == "t":
            squares = weights @ top**2 - 2 * drawn * (weights @ (top * bottom)) + drawn**2 * (weights @ bottom**2)
            error = np.sqrt(((top - value * bottom) ** 2).sum(axis=0).clip(1e-12)) / bottom.sum(axis=0)
            ratios = (drawn - value) / (np.sqrt(squares.clip(1e-12)) / sizes)
            above = (1 + (ratios >= (value - null) / error).sum(axis=0)) / (RESAMPLES + 1)
            return np.asarray(np.minimum(1, 2 * np.minimum(above, 1 + 1 / (RESAMPLES + 1) - above)))
        below = _below(drawn, np.broadcast_to(null, value.shape))
        if kind == "bca":
            below = _accelerated(below, _below(drawn, value), (top.sum(axis=0) - top) / (bottom.sum(axis=0) - bottom))
        return np.asarray(2 * np.minimum(below, 1 - below))

    return rule


def _below(drawn: Floats, point: Floats) -> Floats:
    """Share of draws below a point, ties counted half; never quite 0 or 1."""
    share = ((drawn < point).mean(axis=0) + (drawn <= point).mean(axis=0)) / 2
    return np.asarray(np.clip(share, 0.5 / RESAMPLES, 1 - 0.5 / RESAMPLES))


def _accelerated(below: Floats, median: Floats, jackknife: Floats) -> Floats:
    centred = jackknife.mean(axis=0) - jackknife
    skew = (centred**3).sum(axis=0) / (6 * ((centred**2).sum(axis=0).clip(1e-12)) ** 1.5)
    bias = special.ndtri(median)
    shifted = special.ndtri(below) - bias
    return np.asarray(special.ndtr(shifted / (1 + skew * shifted) - bias))


RULES: Mapping[str, Rule] = {
    "CR2 t": t_rule(0.5),
    "CR3 t": t_rule(1.0),
    "percentile bootstrap": bootstrap_rule("percentile"),
    "BCa bootstrap": bootstrap_rule("bca"),
    "bootstrap-t": bootstrap_rule("t"),
    "wild bootstrap, Rademacher": wild_rule(webb=False),
    "wild bootstrap, Webb": wild_rule(webb=True),
    "sign flips alone": flip_rule,
}


def rivals_table(cells: Sequence[Cell], worlds: Sequence[World], count: int) -> None:
    """Prints coverage of forgetting, false alarms and family-wise error of biased forgetting of every method."""
    print_head(
        "flips", "clusters a group", "correlation", "groups an example", "method", "forgetting: coverage",
        "biased: false alarms", "family-wise",
    )  # fmt: skip
    for world, cell in itertools.product(worlds, cells):
        found: dict[str, tuple[list[bool], list[bool], list[bool]]] = {
            name: ([], [], []) for name in (*RULES, "halves (chosen)")
        }
        rng = np.random.default_rng(2)
        for sample, _ in datasets(cell, world, count, 2):
            _rivals(sample, world, rng, found)
        for name, columns in found.items():
            print_row(world, cell, name, *map(percent, columns))


def _rivals(
    sample: Sample, world: World, rng: Generator, found: Mapping[str, tuple[list[bool], list[bool], list[bool]]]
) -> None:
    tops, bottoms = (sums.mean(axis=0) for sums in contrast_by_seed(sample))
    for name, rule in RULES.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            at_truth = rule(sample.sums[:, 1:], sample.design.sizes[:, 1:], world.forgetting, rng)
            at_zero = rule(tops[:, 1:], bottoms[:, 1:], 0.0, rng)
        found[name][0].extend(at_truth > ERROR_RATE)
        found[name][1].extend(at_zero <= ERROR_RATE)
        found[name][2].append(bool((adjust(at_zero, "holm") <= ERROR_RATE).any()))
    estimates = said_of(sample)
    forgetting, bias = estimates.forgetting[1:], estimates.biased[1:]
    mine = found["halves (chosen)"]
    mine[0].extend(not (e.low > world.forgetting or e.high < world.forgetting) for e in forgetting)
    mine[1].extend(e.p_value <= ERROR_RATE for e in bias)
    mine[2].append(any_shown(bias))
