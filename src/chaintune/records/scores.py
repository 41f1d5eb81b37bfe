"""What one checkpoint scored on each example of a task: `Scores`, their table and their file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chaintune.arguments import PATH, taking
from chaintune.errors import ConfigError, DataError, nearest, require
from chaintune.records.amounts import plain
from chaintune.records.choice import (
    BALANCED,
    CHOICE_METRICS,
    CHOICE_SCHEMA,
    answered,
    chances,
    choice_measurement,
    predictions,
)
from chaintune.records.examples import LABEL, Example, are_labels, shown_text, turns_json
from chaintune.records.margins import LOG_MARGIN, SCALED_MARGIN, log_margins, scaled_margins
from chaintune.records.measurements import Measurement
from chaintune.records.metrics import ItemMetric
from chaintune.records.preference import PREFERENCE_METRICS, PREFERENCE_SCHEMA, compared
from chaintune.records.second_run import rounding_of, runs_of
from chaintune.shown import Printed

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_PLACES = pa.schema(
    [
        ("task", pa.string()),
        ("example_id", pa.string()),
        ("cluster", pa.string()),
        ("groups", pa.map_(pa.string(), pa.list_(pa.string()))),
    ]
)
_ITEMS = pa.schema(
    [
        ("label", pa.string()),
        ("pair", pa.string()),
        ("score", pa.float64()),
        ("missing_reason", pa.string()),
        ("chance", pa.float64()),
        ("answer", pa.string()),
        ("outcome", pa.string()),
        ("evidence", pa.string()),
    ]
)
# What scores of written texts have beside it, of every sample: text, outcome (null without a score) and evidence.
SAMPLES_SCHEMA = pa.schema([(name, pa.list_(pa.string())) for name in ("texts", "outcomes", "evidences")])
# What all scores have; what a measure adds stands between the two parts.
SCORES_SCHEMA = pa.schema([*_PLACES, *_ITEMS])
_METRIC = b"item_metric"


@dataclass(frozen=True, eq=False)
class Scores(Printed):
    """What one checkpoint scored on one task: one row an example, sorted by `example_id`.

    Attributes:
        task: the task's name.
        table: the columns of `SCORES_SCHEMA`, and those that the measure adds. `score` is null where there is none,
            and `missing_reason` says why; `chance` is what guessing scores; `answer`, `outcome` and `evidence` are
            what was answered, what it counts as, and what shows it.
        provenance: what made the scores (checkpoint key, task version, precision, ...), text to text.
        metric: what a score says.

    Raises:
        DataError: a column is missing, an id appears twice, or a score is out of the metric's range.
    """

    task: str
    table: pa.Table
    provenance: Mapping[str, str] = field(default_factory=dict)
    metric: ItemMetric = CHOICE_METRICS["accuracy"]

    def __post_init__(self) -> None:
        if missing := [name for name in SCORES_SCHEMA.names if name not in self.table.schema.names]:
            raise DataError(f"scores of task '{self.task}': column '{missing[0]}' is missing")
        ids = self.table.column("example_id")
        if not self.is_sorted and len(ids.unique()) != len(ids):
            raise DataError(f"scores of task '{self.task}': an example_id appears twice")
        scores, (low, high) = self.table.column("score").drop_null().to_numpy(), self.metric.range
        # Written so that NaN is refused too.
        strange = np.flatnonzero(~((scores >= low) & (scores <= high)))
        if len(strange):
            place = np.flatnonzero(self.table.column("score").is_valid().to_numpy())[strange[0]]
            raise DataError(
                f"scores of task '{self.task}': example '{ids[place].as_py()}' has {scores[strange[0]]:g}, and item "
                f"metric '{self.metric.name}' goes from {low:g} to {high:g}"
            )

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def example_ids(self) -> list[str]:
        """Ids in row order."""
        return list(self.table.column("example_id").to_pylist())

    @property
    def is_sorted(self) -> bool:
        """Whether each id comes behind the one before, so that no id appears twice."""
        import pyarrow.compute as pc  # slow to load; a study file is read without

        ids = self.table.column("example_id")
        return len(ids) < 2 or bool(pc.all(pc.less(ids.slice(0, len(ids) - 1), ids.slice(1))).as_py())

    @property
    def n_missing(self) -> int:
        """Examples that have no score."""
        return int(self.table.column("score").null_count)

    def with_scores(self) -> "Scores":
        """The rows of the examples that have a score."""
        return self.at(self.table.column("score").is_valid()) if self.n_missing else self

    def at(self, rows: pa.ChunkedArray) -> "Scores":
        """Some of the rows; `rows` says of each whether it is one of them."""
        return replace(self, table=self.table.filter(rows))

    @property
    def clusters(self) -> list[str]:
        """Cluster of each row."""
        return list(self.table.column("cluster").to_pylist())

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension that at least one example bears, sorted."""
        keys = self.table.column("groups").combine_chunks().keys
        return tuple(sorted(keys.unique().to_pylist()))

    @property
    def details(self) -> tuple[str, ...]:
        """Columns that the measure adds; margins that a log tells are none."""
        return tuple(name for name in self.table.schema.names if name not in (*SCORES_SCHEMA.names, LOG_MARGIN))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Item metrics by which these scores can be had, their own first."""
        if self._has_preferences:
            return tuple(dict.fromkeys([self.metric.name, *PREFERENCE_METRICS]))
        others = CHOICE_METRICS if self._has_choices else ("accuracy",) if self.metric.name == BALANCED else ()
        labels = [BALANCED] if self.has_labels else []
        margins = [SCALED_MARGIN] if LOG_MARGIN in self.table.column_names else []
        known = [self.metric.name, *(name for name in others if name != BALANCED), *labels, *margins]
        return tuple(dict.fromkeys(known))

    @property
    def has_labels(self) -> bool:
        """Whether label and answer of every example are known, as of a labelling task."""
        known = not any(self.table.column(name).null_count for name in ("label", "answer"))
        return known and (self._has_choices or are_labels(set(self.table.column("label").to_pylist())))

    @property
    def _has_choices(self) -> bool:
        return set(CHOICE_SCHEMA.names) <= set(self.details)

    @property
    def _has_preferences(self) -> bool:
        return set(PREFERENCE_SCHEMA.names) <= set(self.details)

    def groups(self, dimension: str) -> list[tuple[str, ...]]:
        """Groups of `dimension` that each row bears; empty where it bears none."""
        return [tuple(dict(pairs or ()).get(dimension) or ()) for pairs in self.table.column("groups").to_pylist()]

    def item_scores(self, metric: str | None = None) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Score of each example, NaN where there is none.

        Args:
            metric: one of `metrics`; None is the scores' own.

        Raises:
            ConfigError: the scores do not hold what this metric needs.

        Shape: `[E]`.
        """
        table = self.by(metric or self.metric.name).table
        return np.asarray(table.column("score").to_numpy(zero_copy_only=False), dtype=np.float64)

    def log_odds(self) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
        """Log-odds of the second of two labels, by name, against the first; None where they are not known.

        Shape: `[E]`.
        """
        labels = self.table.column("label").to_pylist()
        names = sorted(set(labels)) if self._has_choices and self.has_labels else []
        lengths = self.table.column("choice_logprobs").combine_chunks().value_lengths().to_numpy() if names else []
        if len(names) != 2 or (np.asarray(lengths) != 2).any():
            return None
        values = np.array(self.table.column("choice_logprobs").to_pylist(), dtype=np.float64)
        gold = self.table.column("gold").to_numpy()
        rows = np.arange(len(gold))
        odds = values[rows, gold] - values[rows, 1 - gold]
        signed = np.where(np.asarray(labels) == names[1], odds, -odds)
        return None if np.isnan(signed).any() else np.asarray(signed, dtype=np.float64)

    def predictions(self, metric: str | None = None) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The choice of each example that an item metric of choices prefers.

        Shape: `[E]`.
        """
        return predictions(self.table, metric or self.metric.name)

    def by(self, metric: str) -> "Scores":
        """The same answers scored by another of the `metrics`; scaled margins are averaged as the scores are.

        A margin is scaled by those of all rows, so the rows must be all of the checkpoint's test examples.

        Raises:
            ConfigError: the scores do not hold what this metric needs.
        """
        if metric == self.metric.name:
            return self
        if metric not in self.metrics:
            raise ConfigError(f"metric '{metric}' of task '{self.task}': {nearest(metric, self.metrics)}")
        if self._has_preferences:
            return self._with(compared(self.table, metric), PREFERENCE_METRICS[metric])
        labels = self.table.column("label").to_pylist()
        # By margins the likeliest choice is preferred, as by accuracy.
        if metric == SCALED_MARGIN and (not self._has_choices or self.metric.name in ("accuracy", BALANCED)):
            columns = scaled_margins(log_margins(self.table))
        elif self._has_choices:
            columns = answered(self.table, metric)
        else:
            rows = zip(labels, *(self.table.column(name).to_pylist() for name in ("answer", "score")), strict=True)
            # Of balanced accuracy the scores are those of accuracy, also where they are means of several trials.
            own = self.metric.name == BALANCED
            columns = {"score": [old if own or old is None else float(label == answer) for label, answer, old in rows]}
        if self.has_labels or metric == SCALED_MARGIN:
            columns["chance"] = chances([], labels, metric)
        known = CHOICE_METRICS[metric]
        known = replace(known, average=self.metric.average) if metric == SCALED_MARGIN else known
        return self._with(columns, known)

    def _with(self, columns: Mapping[str, Any], metric: ItemMetric) -> "Scores":
        """The scores with other values in some columns, by another metric."""
        arrays = [
            pa.chunked_array([pa.array(columns[part.name], part.type)])
            if part.name in columns
            else self.table.column(part.name)
            for part in self.table.schema
        ]
        return replace(self, table=pa.Table.from_arrays(arrays, schema=self.table.schema), metric=metric)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain data that JSON can hold, one mapping an example; an infinite log-probability is a word."""
        rows = plain(self.table.to_pylist())
        rows = [row | {"groups": dict(row["groups"] or ())} for row in rows]
        return {"task": self.task, "provenance": dict(self.provenance), "examples": rows}

    def to_polars(self) -> "pl.DataFrame":
        """One row an example; its groups are lists, in a column for each dimension (`groups_category`, ...)."""
        import polars as pl  # not needed to score, only to hand over a frame

        groups = [
            pl.Series(f"groups_{name}", [list(borne) for borne in self.groups(name)], pl.List(pl.String))
            for name in self.dimensions
        ]
        return pl.DataFrame(self.table.drop_columns(["groups"])).with_columns(groups)

    def to_pandas(self) -> "pd.DataFrame":
        """The table of `to_polars` for pandas."""
        require("pandas frames", "pandas")
        import pandas as pd  # a quarter of a second to import, and few ask for it

        return pd.DataFrame(self.to_polars().to_dicts())

    def write(self, path: Path) -> None:
        """Write one Parquet file; metric and provenance travel in its metadata. Same scores, same bytes."""
        provenance = json.dumps(dict(self.provenance), sort_keys=True)
        table = self.table.replace_schema_metadata({"chaintune": provenance, _METRIC: self.metric.to_json()})
        pq.write_table(table, path, compression="zstd")

    @classmethod
    @taking(path=PATH)
    def read(cls, path: Path | str) -> "Scores":
        """Read a file that `write` wrote, of this edition or the first.

        Raises:
            DataError: the file is no Parquet file or lacks a column.
        """
        try:
            with Path(path).open("rb") as file:
                table = pq.ParquetFile(file).read()
        # A path that no file can have, and damaged metadata, raise errors of Python's own.
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{path}: not a readable Parquet file ({error})") from error
        metadata, names = table.schema.metadata or {}, table.schema.names
        needed = [*(SCORES_SCHEMA if _METRIC in metadata else _PLACES).names]
        if _METRIC not in metadata or set(CHOICE_SCHEMA.names) & set(names):
            needed += CHOICE_SCHEMA.names
        if missing := [name for name in needed if name not in names]:
            raise DataError(f"{path}: not a scores file, column '{missing[0]}' is missing")
        try:
            metric = ItemMetric.from_json(metadata[_METRIC]) if _METRIC in metadata else CHOICE_METRICS["accuracy"]
            provenance = {**json.loads(metadata.get(b"chaintune", b"{}"))}
            table = table.replace_schema_metadata(None)
            if _METRIC not in metadata:
                table = table.append_column("score", table.column("correct").cast(pa.int32()).cast(pa.float64()))
            table = whole_table(table)
        except (pa.ArrowException, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{path}: not a scores file ({' '.join(str(error).split())})") from error
        if empty := [name for name in _PLACES.names if table.column(name).null_count]:
            raise DataError(f"{path}: not a scores file, column '{empty[0]}' is empty in some rows")
        tasks = set(table.column("task").to_pylist())
        if len(tasks) != 1:
            raise DataError(f"{path}: expected scores of one task, found {sorted(tasks)}")
        return cls(tasks.pop(), table, provenance, metric)


def whole_table(table: pa.Table) -> pa.Table:
    """The columns in the order of a score file, those of `SCORES_SCHEMA` that are not there as nulls."""
    details = [part for part in table.schema if part.name not in SCORES_SCHEMA.names]
    choice = [CHOICE_SCHEMA.field(part.name) if part.name in CHOICE_SCHEMA.names else part for part in details]
    schema = pa.schema([*_PLACES, *choice, *_ITEMS])
    arrays = [
        table.column(part.name).cast(part.type) if part.name in table.schema.names else pa.nulls(len(table), part.type)
        for part in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def scores_of(
    task: str,
    measurement: Measurement,
    examples: Sequence[Example],
    metric: ItemMetric,
    provenance: Mapping[str, str] | None = None,
) -> Scores:
    """The scores that an item metric makes of a measurement; several samples of an example are averaged first.

    What texts that were written a second time change of their scores is kept in the provenance, as `rounding`.

    Args:
        task: the task's name.
        measurement: of these examples.
        examples: in any order.
        metric: reads the measurement's measure.
        provenance: to be kept beside the measurement's own.

    Raises:
        ConfigError: the metric reads another measure.
        DataError: the measurement is of other examples.
    """
    if metric.score is None or metric.measure != measurement.measure:
        raise ConfigError(
            f"task '{task}': item metric '{metric.name}' reads measure '{metric.measure}', not '{measurement.measure}'"
        )
    measurement, again = runs_of(measurement.sorted())
    known = {example.id: example for example in examples}
    ids = set(measurement.table.column("example_id").to_pylist())
    if ids != set(known):
        raise DataError(f"task '{task}': the measurement is of {len(ids)} other examples than these {len(known)}")
    table = _scored(task, measurement, known, metric)
    about = {"rounding": rounding_of(table, _scored(task, again, known, metric))} if again else {}
    about |= metric.about
    return Scores(task, whole_table(table), {**measurement.provenance, **about, **(provenance or {})}, metric)


def _scored(task: str, measurement: Measurement, known: Mapping[str, Example], metric: ItemMetric) -> pa.Table:
    """The scores of a measurement's rows, a row an example; columns that the metric does not give are absent."""
    assert metric.score is not None  # noqa: S101 - checked by the caller
    ids = measurement.table.column("example_id").to_pylist()
    own = [known[name] for name in ids]
    columns = dict(metric.score(measurement, own))
    table = pa.table(
        {
            "task": pa.array([task] * len(ids), pa.string()),
            "example_id": pa.array(ids, pa.string()),
            "cluster": pa.array([example.cluster for example in own], pa.string()),
            "groups": pa.array(_labelled_groups(own, columns, metric), _PLACES.field("groups").type),
            "pair": pa.array([example.pair or None for example in own], pa.string()),
            **{name: _column(name, values) for name, values in columns.items()},
        }
    )
    return _with_prompts(_averaged(_with_samples(table)), known)


def scores_table(
    task: str, examples: Sequence[Example], logprobs: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]]
) -> pa.Table:
    """The table of `Scores` by accuracy from examples and what was computed for each of their choices.

    Args:
        task: the task's name.
        examples: in any order; rows come out sorted by id.
        logprobs: log-probability of each choice of each example, in nats.
        tokens: how many tokens each log-probability sums over.
    """
    measurement = choice_measurement(examples, logprobs, tokens)
    return scores_of(task, measurement, examples, CHOICE_METRICS["accuracy"]).table


