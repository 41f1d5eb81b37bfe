"""Labels of people, read from a file: which example, which text, what it should score."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.files.reading import read_rows
from chaintune.files.rows import Row, build_all
from chaintune.records.labels import TextLabels, plain_text

COLUMNS = ("id", "text", "label")
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def read_labels(path: Path) -> TextLabels:
    """The labels of a file with columns `id`, `text` and `label`; several of one text are averaged.

    A label says what the text should score: a number from 0 to 1, or yes or no. It is a label of the very text, not of
    an example or a checkpoint, so that it still holds when a checkpoint was trained anew, and for both where two
    checkpoints wrote the same.

    Raises:
        DataError: the file cannot be read, or a row is no label.
    """
    several: dict[tuple[str, str], list[float]] = defaultdict(list)
    for key, value in build_all(read_rows(path), _label):
        several[key].append(value)
    return TextLabels({key: sum(values) / len(values) for key, values in several.items()}, path.name)


def _label(row: Row) -> tuple[tuple[str, str], float]:
    if missing := [name for name in COLUMNS if row.values.get(name) is None]:
        raise DataError(f"{row.where}: column '{missing[0]}' is missing; labels have {', '.join(COLUMNS)}")
    return (str(row.values["id"]), plain_text(str(row.values["text"]))), _value(row.values["label"], row)


def _value(label: Any, row: Row) -> float:
    try:
        value = _WORDS.get(str(label).strip().casefold())
        value = float(label) if value is None else value
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value <= 1:
        raise DataError(f"{row.where}: label {label!r}, expected a number from 0 to 1, or yes or no")
    return value
