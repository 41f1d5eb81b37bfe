"""From values of examples to result rows: one for each seed, one for all seeds together."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from chaintune.forgetting.compare import adjusted_by_dimension, detectable_limits, dimension_disparity
from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.runs import Condition, named
from chaintune.forgetting.verdicts import verdict
from chaintune.records import Estimate, ResultRow
from chaintune.stats import Sample, biased, means, rates
from chaintune.stats.clusters import Floats

ONE_PAIR = "these checkpoints only"


@dataclass(frozen=True)
class About:
    """What rows are about: study, checkpoint, what it is compared with, and the task measured."""

    study: str
    condition: Condition
    reference: str
    task: str

    def row(self, metric: str, seed: str, estimate: Estimate, label: tuple[str, str] = ("", "")) -> ResultRow:
        """A row without a verdict."""
        if seed != "all" and self.condition.chain and estimate.method:
            estimate = replace(estimate, method=f"{estimate.method}; {ONE_PAIR}")
        variant = ", ".join(f"{name}={value}" for name, value in self.condition.variant)
        return ResultRow(
            self.study, self.condition.base, named(self.condition.chain), variant, len(self.condition.chain),
            self.reference, self.task, metric, *label, seed, estimate,
        )  # fmt: skip


def by_seed(seeds: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Labels and positions of each seed alone and, where there are several, of all together."""
    alone = [(str(seed), [position]) for position, seed in enumerate(seeds)]
    return alone if len(seeds) < 2 else [*alone, ("all", list(range(len(seeds))))]


def accuracy_rows(
    about: About, groups: Grouping, values: Floats, seeds: Sequence[int], options: Inference
) -> list[ResultRow]:
    """Accuracy of the whole task and of every group. Shape: values `[S, E]`."""
    rows = []
    for seed, positions in by_seed(seeds):
        estimates = rates(groups.design, values[positions], level=options.level, seed=options.seed)
        rows += [about.row("accuracy", seed, e, label) for e, label in zip(estimates, groups.labels, strict=True)]
    return rows


def mean_rows(
    about: About, metric: str, groups: Grouping, values: Floats, seeds: Sequence[int], options: Inference
) -> list[ResultRow]:
    """Mean of the values over the whole task and over every group. Shape: values `[S, E]`."""
    rows = []
    for seed, sample in samples(groups, values, seeds, options):
        estimates = adjusted_by_dimension(groups, means(sample, level=options.level), options)
        rows += [about.row(metric, seed, e, label) for e, label in zip(estimates, groups.labels, strict=True)]
    return rows


def forgetting_rows(
    about: About, groups: Grouping, values: Floats, seeds: Sequence[int], options: Inference
) -> list[ResultRow]:
    """Forgetting, biased forgetting and disparity of everything. Shape: values `[S, E]`, before minus after."""
    rows = []
    for seed, sample in samples(groups, values, seeds, options):
        lost = adjusted_by_dimension(groups, means(sample, level=options.level), options)
        rows += [
            with_verdict(about.row("forgetting", seed, e, label), options)
            for e, label in zip(lost, groups.labels, strict=True)
        ]
        bias = biased(sample, level=options.level, reference=options.reference)
        labelled = zip(adjusted_by_dimension(groups, bias, options)[1:], groups.labels[1:], strict=True)
        rows += [about.row("biased_forgetting", seed, e, label) for e, label in labelled]
        rows += _disparity_rows(about, groups, seed, sample, options)
        rows += _detectable_rows(about, groups, seed, (sample, lost, bias), options)
    return rows


def estimate_rows(
    about: About, metric: str, seeds: Sequence[int], estimate: Callable[[list[int]], Estimate]
) -> list[ResultRow]:
    """Rows of one estimate of the whole task, made anew from the positions of each set of seeds."""
    return [about.row(metric, seed, estimate(positions)) for seed, positions in by_seed(seeds)]


def samples(groups: Grouping, values: Floats, seeds: Sequence[int], options: Inference) -> Iterable[tuple[str, Sample]]:
    """The sample of each seed and of all seeds together."""
    for seed, positions in by_seed(seeds):
        yield seed, Sample.of(groups.design, values[positions], resamples=options.resamples, seed=options.seed)


def with_verdict(row: ResultRow, options: Inference) -> ResultRow:
    """The row of a forgetting with its verdict."""
    return replace(row, verdict=verdict(row.estimate, margin=options.margin, level=options.level))


def _disparity_rows(about: About, groups: Grouping, seed: str, sample: Sample, options: Inference) -> list[ResultRow]:
    rows = []
    for dimension in groups.dimensions:
        found = dimension_disparity(groups, sample, dimension, options)
        null = replace(
            found.estimate, value=found.null_expectation, p_value=float("nan"),
            reason=found.estimate.reason and "no interval: the disparity to expect if all groups forgot alike",
        )  # fmt: skip
        if found.n_groups < 2:
            null = found.estimate
        rows.append(about.row("disparity", seed, found.estimate, (dimension, "")))
        rows.append(about.row("disparity_expected", seed, null, (dimension, "")))
    return rows


def _detectable_rows(
    about: About,
    groups: Grouping,
    seed: str,
    found: tuple[Sample, list[Estimate], list[Estimate]],
    options: Inference,
) -> list[ResultRow]:
    sample, lost, bias = found
    limits = detectable_limits(groups, sample, options, (lost, bias))
    rows = []
    for metric, values in zip(("detectable_forgetting", "detectable_biased_forgetting"), limits, strict=True):
        for label, value, estimate in zip(groups.labels, values, lost, strict=True):
            if metric == "detectable_forgetting" or label[0]:
                facts = replace(Estimate(float(value)), n=estimate.n, n_clusters=estimate.n_clusters)
                reason = "no interval: what these data could show with 80 % probability"
                if math.isnan(value):
                    reason = f"too few clusters{' or seeds' if sample.n_seeds > 1 else ''} to show any change"
                rows.append(about.row(metric, seed, replace(facts, n_seeds=estimate.n_seeds, reason=reason), label))
    return rows
