"""Do intervals cover, and do tests keep their error rates? Simulated comparisons of two checkpoints.

    python benchmarks/calibration.py [--quick] [--table NAME]    # half an hour on one core, or three minutes

Prints Markdown tables. Eleven groups; clusters of 1 to 9 examples; what happens to an example of a cluster is drawn
from the cluster's own probabilities (Dirichlet), so that examples of one cluster are correlated. With multiple
membership every cluster lies between two groups and each example bears one of them or both.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import sparse, special, stats

from chaintune.stats import (
    Design,
    Sample,
    adjust,
    biased,
    detectable_biased,
    disparity,
    means,
    needed_clusters,
)
from chaintune.stats import rates as levels
from chaintune.stats.contrasts import contrast_sums
from chaintune.stats.halves import halves, sign_flip_p

Floats = NDArray[np.float64]

GROUPS = 11
RESAMPLES = 499
ERROR_RATE = 0.05
PER_DESIGN = 20
LABEL_GROUPS = 5
LABEL_COLUMNS = (
    "whole", "group", "biased", "biased, one label", "of a label", "level", "false alarms", "family-wise", "disparity",
    "undefined",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """How many clusters a group has, how alike a cluster's examples are, whether groups overlap."""

    clusters: int
    correlation: float
    multiple: bool

    def __str__(self) -> str:
        return f"{self.clusters} | {self.correlation} | {'several' if self.multiple else 'one'}"


@dataclass(frozen=True)
class World:
    """Probabilities of being forgotten and learned, and by how much more the first group is forgotten."""

    forgot: float
    learned: float
    more: float = 0.0

    @property
    def forgetting(self) -> float:
        """Expected in every group but the first."""
        return self.forgot - self.learned


def design(rng: Generator, cell: Cell) -> tuple[Design, Floats]:
    """Clusters and groups, and the share of each cluster's examples that bear the first group."""
    homes = _homes(cell)
    clusters = np.repeat(np.arange(len(homes)), rng.integers(1, 10, len(homes)))
    n = len(clusters)
    bears = np.zeros((n, GROUPS))
    if cell.multiple:
        kind = rng.integers(0, 3, n)
        for column, excluded in ((0, 1), (1, 0)):
            rows = np.flatnonzero(kind != excluded)
            bears[rows, homes[clusters[rows], column]] = 1
    else:
        bears[np.arange(n), homes[clusters, 0]] = 1
    return Design.of(clusters, sparse.csr_array(bears)), bears[:, 0]


