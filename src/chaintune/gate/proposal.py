"""A policy whose budgets can be kept at the sizes of scores at hand, by simulated comparisons that lose nothing."""

import json
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse.linalg import lsqr
from scipy.special import ndtr, ndtri

from chaintune.errors import ConfigError, number_of
from chaintune.forgetting.compare import compare
from chaintune.forgetting.grouping import Grouping, grouping, memberships
from chaintune.forgetting.units import Unit
from chaintune.logs.compare import check_dimensions
from chaintune.logs.options import CompareOptions
from chaintune.logs.readers import read_log
from chaintune.logs.sides import read_sides
from chaintune.records import Scores
from chaintune.records.amounts import SHARE, Amount, is_share
from chaintune.records.scales import rounded_up
from chaintune.stats import Flips, Sample, biased, means
from chaintune.stats.clusters import Floats
from chaintune.stats.contrasts import common_scatter
from chaintune.stats.simulation import draw_changes

Draw = Callable[[np.random.Generator], Floats]

# What a release would like to ask: of a whole task, of each group, and of each group beside the whole.
USUAL = {"": 0.02, "forgetting": 0.05, "biased_forgetting": 0.03}
# Assumed where one side is all there is: share of examples that flips either way, and their correlation in clusters.
_FLIPS, _CORRELATION = 0.1, 0.1
# Joint share to reach; the figure of so many draws is off by a few percent.
_POWER = 0.85
_STEP = 0.005
_LARGEST = 0.25
# Of scores that are no shares there is no usual budget, and the least one is told with so many figures, rounded up.
_FIGURES = 2
_RESAMPLES = 499
_AS_THEY_ARE = CompareOptions(on_missing="intersect")


@dataclass(frozen=True, eq=False)
class _Wish:
    """One budget that might be asked of a task.

    Attributes:
        dimension, statistic: of the budget; both empty for the whole task.
        groups: that can be judged, where not all can.
        sizes: fewest and most examples of what is judged.
        highs: the largest upper end in each simulated comparison.
        unit: of the scores.
    """

    dimension: str
    statistic: str
    groups: tuple[str, ...]
    sizes: tuple[int, int]
    highs: Floats
    unit: str = SHARE

    @property
    def usual(self) -> float:
        """The budget that one would like; 0 of scores of which none is usual."""
        return USUAL[self.statistic] if is_share(self.unit) else 0.0

    @property
    def largest(self) -> float:
        """The largest budget that makes sense."""
        return _LARGEST if is_share(self.unit) else math.inf

    def least(self, share: float) -> float:
        """The usual budget, or the smallest one, in half points or to two figures, that is kept so often."""
        high = float(np.quantile(self.highs, share, method="higher"))
        if not math.isfinite(high) or high <= 0:
            return max(self.usual, 0.0) if math.isfinite(high) else math.inf
        step = _STEP if is_share(self.unit) else 10.0 ** (math.floor(math.log10(high)) + 1 - _FIGURES)
        return max(self.usual, float(f"{math.ceil(high / step - 1e-9) * step:.3g}"))


def proposed_policy(paths: Sequence[Path], options: CompareOptions = _AS_THEY_ARE, *, draws: int = 200) -> str:
    """The text of a policy, with what each budget rests on as comments.

    Args:
        paths: scores or a log of one checkpoint, or of the one before and the one after.
        options: how they are read; its dimensions are the ones that get budgets, without any all that the scores have.
        draws: comparisons to simulate.

    Raises:
        ConfigError: more than two paths, crossed dimensions, or no task of which a budget could be kept.
        DataError: a path cannot be read.
    """
    if not 1 <= len(paths) <= 2:
        raise ConfigError(f"--scores: expected one file, or the one before and the one after, got {len(paths)}")
    if options.crossings:
        raise ConfigError(f"--by {' x '.join(options.crossings[0])}: budgets are proposed of one dimension; name one")
    tasks = list(_tasks(paths, options))
    text = [part for scores, change in tasks for part in _of_task(scores, change, options.plain, draws)]
    if not any(line.startswith("  - ") for line in text):
        raise ConfigError(f"--scores {paths[0]}: no task of which a budget could be kept; see `chaintune policy init`")
    rests = (
        "changes scatter as between the two files, whatever was lost between these"
        if len(paths) == 2
        else f"flips of at most {100 * _FLIPS:.0f} % of the examples either way, assumed"
    )
    cluster = f" --cluster {shlex.quote(options.read.cluster)}" if options.read.cluster else ""
    return "\n".join([
        "# A policy for scores of these sizes: if nothing is lost, a task keeps all its budgets with 80 % power.",
        f"#   chaintune compare BEFORE AFTER{cluster} --policy FILE",
        f"# By {draws} simulated comparisons in which nothing is lost; {rests}.",
        "",
        "budgets:",
        *text,
        "",
    ])  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Change:
    """What each example lost between two sides, in the unit of the scores. Shape: values `[E]`."""

    values: Floats
    unit: Unit


