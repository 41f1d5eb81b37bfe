"""Scores of which nothing but the scores is known: what other harnesses' logs hold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from chaintune.errors import DataError
from chaintune.records.choice import BALANCED, CHOICE_METRICS, chances
from chaintune.records.examples import are_labels, as_label
from chaintune.records.metrics import Direction, ItemMetric
from chaintune.records.scores import SCORES_SCHEMA, Scores, whole_table

ITEMS_SCHEMA = pa.schema(
    [SCORES_SCHEMA.field(name) for name in ("example_id", "cluster", "groups", "score", "missing_reason")]
)

Groups = Mapping[str, tuple[str, ...]]


def plain_scores(
    task: str,
    table: pa.Table,
    metric: str = "score",
    provenance: Mapping[str, str] | None = None,
    *,
    direction: Direction = "more",
) -> Scores:
    """Scores of a task from their table.

    Args:
        task: the task's name.
        table: columns of `ITEMS_SCHEMA`; `score` lies between 0 and 1, or is null.
        metric: what the scores are, as their source calls them.
        provenance: where the scores come from, text to text.
        direction: whether `more` or `less` is better.

    Raises:
        DataError: an id appears twice, or a score does not lie between 0 and 1.
    """
    scores = table.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    missing = table.column("score").is_null().to_numpy()
    # Written so that NaN is refused too.
    strange = np.flatnonzero(~((scores >= 0) & (scores <= 1) | missing))
    if len(strange):
        name = table.column("example_id")[int(strange[0])].as_py()
        raise DataError(
            f"scores of task '{task}': example '{name}' has {scores[strange[0]]:g}, expected a "
            "number from 0, the worst, to 1, the best; name the ends of another scale as --scale (in Python scale)"
        )
    table = table.append_column("task", pa.array([task] * len(table), pa.string()))
    return Scores(task, whole_table(table), dict(provenance or {}), ItemMetric(metric, direction=direction))


def labelled(scores: Scores, *, balanced: bool, averaged: bool = False) -> Scores:
    """The scores with gold labels and answers written alike, where the answers are labels; else as they are.

    Args:
        scores: whose columns `label` and `answer` hold what their source says; an answer that is none is no right one.
        balanced: make balanced accuracy the item metric where a score is 1 exactly where the two agree. Of scores that
            are something else chance stays as it is.
        averaged: each score is the mean of trials, of which that was seen before.
    """
    gold, answers = (scores.table.column(name).to_pylist() for name in ("label", "answer"))
    if None in gold or not are_labels(labels := {as_label(text) for text in gold}) or "" in labels:
        return scores
    right, made = [as_label(text) for text in gold], [as_label(text or "") for text in answers]
    rows = zip(right, made, scores.table.column("score").to_pylist(), strict=True)
    agree = averaged or all(score is None or score == float(label == answer) for label, answer, score in rows)
    metric = CHOICE_METRICS[BALANCED] if agree and balanced else scores.metric
    columns: dict[str, Sequence[Any]] = {"label": right, "answer": made}
    columns |= {"chance": chances([], right, metric.name)} if agree else {}
    table = scores.table
    for name, values in columns.items():
        part = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), part, pa.array(values, part.type))
    return replace(scores, table=table, metric=metric)


def items_table(
    ids: Sequence[str],
    scores: Sequence[float | None],
    groups: Sequence[Groups],
    clusters: Sequence[str] | None = None,
    missing: Sequence[str | None] | None = None,
) -> pa.Table:
    """The table of `plain_scores` from columns, sorted by id.

    Args:
        ids: of the examples.
        scores: None where there is none.
        groups: of each dimension.
        clusters: None and every example is its own.
        missing: why there is no score; None where there is one.
    """
    try:
        names = [pa.array(column, pa.string()) for column in (ids, clusters if clusters is not None else ids)]
        reasons = pa.array(missing if missing is not None else [None] * len(ids), pa.string())
        columns = [*names, _map_array(groups), pa.array(scores, pa.float64()), reasons]
    except UnicodeEncodeError as error:
        raise DataError(f"{error.object[:40]!r}: an id, cluster or group is no text") from error
    return pa.Table.from_arrays(columns, schema=ITEMS_SCHEMA).sort_by("example_id")


def _map_array(groups: Sequence[Groups]) -> pa.MapArray:
    """Groups as one flat array of names, with where each row and each of its dimensions begins."""
    counts = [len(borne) for borne in groups]
    lists = [names for borne in groups for names in borne.values()]
    dimensions = pa.array([dimension for borne in groups for dimension in borne], pa.string())
    flat = pa.array([name for names in lists for name in names], pa.string())
    items = pa.ListArray.from_arrays(_offsets([len(names) for names in lists]), flat)
    return pa.MapArray.from_arrays(_offsets(counts), dimensions, items)


def _offsets(lengths: Sequence[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32))
