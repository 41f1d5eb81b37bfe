"""What a study found, in plain words: what was forgotten, by whom, how sure, and what could not be seen."""

import math
from collections.abc import Sequence

from chaintune.records import Estimate, ResultRow

_SIGNIFICANT = 0.05


def summary(rows: Sequence[ResultRow]) -> str:
    """A paragraph for each task that another followed, then what the numbers speak about.

    Args:
        rows: of `results.parquet`.
    """
    pooled = {_place(row) for row in rows if row.seed == "all"}
    shown = [row for row in rows if row.seed == "all" or _place(row) not in pooled]
    lost = [row for row in shown if row.metric == "forgetting" and not row.dimension]
    if not lost:
        return "No task was followed by another, so nothing could be forgotten."
    paragraphs = [" ".join([_overall(row), *_by_group(row, shown)]) for row in lost]
    return "\n\n".join([*paragraphs, _about(lost)])


def _overall(row: ResultRow) -> str:
    estimate = row.estimate
    if math.isnan(estimate.value):
        return f"Whether {row.chain} forgot {row.task} cannot be told: {estimate.reason}."
    did = {
        "forgot": f"{row.chain} forgot {row.task}",
        "gained": f"{row.chain} is better at {row.task} than {row.reference}",
        "kept": f"{row.chain} kept {row.task}",
    }.get(row.verdict, f"Whether {row.chain} forgot {row.task} is not decided by this data")
    return f"{did}: {_points(estimate)} ({estimate.n} examples, {estimate.n_clusters} clusters)."


def _by_group(whole: ResultRow, rows: Sequence[ResultRow]) -> list[str]:
    sentences = []
    bias = [row for row in rows if row.metric == "biased_forgetting" and _checkpoint(row) == _checkpoint(whole)]
    for dimension in dict.fromkeys(row.dimension for row in bias):
        members = [row for row in bias if row.dimension == dimension]
        clear = [row for row in members if row.estimate.p_adjusted < _SIGNIFICANT]
        for row in sorted(clear, key=lambda row: -row.estimate.value):
            more = "more" if row.estimate.value > 0 else "less"
            sentences.append(f"{row.group} ({dimension}) lost {more} than the whole, by {_points(row.estimate)}.")
        if not clear:
            sentences.append(f"No {dimension} of {len(members)} lost clearly more or less than the whole.")
    return sentences


def _about(rows: Sequence[ResultRow]) -> str:
    if all(row.estimate.n_seeds < 2 for row in rows):
        return (
            "One seed: these numbers speak about these checkpoints, not about what the recipe does in general; "
            "vary the seed to learn that."
        )
    return f"Over {max(row.estimate.n_seeds for row in rows)} seeds: these numbers speak about the recipe."


def _points(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return f"{100 * estimate.value:+.1f} points"
    return f"{100 * estimate.value:+.1f} points, between {100 * estimate.low:+.1f} and {100 * estimate.high:+.1f}"


def _place(row: ResultRow) -> tuple[str, ...]:
    return (*_checkpoint(row), row.metric, row.dimension, row.group)


def _checkpoint(row: ResultRow) -> tuple[str, ...]:
    return (row.base, row.chain, row.variant, row.reference, row.task)