def _tasks(paths: Sequence[Path], options: CompareOptions) -> Iterator[tuple[Scores, _Change | None]]:
    """Scores before of each task, and how they changed where there are two sides."""
    if len(paths) == 1:
        logs = list(read_log(paths[0], options.reading).values())
        check_dimensions(logs, options)
        yield from ((log.scores, None) for log in logs)
        return
    sides = read_sides(paths[0], paths[1], options)
    check_dimensions([sides.before[task] for task in sides.tasks], options)
    for task in sides.tasks:
        pair = sides.paired(task)
        scores = (pair.before.item_scores(), pair.after.item_scores())
        unit = Unit.of(pair.before.metric, scores)
        yield pair.before, _Change(unit.inward(scores[0]) - unit.inward(scores[1]), unit)


def _of_task(scores: Scores, change: _Change | None, by: Sequence[str], draws: int) -> Iterator[str]:
    """Lines of a task's budgets."""
    name, unit = json.dumps(scores.task), scores.metric.unit
    scores = scores.with_scores()
    if not len(scores):
        yield f"  # {name}: no proposal, as no example has a score."
        return
    if change is None and not is_share(unit):
        yield (
            f"  # {name}: no proposal from one file, which does not tell how far scores in {unit} scatter between two "
            "checkpoints;"
        )
        yield "  # name the side after as a second --scores."
        return
    dimensions = tuple(name for name in memberships(scores.table) if not by or name in by)
    groups = grouping(scores, dimensions)
    known = compare(scores, scores, by=dimensions, resamples=100)
    reasons = {(row.dimension, row.group): row.verdict_reason for row in (known.overall, *known.groups)}
    yield f"  # {name}: {number_of(len(scores), 'example')} in {number_of(groups.design.total, 'cluster')}."
    if reasons["", ""]:
        why = " ".join(reasons["", ""].split())  # on one line of a comment
        yield f"  # No budget of it could be kept: {why}."
        return
    if change is None or is_share(unit):
        draw, scale = _flips(scores, groups, change), 1.0
    else:
        draw, scale = _signs(groups, change.values), change.unit.width
    yield from _lines(name, list(_wishes(groups, draw, reasons, draws, unit=unit, scale=scale)))


def _flips(scores: Scores, groups: Grouping, change: _Change | None) -> Draw:
    """Changes of shares: flips either way, that scatter as between the two sides, or as is assumed of one."""
    if change is None:
        right = float(np.clip(scores.item_scores().mean(), 0.01, 0.99))
        either, correlation = min(_FLIPS, right / 2, (1 - right) / 2), _CORRELATION
    else:
        about = _scatter(groups, change.values)
        either = _flip_rate(groups, change.values)
        correlation = common_scatter(Sample.of(groups.design, about, resamples=1))[1]
    flips = Flips(either, either, correlation)
    still = np.zeros(len(groups.design.clusters))
    return lambda rng: draw_changes(rng, groups.design, flips, still)


def _flip_rate(groups: Grouping, change: Floats) -> float:
    """Share of examples that would flip either way had nobody lost anything, by the latent change that `Flips` moves.

    The loss of each group of a dimension is taken off, or that of the whole task: of the dimension that explains most.
    """
    members, n = groups.design.members, groups.design.n
    # Half a flip of each kind more than there are, for a kind that did not occur may yet.
    forgot, learned = ((members.T @ np.maximum(one, 0.0) + 0.5) / (n + 1) for one in (change, -change))
    still = ndtr((ndtri(forgot) + ndtri(learned)) / 2)
    return min(float(np.average(still[own], weights=n[own])) for own in ([0], *map(groups.columns, groups.dimensions)))


def _scatter(groups: Grouping, change: Floats) -> Floats:
    """The changes less what the whole task and each group lost, as large as if nothing had been estimated for that.

    Groups of all dimensions are fitted together, by least squares. Where there are not two clusters for each, nothing
    tells the loss of a group from scatter, and only that of the whole is taken off. Shape: `[E]`.
    """
    design = groups.design
    fitted = 1 + sum(len(groups.columns(dimension)) - 1 for dimension in groups.dimensions)
    members, fitted = (design.members, fitted) if design.total >= 2 * fitted else (design.members[:, :1], 1)
    about = change - members @ lsqr(members, change)[0]
    return np.asarray(about * math.sqrt(design.total / max(design.total - fitted, 1)))