def _with_samples(table: pa.Table) -> pa.Table:
    """The rows of written texts with the columns of `SAMPLES_SCHEMA`; others as they are."""
    if "texts" not in table.schema.names:
        return table
    scored = table.column("score").is_valid()
    for name, one in (("outcomes", "outcome"), ("evidences", "evidence")):
        known = table.column(one) if one in table.schema.names else pa.nulls(len(table), pa.string())
        # A text with a score and no name for what it counts as is told from one without a score.
        values = [
            text or "" if there else None for there, text in zip(scored.to_pylist(), known.to_pylist(), strict=True)
        ]
        table = table.append_column(name, pa.array([[value] for value in values], SAMPLES_SCHEMA.field(name).type))
    return table


def _with_prompts(table: pa.Table, known: Mapping[str, Example]) -> pa.Table:
    """The rows of written texts with what was asked, for a reader and, of a conversation, its turns as JSON."""
    if "texts" not in table.schema.names:
        return table
    prompts = [known[name].prompt for name in table.column("example_id").to_pylist()]
    for name, values in (("prompt", map(shown_text, prompts)), ("turns", map(turns_json, prompts))):
        table = table.append_column(name, pa.array(list(values), pa.string()))
    return table


def _averaged(table: pa.Table) -> pa.Table:
    """One row an example: the mean of its samples that have a score, all their texts, and what else the first has."""
    ids = table.column("example_id").to_numpy(zero_copy_only=False)
    firsts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])) if len(ids) else np.zeros(0, dtype=np.int64)
    if len(firsts) == len(ids):
        return table
    scores = table.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    counts = np.add.reduceat(~np.isnan(scores), firsts, dtype=np.int64)
    with np.errstate(invalid="ignore"):  # no sample of the example has a score
        means = np.add.reduceat(np.where(np.isnan(scores), 0.0, scores), firsts) / counts
    rows = table.take(pa.array(firsts))
    columns = {"score": pa.array(means, from_pandas=True)}
    if "missing_reason" in rows.schema.names:
        reasons = zip(rows.column("missing_reason").to_pylist(), counts, strict=True)
        columns["missing_reason"] = pa.array([None if count else why for why, count in reasons], pa.string())
    for name in set(SAMPLES_SCHEMA.names) & set(table.schema.names):
        every, ends = table.column(name).to_pylist(), [*firsts[1:].tolist(), len(ids)]
        joined = [[one for own in every[start:end] for one in own] for start, end in zip(firsts, ends, strict=True)]
        columns[name] = pa.array(joined, SAMPLES_SCHEMA.field(name).type)
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows


def _column(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    known = {part.name: part.type for part in (*_ITEMS, *CHOICE_SCHEMA, *SAMPLES_SCHEMA)}
    return pa.array(values, known.get(name), from_pandas=name in {"score", "chance"})


def _labelled_groups(
    examples: Sequence[Example], columns: Mapping[str, Any], metric: ItemMetric
) -> list[list[tuple[str, list[str]]]]:
    """Groups of each row; the labels that a score is balanced over are a dimension, also where no example says so."""
    groups = [_groups(example) for example in examples]
    if metric.average != "balanced" or "label" not in columns:
        return groups
    labels = columns["label"]
    labels = labels.to_pylist() if isinstance(labels, pa.Array | pa.ChunkedArray) else labels
    return [
        own if label is None or LABEL in dict(own) else sorted([*own, (LABEL, [str(label)])])
        for own, label in zip(groups, labels, strict=True)
    ]


def _groups(example: Example) -> list[tuple[str, list[str]]]:
    return [(dimension, list(names)) for dimension, names in sorted(example.groups.items())]
