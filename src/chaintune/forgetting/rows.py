"""Result rows from values of examples: one for each seed, one for all seeds together."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from chaintune.forgetting.changes import Changes, by_dimension, changes, dimension_disparity
from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference, over_pairs
from chaintune.forgetting.runs import Runs
from chaintune.forgetting.units import SHARES, Unit
from chaintune.forgetting.verdicts import verdict
from chaintune.records import ALL_SEEDS, Checkpoint, Estimate, ResultRow, chain_label, variant_label
from chaintune.records.amounts import is_share, margin_in
from chaintune.stats import Sample, means, own_means, rates
from chaintune.stats.clusters import Floats
from chaintune.stats.detectable import Prospect
from chaintune.stats.seeds import farthest, seed_variances

ONE_PAIR = "these checkpoints only"
# Of two seeds neither lies farther from the other.
_FEWEST_SEEDS = 3
# Of values that are not in the unit of the item metric.
_UNITS = {
    "dose": "share", "fraction": "share", "recovery": "share", "retained_gain": "share", "asymmetry": "share",
    "extra_tokens": "tokens", "extra_seconds": "seconds", "needs_old_data": "", "rounding": "share",
    "rounding_nats": "nats", "forgot": "examples", "learned": "examples", "missing": "examples",
    "power_5": "share", "power_10": "share", "examples_needed": "examples", "clusters_needed": "clusters",
    "disparity_groups": "groups", "chat_agreement": "share", "bbq_bias_ambiguous": "", "bbq_bias_disambiguated": "",
}  # fmt: skip

Keys = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Subject:
    """What rows are about.

    Attributes:
        study: its name.
        checkpoint: that is measured, of every seed.
        reference: label of the chain that it is compared with; empty when none.
        task: measured.
        item_unit: of the scores of an example.
        checkpoint_keys, reference_keys: of the weights, by the seed as a row has it.
    """

    study: str
    checkpoint: Checkpoint
    reference: str
    task: str
    item_unit: Unit = SHARES
    checkpoint_keys: Keys = field(default_factory=dict)
    reference_keys: Keys = field(default_factory=dict)

    def row(self, metric: str, seed: str, estimate: Estimate, label: tuple[str, str] = ("", "")) -> ResultRow:
        """A row without a verdict."""
        own, unit = self.checkpoint, self.item_unit
        if metric not in _UNITS:
            estimate = unit.level(estimate) if metric == "accuracy" else unit.difference(estimate)
        if seed != ALL_SEEDS and own.chain and estimate.method:
            estimate = replace(estimate, method=f"{estimate.method}; {ONE_PAIR}")
        return ResultRow(
            self.study, own.base, chain_label(own.labels), variant_label(own.variant), len(own.chain),
            self.reference, self.task, metric, *label, seed, estimate,
            checkpoint_keys=self.checkpoint_keys.get(seed, ()),
            reference_keys=self.reference_keys.get(seed, ()),
            item_metric=unit.metric.name,
            unit=_UNITS.get(metric, unit.metric.unit),
            direction=unit.metric.direction,
            margin=unit.metric.margin if metric not in _UNITS and metric != "accuracy" else math.nan,
            steps=own.labels,
            settings=tuple(value for _, value in own.variant),
        )  # fmt: skip


def subject_of(
    runs: Runs,
    checkpoint: Checkpoint,
    task: str,
    seeds: Sequence[int],
    reference: Checkpoint | Sequence[Checkpoint] | None = None,
    *,
    name: str = "",
) -> Subject:
    """The subject of rows about a checkpoint and a task.

    Args:
        runs: of the study.
        checkpoint: that is measured, of every seed.
        task: measured.
        seeds: that the rows are of.
        reference: that it is compared with: one, or one for each seed.
        name: of the references where they are not one.
    """
    references = [reference] * len(seeds) if isinstance(reference, Checkpoint) else list(reference or ())
    label = name or (chain_label(references[0].labels) if references else "")
    keys = (
        keys_by_seed(runs, seeds, [[one] for one in several]) for several in ([checkpoint] * len(seeds), references)
    )
    return Subject(runs.study, checkpoint, label, task, runs.unit(task), *keys)


def keys_by_seed(runs: Runs, seeds: Sequence[int], checkpoints: Sequence[Sequence[Checkpoint]]) -> Keys:
    """Addresses of the weights of each seed and of all seeds together; those that are not known are absent.

    Args:
        runs: of the study.
        seeds: in order.
        checkpoints: of each seed; none at all gives no key.
    """
    known = [
        tuple(filter(None, (runs.key(one, seed) for one in several)))
        for seed, several in zip(seeds, checkpoints, strict=False)
    ]
    if not known:
        return {}
    return {label: tuple(key for at in positions for key in known[at]) for label, positions in by_seed(seeds)}


def by_seed(seeds: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Labels and positions of each seed alone and, where there are several, of all together."""
    alone = [(str(seed), [position]) for position, seed in enumerate(seeds)]
    return alone if len(seeds) < 2 else [*alone, (ALL_SEEDS, list(range(len(seeds))))]


