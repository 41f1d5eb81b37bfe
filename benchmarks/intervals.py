"""Seconds for intervals of forgetting in every group, beside `scipy.stats.bootstrap` on the same question.

    python benchmarks/intervals.py [--examples 58492] [--clusters 343] [--resamples 10000]

The question: forgetting of the whole task and of eleven groups on each of two dimensions, each with a 95 % interval
from resampled clusters. scipy is given the cluster sums, so both resample clusters and neither handles examples.
chaintune answers more in that time (p-values, biased forgetting, flips, disparity, detectable change); a second
line times all of `compare`, from two tables of scores to the record. Then the same with every example a cluster of
its own, where scipy's resamples are as long as the table.
"""

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats

from chaintune.forgetting import compare
from chaintune.forgetting.grouping import grouping
from chaintune.records import SCORES_SCHEMA, Scores
from chaintune.records.scores import whole_table
from chaintune.stats import Sample, means

GROUPS = 11
DIMENSIONS = ("category", "second")


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    examples: int
    clusters: int
    resamples: int


def scores(options: Options, *, clusters: int, seed: int) -> Scores:
    """Made-up scores in the shape of BBQ: a cluster lies in one category, examples in one or two second groups."""
    layout = np.random.default_rng(0)
    n = options.examples
    cluster = np.sort(layout.integers(0, clusters, n)) if clusters < n else np.arange(n)
    category, second = cluster * GROUPS // clusters, layout.integers(0, GROUPS, n)
    groups = [
        [("category", [f"c{c:02d}"]), ("second", [f"s{s:02d}", f"s{(s + 1) % GROUPS:02d}"][: 1 + (s % 2)])]
        for c, s in zip(category.tolist(), second.tolist(), strict=True)
    ]
    gold = layout.integers(0, 3, n)
    right = np.random.default_rng(seed).random(n) < 0.7
    prediction = np.where(right, gold, (gold + 1) % 3)
    logprobs = np.full((n, 3), -3.0)
    logprobs[np.arange(n), prediction] = -0.5
    columns = {
        "task": ["made-up"] * n,
        "example_id": [f"{number:06d}" for number in range(n)],
        "cluster": [f"{number:06d}" for number in cluster.tolist()],
        "groups": pa.array(groups, SCORES_SCHEMA.field("groups").type),
        "gold": gold.astype(np.int32),
        "choice_logprobs": list(logprobs),
        "choice_tokens": [[1, 1, 1]] * n,
        "choice_bytes": [[3, 3, 3]] * n,
        "choice_roles": [[]] * n,
        "prediction": prediction.astype(np.int32),
        "correct": right,
        "score": right.astype(np.float64),
    }
    return Scores("made-up", whole_table(pa.table(columns)))


def timed(work: Callable[[], object], *, rounds: int = 2) -> tuple[float, object]:
    """Seconds of the fastest round, and what the work returned."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), found


def with_scipy(sums: NDArray[np.float64], sizes: NDArray[np.float64], resamples: int) -> list[tuple[float, float]]:
    """Percentile intervals of every column's ratio, one call of `scipy.stats.bootstrap` each."""

    def ratio(tops: NDArray[np.float64], bottoms: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        return np.asarray(tops.sum(axis=axis) / bottoms.sum(axis=axis))

    found = []
    for column in range(sums.shape[1]):
        present = sizes[:, column] > 0
        result = stats.bootstrap(
            (sums[present, column], sizes[present, column]),
            ratio,
            n_resamples=resamples,
            paired=True,
            vectorized=True,
            method="percentile",
            batch=max(1, 2_000_000 // int(present.sum())),
            rng=np.random.default_rng(0),
        )
        found.append((float(result.confidence_interval.low), float(result.confidence_interval.high)))
    return found


def race(options: Options, clusters: int) -> None:
    """Prints both times, their ratio, and how far the intervals are apart."""
    before, after = (scores(options, clusters=clusters, seed=seed) for seed in (1, 2))
    whole, _ = timed(lambda: compare(before, after, by=DIMENSIONS, resamples=options.resamples))
    found = grouping(before, DIMENSIONS)
    change = before.item_scores() - after.item_scores()
    ours, estimates = timed(lambda: means(Sample.of(found.design, change, resamples=options.resamples)))
    theirs, intervals = timed(lambda: with_scipy(found.design.sums(change), found.design.sizes, options.resamples))
    widths = [e.high - e.low for e in estimates]  # type: ignore[attr-defined]
    rival = [high - low for low, high in intervals]  # type: ignore[attr-defined]
    print(f"{options.examples} examples, {clusters} clusters, {len(widths)} groups, {options.resamples} resamples")
    print(f"  scipy.stats.bootstrap, a call a group   {theirs:8.2f} s")
    print(f"  chaintune, the same intervals           {ours:8.2f} s   {theirs / ours:.0f} times as fast")
    print(f"  chaintune, all of compare               {whole:8.2f} s   {theirs / whole:.0f} times as fast")
    print(f"  median width: chaintune {100 * np.median(widths):.2f} points, scipy {100 * np.median(rival):.2f} points")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs both races."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, default in (("examples", 58_492), ("clusters", 343), ("resamples", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = Options(**vars(parser.parse_args(arguments)))
    race(options, options.clusters)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  peak memory so far {peak:.0f} MB, tables of scores and libraries among it\n")
    race(options, options.examples)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  peak memory so far {peak:.0f} MB")


if __name__ == "__main__":
    main()
