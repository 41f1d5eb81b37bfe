"""Whether a checkpoint answers alike when it is asked in a chat template and as plain text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import by_seed, mean_scores, subject_of
from chaintune.forgetting.runs import Runs
from chaintune.forgetting.units import SHARES
from chaintune.records import Checkpoint, CheckpointScores, Estimate, ResultRow, Scores
from chaintune.records.preference import PREFERENCE
from chaintune.stats.clusters import Floats


def agreement(one: Scores, other: Scores, options: Inference) -> Estimate:
    """The share of examples that a checkpoint answers alike both ways; no test is made.

    Args:
        one: of the examples asked one way.
        other: of the same examples asked the other way.
        options: how sure.

    Undefined: no answer is preferred to another, as of a reference; or no example has a score both ways.
    """
    one, other = _shared(one, other), _shared(other, one)
    if not len(one):
        return Estimate.undefined("no example has a score both ways")
    alike = answered_alike(one, other)
    if alike is None:
        return Estimate.undefined("no answer is preferred to another", n=len(one))
    return mean_scores(grouping(one, [], level=options.level), alike[np.newaxis], SHARES, options)[0]


def answered_alike(one: Scores, other: Scores) -> Floats | None:
    """1 where an example is answered alike both ways, else 0; None where no answer is preferred to another.

    Args:
        one: of the examples asked one way.
        other: of the same ones, in the same order, asked the other way.

    Shape: `[E]`.
    """
    if all("choice_logprobs" in way.details for way in (one, other)):
        return np.asarray(one.predictions() == other.predictions(), dtype=np.float64)
    if one.metric.measure == PREFERENCE:
        return np.asarray(one.item_scores() == other.item_scores(), dtype=np.float64)
    return None


def parted(
    checkpoints: Sequence[CheckpointScores], other_ways: Mapping[str, str]
) -> tuple[list[CheckpointScores], list[CheckpointScores]]:
    """The checkpoints with their scores of one way, and with those of the other, under the names of the first.

    Args:
        checkpoints: of a study.
        other_ways: task that asks the other way -> the task whose examples it asks.
    """
    one = [
        replace(
            at,
            scores={task: own for task, own in at.scores.items() if task not in other_ways},
            further={task: own for task, own in at.further.items() if task not in other_ways},
        )
        for at in checkpoints
    ]
    other = [
        replace(
            at,
            scores={other_ways[task]: own for task, own in at.scores.items() if task in other_ways},
            further={other_ways[task]: own for task, own in at.further.items() if task in other_ways},
        )
        for at in checkpoints
    ]
    return one, [at for at in other if at.scores or at.further]


def agreement_rows(
    one: Sequence[CheckpointScores], other: Sequence[CheckpointScores], study: str, options: Inference
) -> list[ResultRow]:
    """Rows of `chat_agreement`: the share of examples that a checkpoint answers alike both ways, and of each group.

    Args:
        one: the checkpoints with their scores of one way, as `parted` gives them.
        other: the same with those of the other way.
        study: its name.
        options: how sure.
    """
    rows: list[ResultRow] = []
    first, second = (
        Runs.of(way, study=study, level=options.level, seed_variance=options.seed_variance) for way in (one, other)
    )
    for condition in second.conditions:
        for task in second.tasks(condition):
            both = set(first.seeds([condition], task)) & set(second.seeds([condition], task))
            seeds = sorted(both)[: None if condition.chain else 1]
            points = [condition] * len(seeds)
            tables = zip(first.tables(points, seeds, task), second.tables(points, seeds, task), strict=True)
            alike = [_alike(*pair) for pair in tables]
            values = [own for own in alike if own is not None]
            if values and len(values) == len(seeds):
                rows += _rows(first, condition, task, seeds, np.stack(values), options)
    return rows


def _rows(
    runs: Runs, condition: Checkpoint, task: str, seeds: Sequence[int], values: Floats, options: Inference
) -> list[ResultRow]:
    subject, groups = subject_of(runs, condition, task, seeds), runs.groups[task]
    rows = []
    for seed, positions in by_seed(seeds):
        estimates = mean_scores(groups, values[positions], SHARES, options)
        rows += [
            subject.row("chat_agreement", seed, own, label) for own, label in zip(estimates, groups.labels, strict=True)
        ]
    return rows


def _alike(one: Scores, other: Scores) -> Floats | None:
    """As `answered_alike`; None too where an example lacks a score one way."""
    return answered_alike(one, other) if one.example_ids == other.example_ids else None


def _shared(scores: Scores, other: Scores) -> Scores:
    """The rows of the examples that have a score both ways, sorted by id."""
    known = set(other.with_scores().example_ids)
    rows = scores.with_scores()
    rows = replace(rows, table=rows.table.sort_by("example_id"))
    return rows.at(pa.chunked_array([pa.array([name in known for name in rows.example_ids], pa.bool_())]))
