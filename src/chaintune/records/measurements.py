"""What a measure recorded of one checkpoint: `Measurement`, its table and its file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chaintune.errors import DataError
from chaintune.records.examples import Example

MEASUREMENT_SCHEMA = pa.schema([("example_id", pa.string()), ("sample", pa.int32())])
_METADATA = b"chaintune"


@dataclass(frozen=True, eq=False)
class Measurement:
    """The record of one checkpoint on some examples; an item metric makes scores of it.

    Attributes:
        measure: how the checkpoint was asked.
        table: `example_id`, `sample` (0 where a measure takes one), then the columns of the measure.
        provenance: what made it (checkpoint key, backend, precision, ...), text to text.
    """

    measure: str
    table: pa.Table
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = self.table.schema.names[: len(MEASUREMENT_SCHEMA)]
        if first != MEASUREMENT_SCHEMA.names:
            raise DataError(
                f"measurement '{self.measure}': begins with columns {first}, expected {MEASUREMENT_SCHEMA.names}"
            )

    @classmethod
    def of(
        cls,
        measure: str,
        schema: pa.Schema,
        examples: Sequence[Example],
        columns: Sequence[Sequence[Any]],
        provenance: Mapping[str, str] | None = None,
    ) -> "Measurement":
        """The measurement that asked each example once, its rows by example.

        Args:
            measure: how the checkpoint was asked.
            schema: of the table: that of any measurement, then the columns of the measure.
            examples: in any order.
            columns: of the measure, a value for each example.
            provenance: what made it.
        """
        whole = [[example.id for example in examples], [0] * len(examples), *columns]
        arrays = [pa.array(column, field.type) for column, field in zip(whole, schema, strict=True)]
        return cls(measure, pa.Table.from_arrays(arrays, schema=schema), dict(provenance or {})).sorted()

    def sorted(self) -> "Measurement":
        """The same rows by example and sample."""
        table = self.table.sort_by([("example_id", "ascending"), ("sample", "ascending")])
        return Measurement(self.measure, table, self.provenance)

    def write(self, path: Path) -> None:
        """Write one Parquet file. Same measurement, same bytes."""
        about = {"measure": self.measure, "provenance": dict(self.provenance)}
        table = self.table.replace_schema_metadata({_METADATA: json.dumps(about, sort_keys=True)})
        pq.write_table(table, path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> "Measurement":
        """Read a file that `write` wrote.

        Raises:
            DataError: the file is no measurement.
        """
        try:
            table = pq.read_table(path)
            about = json.loads((table.schema.metadata or {})[_METADATA])
            return cls(about["measure"], table.replace_schema_metadata(None), about["provenance"])
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{path}: not a measurement ({error})") from error
