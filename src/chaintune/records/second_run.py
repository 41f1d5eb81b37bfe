"""Texts that were written a second time in another grouping, and what that changed of their scores.

In exact arithmetic it does not matter which texts are written together. In a computer's it does: a token gives way to
another that is about as likely, and what follows is another text.
"""

import json
from collections.abc import Mapping

import pyarrow as pa

from chaintune.records.measurements import Measurement


def runs_of(measurement: Measurement) -> tuple[Measurement, Measurement | None]:
    """The rows of the first run, and those of the second, whose samples are numbered alike; None without any."""
    import pyarrow.compute as pc  # slow to load; a study file is read without

    table = measurement.table
    samples = table.column("sample")
    if not len(table) or pc.min(samples).as_py() >= 0:
        return measurement, None
    place, is_first = table.schema.get_field_index("sample"), pc.greater_equal(samples, 0)
    first, again = table.filter(is_first), table.filter(pc.invert(is_first))
    numbered = pc.subtract(pa.scalar(-1, pa.int32()), again.column("sample"))
    again = again.set_column(place, table.schema.field(place), numbered)
    one, other = (Measurement(measurement.measure, rows, measurement.provenance) for rows in (first, again))
    return one, other.sorted()


def rounding_of(first: pa.Table, again: pa.Table) -> str:
    """JSON of what the second run changed: `example_id`, `changed`, and `difference`, the first score minus the second.

    A difference is null where one of the runs has no score, which is a change where the other has one.

    Args:
        first: `example_id` and `score` of the first run, a row an example.
        again: the same of the second, of some of the examples.
    """
    scores: Mapping[str, float | None] = dict(_scores(first))
    rows = [(name, scores[name], score) for name, score in _scores(again)]
    return json.dumps(
        {
            "example_id": [name for name, _, _ in rows],
            "changed": [before != after for _, before, after in rows],
            "difference": [None if one is None or other is None else one - other for _, one, other in rows],
        }
    )


def _scores(table: pa.Table) -> list[tuple[str, float | None]]:
    return list(zip(table.column("example_id").to_pylist(), table.column("score").to_pylist(), strict=True))
