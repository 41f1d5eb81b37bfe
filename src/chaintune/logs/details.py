"""What a log says of an example beside its score: the answer, what it counts as, the gold label, chance."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from chaintune.records.answers import NO_RESPONSE
from chaintune.records.examples import MOST_LABELS

CHANCE = "chance"
_OFTEN = 3


def with_details(
    table: pa.Table, ids: Sequence[str], values: Mapping[str, Sequence[Any]], details: Mapping[str, str]
) -> pa.Table:
    """The table of examples with a column for each detail, of numbers where it is `chance`, else of texts.

    Args:
        table: with their ids.
        ids: of the examples, in the order of the values.
        values: of the log's fields.
        details: column of a score file -> the field that holds it.
    """
    if not details:
        return table
    texts = {name: [_text(value) for value in values[path]] for name, path in details.items() if name != CHANCE}
    if "answer" in texts:
        known = texts.get("outcome", [None] * len(ids))
        texts["outcome"] = [
            outcome or (NO_RESPONSE if answer is not None and not answer.strip() else None)
            for answer, outcome in zip(texts["answer"], known, strict=True)
        ]
    order = pc.index_in(table.column("example_id").combine_chunks(), value_set=pa.array(ids, pa.string()))
    for name, column in texts.items():
        table = table.append_column(name, pa.array(column, pa.string()).take(order))
    if CHANCE in details:
        table = table.append_column(CHANCE, pa.array(values[details[CHANCE]], pa.float64()).take(order))
    return table


def repeat(golds: Sequence[Any]) -> bool:
    """Whether right answers are few that come again and again, as labels and the letters of choices do."""
    texts = {str(gold) for gold in golds}
    few = 2 <= len(texts) <= MOST_LABELS and len(golds) >= _OFTEN * len(texts)
    return few and all(isinstance(gold, str | int) for gold in golds)


def _text(value: Any) -> str | None:
    """A value, or the only one of a list, as text that UTF-8 can hold; None for none."""
    if isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode(errors="replace").decode()
