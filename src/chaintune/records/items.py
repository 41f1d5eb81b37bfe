"""What one checkpoint scored on each example when only the scores are known: `ItemScores`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from chaintune.errors import ConfigError, DataError
from chaintune.records.scores import SCORES_SCHEMA

_SHARED = ("example_id", "cluster", "groups")
ITEMS_SCHEMA = pa.schema([*(SCORES_SCHEMA.field(name) for name in _SHARED), pa.field("score", pa.float64())])

Groups = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class ItemScores:
    """A score of each example and nothing else: what other harnesses' logs hold. One row an example.

    Attributes:
        task: the task's name.
        table: columns of `ITEMS_SCHEMA`; `score` lies between 0, the worst, and 1, the best.
        metric: what the scores are, as its source calls it.
        provenance: where the scores come from, text to text.
    """

    task: str
    table: pa.Table
    metric: str = "score"
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.table.schema.names != ITEMS_SCHEMA.names:
            raise DataError(
                f"scores of task '{self.task}': columns {self.table.schema.names}, expected {ITEMS_SCHEMA.names}"
            )
        ids = self.example_ids
        if len(set(ids)) != len(ids):
            raise DataError(f"scores of task '{self.task}': an example_id appears twice")
        scores = self.item_scores()
        # Written so that NaN is refused too.
        strange = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
        if len(strange):
            raise DataError(
                f"scores of task '{self.task}': example '{ids[strange[0]]}' has {scores[strange[0]]:g}, expected a "
                "number from 0, the worst, to 1, the best; name the ends of another scale as --scale (in Python scale)"
            )

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def example_ids(self) -> list[str]:
        """Ids in row order."""
        return list(self.table.column("example_id").to_pylist())

    def item_scores(self, metric: str | None = None) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Score of each example.

        Args:
            metric: the name of the scores that there are, or None.

        Shape: `[E]`.
        """
        if metric not in (None, self.metric):
            raise ConfigError(f"task '{self.task}' has no metric '{metric}', its scores are '{self.metric}'")
        return np.asarray(self.table.column("score").to_numpy(zero_copy_only=False), dtype=np.float64)


def items_table(
    ids: Sequence[str], scores: Sequence[float], groups: Sequence[Groups], clusters: Sequence[str] | None = None
) -> pa.Table:
    """The table of `ItemScores` from columns, sorted by id; without `clusters` every example is its own."""
    try:
        names = [pa.array(column, pa.string()) for column in (ids, clusters if clusters is not None else ids)]
        columns = [*names, _map_array(groups), pa.array(scores, pa.float64())]
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