def accuracy_rows(
    subject: Subject, groups: Grouping, values: Floats, seeds: Sequence[int], options: Inference
) -> list[ResultRow]:
    """Mean score of the whole task and of every group, whatever the item metric. Shape: values `[S, E]`."""
    rows = []
    for seed, positions in by_seed(seeds):
        estimates = mean_scores(groups, values[positions], subject.item_unit, options)
        rows += [subject.row("accuracy", seed, e, label) for e, label in zip(estimates, groups.labels, strict=True)]
    return rows


def mean_scores(groups: Grouping, values: Floats, unit: Unit, options: Inference) -> list[Estimate]:
    """Mean of the values over the whole task and over every group, with no test.

    The exact limits of rates are for shares; the mean of any other score has those of means.

    Args:
        groups: of the examples.
        values: from 0, the worst, to 1, the best, a row for each seed.
        unit: of the scores that they come from.
        options: how sure.

    Shape: values `[S, E]`.
    """
    if unit.metric.range == SHARES.metric.range:
        return rates(groups.design, values, level=options.level, seed=options.seed)
    sample = Sample.of(groups.design, values, resamples=options.resamples, seed=options.seed)
    return means(sample, level=options.level, bounded=False)


def mean_rows(
    subject: Subject, metric: str, groups: Grouping, values: Floats, seeds: Sequence[int], options: Inference
) -> list[ResultRow]:
    """Mean of the values over the whole task and over every group. Shape: values `[S, E]`."""
    rows = []
    for seed, sample in samples(groups, values, seeds, options):
        estimates = by_dimension(groups, sample, own_means(sample), options)
        made = (subject.row(metric, seed, e, label) for e, label in zip(estimates, groups.labels, strict=True))
        rows += [_in_family(row, groups, options) for row in made]
    return rows


def forgetting_rows(
    subject: Subject,
    groups: Grouping,
    values: Floats,
    seeds: Sequence[int],
    options: Inference,
    *,
    identical: bool = False,
) -> list[ResultRow]:
    """Forgetting, biased forgetting, disparity and detectable changes of everything.

    Args:
        subject: of the rows.
        groups: of the examples.
        values: before minus after.
        seeds: of the values.
        options: how sure, and relative to what.
        identical: the two checkpoints answer alike to the last bit, so nothing is left to chance.

    Shape: values `[S, E]`.
    """
    rows = []
    for seed, sample in samples(groups, values, seeds, options):
        estimates = changes(groups, sample, options, identical=identical)
        rows += change_rows(subject, seed, estimates)
        rows += [
            subject.row("pooled_forgetting", seed, e, label)
            for e, label in zip(estimates.pooled[1:], groups.labels[1:], strict=True)
        ]
        rows += _disparity_rows(subject, groups, seed, sample, options)
        rows += _detectable_rows(subject, groups, seed, estimates)
        if is_share(subject.item_unit.metric.unit):
            rows += _power_rows(subject, groups, seed, estimates)
        if sample.n_seeds >= _FEWEST_SEEDS:
            rows.append(_outlying_row(subject, sample, seeds))
    return rows


def change_rows(subject: Subject, seed: str, estimates: Changes) -> list[ResultRow]:
    """Forgetting of the whole task and of every group with its verdict, and biased forgetting of the groups."""
    groups, options = estimates.groups, estimates.options
    rows = [
        with_verdict(_in_family(subject.row("forgetting", seed, e, label), groups, options), options)
        for e, label in zip(estimates.forgetting, groups.labels, strict=True)
    ]
    bias = zip(estimates.biased[1:], groups.labels[1:], strict=True)
    of_bias = (_in_family(subject.row("biased_forgetting", seed, e, label), groups, options) for e, label in bias)
    rows += [replace(row, bf_reference=options.reference) for row in of_bias]
    return rows


def estimate_rows(
    subject: Subject, metric: str, seeds: Sequence[int], estimate: Callable[[list[int]], Estimate]
) -> list[ResultRow]:
    """Rows of one estimate of the whole task, computed for each seed and for all seeds together."""
    return [subject.row(metric, seed, estimate(positions)) for seed, positions in by_seed(seeds)]


def samples(groups: Grouping, values: Floats, seeds: Sequence[int], options: Inference) -> Iterable[tuple[str, Sample]]:
    """The sample of each seed and of all seeds together."""
    for seed, positions in by_seed(seeds):
        yield seed, Sample.of(groups.design, values[positions], resamples=options.resamples, seed=options.seed)