def _signs(groups: Grouping, change: Floats) -> Draw:
    """Changes of any scores: the scatter between the two sides, each cluster's with a random sign.

    Source: the wild bootstrap of clusters (Cameron, Gelbach and Miller, 2008).
    """
    about, design = _scatter(groups, change), groups.design
    return lambda rng: about * rng.choice([-1.0, 1.0], design.total)[design.clusters]


def _wishes(
    groups: Grouping,
    draw: Draw,
    reasons: dict[tuple[str, str], str],
    draws: int,
    *,
    unit: str,
    scale: float,
) -> Iterator[_Wish]:
    """What might be asked, with the upper ends of simulated comparisons in which nothing is lost."""
    design = groups.design
    highs = np.empty((2, draws, len(groups.labels)))
    for number in range(draws):
        values = draw(np.random.default_rng([0, number]))
        sample = Sample.of(design, values, resamples=_RESAMPLES, seed=number)
        highs[:, number] = [[scale * each.high for each in of(sample)] for of in (means, biased)]
    n = design.own_n
    yield _Wish("", "", (), (int(n[0]), int(n[0])), highs[0, :, 0], unit)
    for dimension in groups.dimensions:
        columns = groups.columns(dimension)
        for kind, statistic in enumerate(("forgetting", "biased_forgetting")):
            able = [k for k in columns if not reasons.get(groups.labels[k]) and np.isfinite(highs[kind, :, k]).all()]
            if len(columns) > 1:
                names = () if len(able) == len(columns) else tuple(groups.labels[k][1] for k in able)
                sizes = int(design.n[able or columns].min()), int(design.n[able or columns].max())
                most = highs[kind][:, able].max(axis=1) if able else np.full(draws, np.inf)
                yield _Wish(dimension, statistic, names, sizes, most, unit)


def _lines(task: str, wishes: Sequence[_Wish]) -> Iterator[str]:
    """The budgets, each at the same share of comparisons in which it is kept, so that all are with 80 % power."""
    shares = np.linspace(0.8, 1.0, 41)
    asked = [[wish for wish in wishes if wish.least(share) <= wish.largest] for share in shares]
    together = [
        np.mean(np.all([wish.highs <= wish.least(share) for wish in some], axis=0)) if some else 1.0
        for share, some in zip(shares, asked, strict=True)
    ]
    place = next((number for number, joint in enumerate(together) if joint >= _POWER), len(shares) - 1)
    for wish in wishes:
        if np.isinf(wish.highs).all():
            by = json.dumps(wish.dimension)
            yield f"  # No budget of {wish.statistic} by {by}: no group is large enough and above chance."
            continue
        least = wish.least(float(shares[place]))
        statistic = wish.statistic or "forgetting"
        a_group = " a group" if wish.dimension else ""
        if not is_share(wish.unit):
            yield f"  # What {_sizes(wish)} examples{a_group} can show; half as much takes four times as many."
            yield from _entry(task, wish, statistic, str(Amount(least, wish.unit)))
            continue
        often = f"{wish.usual:g} would be kept in {100 * np.mean(wish.highs <= wish.usual):.0f} of 100"
        # The upper end falls with the root of the number of examples.
        times = max((float(np.quantile(wish.highs, 0.8)) / wish.usual) ** 2, 1.0)
        why = f"{often}; it needs about {rounded_up(wish.sizes[0] * times):,} examples{a_group} (here {_sizes(wish)})"
        if least > wish.largest:
            by = f" by {json.dumps(wish.dimension)}" if wish.dimension else ""
            yield f"  # No budget of {statistic}{by} up to {_LARGEST:g} could be kept: {why}."
            continue
        yield f"  # {why}." if least > wish.usual else f"  # {often}."
        yield from _entry(task, wish, statistic, f"{least:g}")


def _sizes(wish: _Wish) -> str:
    return f"{wish.sizes[0]:,}" + (f" to {wish.sizes[1]:,}" if wish.sizes[1] > wish.sizes[0] else "")


def _entry(task: str, wish: _Wish, statistic: str, limit: str) -> Iterator[str]:
    """The lines of one budget."""
    yield f"  - task: {task}"
    if wish.dimension:
        yield f"    by: {json.dumps(wish.dimension)}"
    if wish.groups:
        yield f"    group: {json.dumps(list(wish.groups))}  # the others are too small, or not above chance before"
    yield f"    {statistic}: {limit}"
