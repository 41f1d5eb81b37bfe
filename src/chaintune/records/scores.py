"""What one checkpoint answered: `Scores`, their table and their file."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chaintune.errors import DataError
from chaintune.records.examples import Example

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Metric = Literal["accuracy", "accuracy_per_token", "accuracy_per_byte"]

_GROUPS_TYPE = pa.map_(pa.string(), pa.list_(pa.string()))
# In nats. Two choices nearer to each other than arithmetic in fp32 can tell are a tie, and the first of them is
# preferred, so that no answer hangs on the order in which numbers were added up.
TIE = 1e-4

SCORES_SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("example_id", pa.string()),
        ("cluster", pa.string()),
        ("groups", _GROUPS_TYPE),
        ("gold", pa.int32()),
        ("choice_logprobs", pa.list_(pa.float64())),
        ("choice_tokens", pa.list_(pa.int32())),
        ("choice_bytes", pa.list_(pa.int32())),
        ("choice_roles", pa.list_(pa.string())),
        ("prediction", pa.int32()),
        ("correct", pa.bool_()),
    ]
)


@dataclass(frozen=True, eq=False)
class Scores:
    """What one checkpoint answered on one task: one row an example, sorted by `example_id`.

    Attributes:
        task: the task's name.
        table: columns of `SCORES_SCHEMA`. `choice_logprobs` are natural-log sums over the tokens of a
            choice; `prediction` is the largest of them, the first one on a tie (within `TIE`).
        provenance: what made the scores (checkpoint key, task version, precision, ...), text to text.
    """

    task: str
    table: pa.Table
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.table.schema.names != SCORES_SCHEMA.names:
            raise DataError(
                f"scores of task '{self.task}': columns {self.table.schema.names}, expected {SCORES_SCHEMA.names}"
            )
        ids = self.example_ids
        if len(set(ids)) != len(ids):
            raise DataError(f"scores of task '{self.task}': an example_id appears twice")

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def example_ids(self) -> list[str]:
        """Ids in row order."""
        return list(self.table.column("example_id").to_pylist())

    @property
    def clusters(self) -> list[str]:
        """Cluster of each row."""
        return list(self.table.column("cluster").to_pylist())

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension that at least one example bears, sorted."""
        keys = self.table.column("groups").combine_chunks().keys
        return tuple(sorted(set(keys.to_pylist())))

    def groups(self, dimension: str) -> list[tuple[str, ...]]:
        """Groups of `dimension` that each row bears; empty where it bears none."""
        return [tuple(dict(pairs or ()).get(dimension) or ()) for pairs in self.table.column("groups").to_pylist()]

    def item_scores(self, metric: Metric = "accuracy") -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Score of each example: 1.0 when the preferred choice is the gold one, else 0.0.

        Args:
            metric: the choice preferred is that with the largest log-probability (`accuracy`), the
                largest per token, or the largest per UTF-8 byte. The first one wins a tie (within `TIE`).

        Shape: `[E]`.
        """
        if metric == "accuracy":
            return np.asarray(self.table.column("correct").to_numpy(zero_copy_only=False), dtype=np.float64)
        return np.asarray(self.predictions(metric) == self.table.column("gold").to_numpy(), dtype=np.float64)

    def predictions(self, metric: Metric = "accuracy") -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The choice of each example that a metric prefers, by the rule that `item_scores` counts by.

        Shape: `[E]`.
        """
        if metric == "accuracy":
            return np.asarray(self.table.column("prediction").to_numpy(), dtype=np.int64)
        return _preferred(self.table, "choice_tokens" if metric == "accuracy_per_token" else "choice_bytes")

    def to_dict(self) -> dict[str, Any]:
        """Nested plain data that JSON can hold, one mapping an example; a log-probability of no finite size is None."""
        rows = [
            row
            | {"groups": dict(row["groups"] or ())}
            | {"choice_logprobs": [value if math.isfinite(value) else None for value in row["choice_logprobs"]]}
            for row in self.table.to_pylist()
        ]
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
        import pandas as pd  # a quarter of a second to import, and few ask for it

        return pd.DataFrame(self.to_polars().to_dicts())

    def write(self, path: Path) -> None:
        """Write one Parquet file; the provenance travels in its metadata. Same scores, same bytes."""
        metadata = {"chaintune": json.dumps(dict(self.provenance), sort_keys=True)}
        pq.write_table(self.table.replace_schema_metadata(metadata), path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> "Scores":
        """Read a file that `write` wrote.

        Raises:
            DataError: the file is no Parquet file or lacks a column.
        """
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: not a readable Parquet file ({error})") from error
        missing = [name for name in SCORES_SCHEMA.names if name not in table.schema.names]
        if missing:
            raise DataError(f"{path}: not a scores file, column '{missing[0]}' is missing")
        raw = (table.schema.metadata or {}).get(b"chaintune", b"{}")
        table = table.select(SCORES_SCHEMA.names).cast(SCORES_SCHEMA)
        tasks = set(table.column("task").to_pylist())
        if len(tasks) != 1:
            raise DataError(f"{path}: expected scores of one task, found {sorted(tasks)}")
        return cls(task=tasks.pop(), table=table.replace_schema_metadata(None), provenance=json.loads(raw))


def preferred(logprobs: Sequence[float]) -> int:
    """Index of the choice with the largest log-probability, the first one on a tie.

    Example:
        >>> preferred([-2.0, -1.00001, -1.0])
        1
    """
    return int(np.argmax(np.asarray(logprobs) >= max(logprobs) - TIE))


def _preferred(table: pa.Table, lengths: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Choice of each row with the largest log-probability by length, the first one on a tie. Shape: `[E]`."""
    choices = table.column("choice_logprobs").combine_chunks()
    counts = choices.value_lengths().to_numpy(zero_copy_only=False)
    if not len(counts):
        return np.zeros(0, dtype=np.int64)
    sizes = table.column(lengths).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    by_length = choices.flatten().to_numpy(zero_copy_only=False) / sizes
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    best = np.flatnonzero(by_length >= np.repeat(np.maximum.reduceat(by_length, starts), counts) - TIE)
    rows, first = np.unique(np.repeat(np.arange(len(counts)), counts)[best], return_index=True)
    return np.asarray(best[first] - starts[rows], dtype=np.int64)


def scores_table(
    task: str, examples: Sequence[Example], logprobs: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]]
) -> pa.Table:
    """The table of `Scores` from examples and what was computed for each of their choices.

    Args:
        task: the task's name.
        examples: in any order; rows come out sorted by id.
        logprobs: log-probability of each choice of each example, in nats.
        tokens: how many tokens each log-probability sums over.
    """
    rows = []
    for example, row, sizes in sorted(zip(examples, logprobs, tokens, strict=True), key=lambda item: item[0].id):
        prediction = preferred(row)
        rows.append(
            {
                "task": task,
                "example_id": example.id,
                "cluster": example.cluster,
                "groups": [(dimension, list(names)) for dimension, names in sorted(example.groups.items())],
                "gold": example.choices.gold,
                "choice_logprobs": [float(value) for value in row],
                "choice_tokens": list(sizes),
                "choice_bytes": [len(choice.strip().encode()) for choice in example.choices.texts],
                "choice_roles": list(example.choices.roles),
                "prediction": prediction,
                "correct": prediction == example.choices.gold,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCORES_SCHEMA)