def _in_family(row: ResultRow, groups: Grouping, options: Inference) -> ResultRow:
    """The row of a group with the name of its family, and the groups that are one test with it."""
    if not row.dimension:
        return row
    family = f"{row.metric} by {row.dimension}{over_pairs(options.pairs)}" if row.estimate.is_adjusted else ""
    return replace(row, family=family, same_examples=groups.same_examples.get((row.dimension, row.group), ()))


def with_verdict(row: ResultRow, options: Inference) -> ResultRow:
    """The row of a forgetting with its verdict; a group that has no forgetting of its own has none."""
    if row.dimension and math.isnan(row.estimate.value):
        return row
    margin = margin_in(row.unit, options.margin, row.margin)
    return replace(row, verdict=verdict(row.estimate, margin=margin, level=options.level))


def _disparity_rows(
    subject: Subject, groups: Grouping, seed: str, sample: Sample, options: Inference
) -> list[ResultRow]:
    rows = []
    for dimension in groups.dimensions:
        spread = dimension_disparity(groups, sample, dimension, options)
        null = replace(
            spread.estimate, value=spread.null_expectation, p_value=float("nan"),
            reason=spread.estimate.reason and "no interval: the disparity to expect if all groups forgot alike",
        )  # fmt: skip
        if spread.n_groups < 2:
            null = spread.estimate
        rows.append(subject.row("disparity", seed, spread.estimate, (dimension, "")))
        rows.append(subject.row("disparity_expected", seed, null, (dimension, "")))
    return rows


def _outlying_row(subject: Subject, sample: Sample, seeds: Sequence[int]) -> ResultRow:
    """How far the farthest seed's forgetting lies from the mean of the others; the row is the seed's own."""
    whole = sample.seed_sums[:, :, :1]
    explained = seed_variances(whole, np.broadcast_to(sample.design.weights[:, :1], whole.shape))[1]
    place, away, p_value = farthest(sample.value_by_seed, math.sqrt(float(explained[0]) * len(seeds)))
    reason = f"no interval: seed {seeds[place]} against the mean of the other {len(seeds) - 1}"
    facts = {"n": int(sample.design.own_n[0]), "n_clusters": int(sample.design.own_clusters[0]), "n_seeds": len(seeds)}
    if math.isnan(p_value):
        estimate = Estimate.undefined("all seeds lost alike", **facts)
    else:
        estimate = Estimate(away, p_value=p_value, method=f"Grubbs' test of {len(seeds)} seeds", reason=reason, **facts)
    return subject.row("outlying_seed", str(seeds[place]), estimate)


def _power_rows(subject: Subject, groups: Grouping, seed: str, estimates: Changes) -> Iterator[ResultRow]:
    """Power at 5 and at 10 points, and what 80 % at 10 points take: of forgetting of the whole, else of its bias."""
    whole = _power(estimates.prospect.of_whole(), groups)
    by_group = _power(estimates.prospect_of_biased, groups) if groups.labels[1:] else {}
    for place, (label, estimate) in enumerate(zip(groups.labels, estimates.forgetting, strict=True)):
        for metric, values in (by_group if label[0] else whole).items():
            value = float(values[place])
            reason = "no interval: by formula, from the flips at hand"
            if math.isnan(value):
                reason = "too few clusters for a test, changes all alike, too large a change, or several seeds"
            known = replace(Estimate(value), n=estimate.n, n_clusters=estimate.n_clusters, n_seeds=estimate.n_seeds)
            yield subject.row(metric, seed, replace(known, reason=reason), label)


def _power(prospect: Prospect, groups: Grouping) -> dict[str, Floats]:
    """Power at 5 and at 10 points, and what 80 % at 10 points take."""
    times = prospect.growth(0.1)
    return {
        "power_5": prospect.power(0.05),
        "power_10": prospect.power(0.1),
        "examples_needed": np.ceil(times * groups.design.n[: len(times)]),
        "clusters_needed": np.ceil(times * groups.design.n_clusters[: len(times)]),
    }


def _detectable_rows(subject: Subject, groups: Grouping, seed: str, estimates: Changes) -> list[ResultRow]:
    rows = []
    prospects = {
        "detectable_forgetting": estimates.prospect,
        "detectable_biased_forgetting": estimates.prospect_of_biased,
    }
    for metric, one in prospects.items():
        limits = zip(groups.labels, one.detectable(), one.alike, estimates.forgetting, strict=True)
        for label, value, alike, estimate in limits:
            if metric == "detectable_forgetting" or label[0]:
                facts = replace(Estimate(float(value)), n=estimate.n, n_clusters=estimate.n_clusters)
                reason = "no interval: what these data could show with 80 % probability"
                if math.isnan(value) and alike:
                    reason = "all examples changed alike, so nothing tells how small a change could be shown"
                elif math.isnan(value):
                    reason = f"too few clusters{' or seeds' if estimate.n_seeds > 1 else ''} to show any change"
                rows.append(subject.row(metric, seed, replace(facts, n_seeds=estimate.n_seeds, reason=reason), label))
    return rows