def _homes(cell: Cell) -> NDArray[np.int64]:
    """Groups of each cluster; each group gets `cell.clusters` of them."""
    if not cell.multiple:
        return np.repeat(np.arange(GROUPS), cell.clusters)[:, None]
    number = np.arange((cell.clusters * GROUPS + 1) // 2)
    first = number % GROUPS
    return np.stack([first, (first + 1 + number // GROUPS % (GROUPS - 1)) % GROUPS], axis=1)


def changes(rng: Generator, found: Design, first: Floats, cell: Cell, world: World) -> Floats:
    """What happened to each example: 1 forgotten, -1 learned, 0 neither."""
    total = int(found.clusters.max()) + 1
    chances = np.tile([world.forgot, world.learned, 1 - world.forgot - world.learned], (total, 1))
    if cell.correlation > 0:
        drawn = rng.gamma(np.maximum(chances * (1 / cell.correlation - 1), 1e-12))
        chances = drawn / drawn.sum(axis=1, keepdims=True)
    uniform, own = rng.random(len(found.clusters)), chances[found.clusters]
    change = np.where(uniform < own[:, 0], 1.0, np.where(uniform < own[:, 0] + own[:, 1], -1.0, 0.0))
    # Turning some unchanged examples of the first group adds to its forgetting and keeps the correlation.
    turned = (first > 0) & (change == 0) & (rng.random(len(change)) < world.more / (1 - world.forgot - world.learned))
    return np.where(turned, 1.0, change)


def datasets(cell: Cell, world: World, count: int, seed: int) -> Iterator[tuple[Sample, Floats]]:
    """Samples of one cell, and which of their examples bear the first group."""
    rng = np.random.default_rng([seed, cell.clusters, round(10 * cell.correlation), cell.multiple])
    for number in range(count):
        if number % PER_DESIGN == 0:
            found, first = design(rng, cell)
        change = changes(rng, found, first, cell, world)
        yield Sample.of(found, change, resamples=RESAMPLES, seed=number), first


def percent(values: Sequence[bool] | NDArray[np.bool_]) -> str:
    """Share of true values, in percent."""
    return f"{100 * float(np.mean(values)):.1f}" if len(values) else "-"


def rates(cell: Cell, world: World, count: int) -> list[str]:
    """Coverage, false alarms and family-wise error of the chosen methods in one cell."""
    covers, covers_bias, alarms, alarms_bias, family, family_bias, spread, undefined = ([] for _ in range(8))
    for sample, _ in datasets(cell, world, count, 1):
        forgetting, bias = means(sample)[1:], biased(sample)[1:]
        covers += [e.low <= world.forgetting <= e.high for e in forgetting if np.isfinite(e.low)]
        covers_bias += [e.low <= 0 <= e.high for e in bias if np.isfinite(e.low)]
        undefined += [not np.isfinite(e.low) for e in bias]
        alarms += [e.p_value <= ERROR_RATE for e in forgetting]
        alarms_bias += [e.p_value <= ERROR_RATE for e in bias]
        family.append(_any(forgetting))
        family_bias.append(_any(bias))
        spread.append(disparity(sample, list(range(1, GROUPS + 1)))[0].p_value <= ERROR_RATE)
    none = world.forgetting == 0
    return [
        percent(covers), percent(alarms) if none else "", percent(family) if none else "", percent(covers_bias),
        percent(alarms_bias), percent(family_bias), percent(spread), percent(undefined),
    ]  # fmt: skip


def _any(estimates: Sequence[object]) -> bool:
    p_values = adjust(np.array([e.p_value for e in estimates]))  # type: ignore[attr-defined]
    return bool(np.nanmin(np.append(p_values, 1.0)) <= ERROR_RATE)


def grid_table(cells: Sequence[Cell], worlds: Sequence[World], count: int) -> None:
    """Prints what `rates` finds in every cell and world."""
    head = "forgetting: coverage | false alarms | family-wise | biased: coverage | false alarms | family-wise"
    print(
        f"| flips | clusters a group | correlation | groups an example | {head} | disparity: false alarms | undefined |"
    )
    print("| --- " * 12 + "|")
    for world, cell in itertools.product(worlds, cells):
        print(
            f"| {world.forgot:.0%} / {world.learned:.0%} | {cell} | {' | '.join(rates(cell, world, count))} |",
            flush=True,
        )


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
    print("| flips | clusters a group | correlation | groups an example | method | forgetting: coverage "
          "| biased: false alarms | family-wise |")  # fmt: skip
    print("| --- " * 8 + "|")
    for world, cell in itertools.product(worlds, cells):
        found: dict[str, tuple[list[bool], list[bool], list[bool]]] = {
            name: ([], [], []) for name in (*RULES, "halves (chosen)")
        }
        rng = np.random.default_rng(2)
        for sample, _ in datasets(cell, world, count, 2):
            _rivals(sample, world, rng, found)
        for name, columns in found.items():
            print(
                f"| {world.forgot:.0%} / {world.learned:.0%} | {cell} | {name} | {' | '.join(map(percent, columns))} |",
                flush=True,
            )


def _rivals(
    sample: Sample, world: World, rng: Generator, found: Mapping[str, tuple[list[bool], list[bool], list[bool]]]
) -> None:
    tops, bottoms = contrast_sums(sample)
    for name, rule in RULES.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            at_truth = rule(sample.sums[:, 1:], sample.design.sizes[:, 1:], world.forgetting, rng)
            at_zero = rule(tops[:, 1:], bottoms[:, 1:], 0.0, rng)
        found[name][0].extend(at_truth > ERROR_RATE)
        found[name][1].extend(at_zero <= ERROR_RATE)
        found[name][2].append(bool((adjust(at_zero) <= ERROR_RATE).any()))
    forgetting, bias = means(sample)[1:], biased(sample)[1:]
    mine = found["halves (chosen)"]
    mine[0].extend(not (e.low > world.forgetting or e.high < world.forgetting) for e in forgetting)
    mine[1].extend(e.p_value <= ERROR_RATE for e in bias)
    mine[2].append(_any(bias))


def power_table(cells: Sequence[Cell], worlds: Sequence[World], count: int) -> None:
    """Prints how often each rule sees a biased forgetting of 5 points, and how often it sees what is not there."""
    print("| flips elsewhere | clusters a group | correlation | groups an example | detectable at 80 % "
          "| chaintune: seen | Holm: seen | false alarms | drop above 10 points: seen | false alarms "
          "| unpaired z: seen | false alarms |")  # fmt: skip
    print("| --- " * 12 + "|")
    for world, cell in itertools.product(worlds, cells):
        columns: list[list[bool]] = [[] for _ in range(7)]
        least = []
        for sample, _ in datasets(cell, world, count, 3):
            bias = biased(sample)[1:]
            p_values = np.array([e.p_value for e in bias])
            fixed, unpaired = sample.value[1:] > 0.1, unpaired_p(sample)[1:] <= ERROR_RATE
            least.append(detectable_biased(sample, error_rate=ERROR_RATE)[1])
            seen = (p_values[0] <= ERROR_RATE, adjust(p_values)[0] <= ERROR_RATE, fixed[0], unpaired[0])
            for column, value in zip((0, 1, 3, 5), seen, strict=True):
                columns[column].append(bool(value))
            for column, values in zip((2, 4, 6), (p_values <= ERROR_RATE, fixed, unpaired), strict=True):
                columns[column].extend(values[1:])
        rates_ = " | ".join(map(percent, columns))
        flips = f"{world.forgot:.0%} / {world.learned:.0%}"
        print(f"| {flips} | {cell} | {100 * float(np.nanmedian(least)):.1f} points | {rates_} |", flush=True)


def unpaired_p(sample: Sample, *, before: float = 0.6) -> Floats:
    """P-values of a z-test of group against rest that knows neither pairs nor clusters.

    Before and after are taken for independent samples, as when only accuracies are compared.
    """
    n = sample.design.n
    drop = np.stack([sample.value, (sample.value[0] * n[0] - sample.value * n) / np.maximum(n[0] - n, 1)])
    size = np.stack([n, np.maximum(n[0] - n, 1)])
    after = np.clip(before - drop, 0, 1)
    variance = ((before * (1 - before) + after * (1 - after)) / size).sum(axis=0)
    return np.asarray(2 * stats.norm.sf(np.abs(drop[0] - drop[1]) / np.sqrt(variance)))


def seeds_table(count: int) -> None:
    """Prints coverage when several seeds answer the same clusters."""
    print(
        "| seeds | seed effect | cluster effect | both | forgetting: coverage, whole task | a group "
        "| biased: false alarms |"
    )
    print("| --- " * 7 + "|")
    cell, limits = Cell(15, 0.0, multiple=False), np.asarray(stats.norm.ppf([0.8, 0.1]))
    for seeds, sizes in itertools.product(
        (2, 3, 5), ((0.0, 0.0, 0.0), (0.0, 0.4, 0.4), (0.15, 0.4, 0.3), (0.4, 0.4, 0.3))
    ):
        rng = np.random.default_rng(4)
        whole, group, alarms = [], [], []
        for number in range(count):
            if number % PER_DESIGN == 0:
                found, _ = design(rng, cell)
            latent = _latent(rng, found, seeds, sizes)
            change = 1.0 * (latent > limits[0]) - 1.0 * (latent < limits[1])
            sample = Sample.of(found, change, resamples=RESAMPLES, seed=number)
            covers = [e.low <= 0.1 <= e.high for e in means(sample)]
            whole.append(covers[0])
            group += covers[1:]
            alarms += [e.p_value <= ERROR_RATE for e in biased(sample)[1:]]
        print(
            f"| {seeds} | {' | '.join(map(str, sizes))} | {percent(whole)} | {percent(group)} | {percent(alarms)} |",
            flush=True,
        )


@dataclass(frozen=True)
class LabelCell:
    """How many clusters there are, whether one may hold both labels, and whether a group has one label only."""

    clusters: int
    mixed: bool
    one_label: bool

    def __str__(self) -> str:
        return f"{self.clusters} | {'both' if self.mixed else 'one'} | {'yes' if self.one_label else 'no'}"


# What happens to the commoner label's examples, and to the other's: alike, or what the mean of all hides.
LABEL_WORLDS: Mapping[str, tuple[World, World]] = {
    "alike": (World(0.15, 0.15), World(0.15, 0.15)),
    "uneven": (World(0.05, 0.20), World(0.50, 0.05)),
    "rare": (World(0.02, 0.02), World(0.10, 0.02)),
    "by rote": (World(0.0, 0.16), World(0.51, 0.0)),
}


def labelled(rng: Generator, cell: LabelCell) -> tuple[Design, NDArray[np.bool_]]:
    """Clusters of a labelling task, five groups and those of dimension `label`, and who bears the rarer label."""
    clusters = np.repeat(np.arange(cell.clusters), rng.integers(1, 10, cell.clusters))
    if cell.mixed:
        rarer = rng.random(len(clusters)) < 0.25
    else:
        rarer = rng.permutation(np.arange(cell.clusters) < cell.clusters / 4)[clusters]
    group = rng.integers(0, LABEL_GROUPS, len(clusters))
    if cell.one_label:
        group = np.where(rarer & (group == 0), rng.integers(1, LABEL_GROUPS, len(clusters)), group)
    bears = np.zeros((len(clusters), LABEL_GROUPS + 2))
    bears[np.arange(len(clusters)), group] = 1
    bears[np.arange(len(clusters)), LABEL_GROUPS + rarer] = 1
    names = np.where(rarer, "rarer", "usual")
    only = {LABEL_GROUPS + 1: "usual", LABEL_GROUPS + 2: "rarer"}
    return Design.of(clusters, sparse.csr_array(bears)).balanced_over(names, only, needed=needed_clusters(0.95)), rarer


def label_rates(cell: LabelCell, worlds: tuple[World, World], count: int) -> dict[str, float]:
    """Percent: coverage, false alarms and what is undefined of balanced means in one cell."""
    usual, other = (world.forgetting for world in worlds)
    truth, columns = (usual + other) / 2, list(range(1, LABEL_GROUPS + 1))
    seen: dict[str, list[bool]] = {name: [] for name in LABEL_COLUMNS}
    rng = np.random.default_rng([5, cell.clusters, cell.mixed, cell.one_label])
    plain = Cell(cell.clusters, 0.2, multiple=False)
    for number in range(count):
        if number % PER_DESIGN == 0:
            found, rarer = labelled(rng, cell)
        nobody = np.zeros(len(rarer))
        both = [changes(rng, found, nobody, plain, world) for world in worlds]
        sample = Sample.of(found, np.where(rarer, both[1], both[0]), resamples=RESAMPLES, seed=number)
        lost, bias = means(sample), biased(sample)
        groups = [(lost[k], bias[k]) for k in columns]
        seen["whole"].append(lost[0].low <= truth <= lost[0].high)
        seen["group"] += [one.low <= truth <= one.high for one, _ in groups if np.isfinite(one.low)]
        seen["biased"] += [two.low <= 0 <= two.high for one, two in groups if np.isfinite(one.low)]
        seen["biased, one label"] += [two.low <= 0 <= two.high for one, two in groups
                                      if np.isfinite(two.low) and not np.isfinite(one.low)]  # fmt: skip
        seen["false alarms"] += [two.p_value <= ERROR_RATE for _, two in groups if np.isfinite(two.low)]
        seen["family-wise"].append(_any([two for _, two in groups]))
        label = bias[LABEL_GROUPS + 2]
        seen["of a label"].append(label.low <= other - truth <= label.high)
        large = [k for k, (_, two) in enumerate(groups, start=1) if np.isfinite(two.low)]
        seen["disparity"] += [disparity(sample, large)[0].p_value <= ERROR_RATE] if len(large) > 1 else []
        seen["undefined"] += [not np.isfinite(one.low) for one, _ in groups]
        level = levels(found, np.where(sample.values > 0, 1.0, 0.0))[0]
        expected = (worlds[0].forgot + worlds[1].forgot) / 2
        seen["level"].append(level.low <= expected <= level.high)
    return {name: 100 * float(np.mean(values)) if values else np.nan for name, values in seen.items()}


def labels_table(cells: Sequence[LabelCell], count: int) -> None:
    """Prints what `label_rates` finds in every cell and world."""
    print(f"| changes | clusters | labels a cluster | a group of one label | {' | '.join(LABEL_COLUMNS)} |")
    print("| --- " * (4 + len(LABEL_COLUMNS)) + "|")
    for (name, worlds), cell in itertools.product(LABEL_WORLDS.items(), cells):
        numbers = label_rates(cell, worlds, count).values()
        shown = ("-" if np.isnan(number) else f"{number:.1f}" for number in numbers)
        print(f"| {name} | {cell} | {' | '.join(shown)} |", flush=True)


def _latent(rng: Generator, found: Design, seeds: int, sizes: tuple[float, float, float]) -> Floats:
    """Standard normal inclinations to change, in which seeds, clusters and both together have a say."""
    total = len(found.sizes)
    of_seed, of_cluster, of_both = (size * rng.normal(size=shape) for size, shape in
                                    zip(sizes, ((seeds, 1), (1, total), (seeds, total)), strict=True))  # fmt: skip
    rest = np.sqrt(1 - sum(size**2 for size in sizes))
    return np.asarray(
        (of_seed + of_cluster + of_both)[:, found.clusters] + rest * rng.normal(size=(seeds, len(found.clusters)))
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the data sets")
    parser.add_argument("--datasets", type=int, default=2000, help="in each cell of the first two tables (2000)")
    cells = [Cell(*parts) for parts in itertools.product((8, 15, 25, 50), (0.0, 0.2, 0.5), (False, True))]
    few = [Cell(clusters, 0.2, multiple=False) for clusters in (8, 15, 50)]
    two = [Cell(15, 0.2, multiple=False), Cell(25, 0.2, multiple=True)]
    less = [cell for cell in cells if cell.correlation != 0.5]
    tables: dict[str, tuple[str, Callable[[int], None]]] = {
        "chosen": ("The chosen methods", lambda n: grid_table(cells, [World(0.2, 0.1), World(0.15, 0.15)], n)),
        "rare": (
            "Few and one-sided changes",
            lambda n: grid_table(few, [World(0.06, 0.02), World(0.05, 0.0), World(0.2, 0.0)], n),
        ),
        "rivals": (
            "Rivals",
            lambda n: rivals_table(two, [World(0.2, 0.1), World(0.06, 0.02), World(0.05, 0.0)], n // 2),
        ),
        "power": (
            "Power for a biased forgetting of 5 points",
            lambda n: power_table(less, [World(0.15, 0.15, 0.055), World(0.2, 0.1, 0.055)], n // 2),
        ),
        "seeds": ("Several seeds", lambda n: seeds_table(n // 2)),
    }
    labels = [LabelCell(*parts) for parts in itertools.product((32, 60, 120), (False, True), (False, True))]
    tables["labels"] = ("Labelling tasks of 75:25 labels", lambda n: labels_table(labels, n // 2))
    parser.add_argument("--table", choices=list(tables), action="append", help="only this one; may be repeated")
    options = parser.parse_args(arguments)
    count = max(2, options.datasets // 10 if options.quick else options.datasets)
    print(f"{count} data sets in each cell, {RESAMPLES} halves in each data set, nominal level 95 %.")
    for name in options.table or tables:
        title, run = tables[name]
        print(f"\n## {title}\n")
        run(count)


if __name__ == "__main__":
    main()
