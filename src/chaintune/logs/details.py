"""What a log says of an example beside its score: the answer, what it counts as, the gold label, chance."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from chaintune.records.answers import NO_RESPONSE
from chaintune.records.examples import MOST_LABELS, as_label
from chaintune.records.margins import LOG_MARGIN

CHANCE = "chance"
_NUMBERS = (CHANCE, LOG_MARGIN)
_OFTEN = 3


def with_details(
    table: pa.Table, ids: Sequence[str], values: Mapping[str, Sequence[Any]], details: Mapping[str, str]
) -> pa.Table:
    """The table of examples with a column for each detail, of numbers or of texts.

    Args:
        table: with their ids.
        ids: of the examples, in the order of the values.
        values: of the log's fields.
        details: column of a score file -> the field that holds it.
    """
    if not details:
        return table
    texts = {name: [text_of(value) for value in values[path]] for name, path in details.items() if name not in _NUMBERS}
    if "answer" in texts:
        known = texts.get("outcome", [None] * len(ids))
        texts["outcome"] = [
            outcome or (NO_RESPONSE if answer is not None and not answer.strip() else None)
            for answer, outcome in zip(texts["answer"], known, strict=True)
        ]
    order = pc.index_in(table.column("example_id").combine_chunks(), value_set=pa.array(ids, pa.string()))
    for name, column in texts.items():
        table = table.append_column(name, pa.array(column, pa.string()).take(order))
    for name in _NUMBERS:
        if name in details:
            table = table.append_column(name, pa.array(values[details[name]], pa.float64()).take(order))
    return table


def explain(scores: Sequence[Any], golds: Sequence[Any], answers: Sequence[Any]) -> bool:
    """Whether right answers are few that come again and again, and a score is 1 exactly where one was given.

    So it is of labels and of the letters of choices; of other answers nothing follows from whether they are alike.
    """
    if not all(isinstance(gold, str | int) for gold in golds):
        return False
    right = [as_label(str(gold)) for gold in golds]
    if not 2 <= len(set(right)) <= MOST_LABELS or len(right) < _OFTEN * len(set(right)):
        return False
    made = [as_label(str(answer)) for answer in answers]
    rows = zip(scores, right, made, strict=True)
    return all(score is None or (score == 1) == (gold == answer) for score, gold, answer in rows)


def text_of(value: Any) -> str | None:
    """A value, or the only one of a list, as text that UTF-8 can hold; None for none."""
    if isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode(errors="replace").decode()
