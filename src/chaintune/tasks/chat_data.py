"""Chat data as others have published it: rows of answers or preferences, read by columns that are written down."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chaintune.tasks.definition import Part, Places, Pool
from chaintune.tasks.items import Items, read_items
from chaintune.tasks.left_out import note_left_out, without_repeats
from chaintune.tasks.places import find, pool_of


def reader(task: str, places: Places, columns: Mapping[str, Any]) -> Callable[[Path | None], Pool]:
    """A function that reads the pool of such a data set.

    Rows that cannot be used, such as pairs that differ in more than their last turn, and rows that repeat another, are
    left out and counted: data of others cannot be mended.
    """

    def read(path: Path | None) -> Pool:
        data = find(task, places, path)
        left_out: Counter[str] = Counter()
        items: dict[Part, Items] = {}
        total = 0
        for part in data.files:
            rows = list(data.rows(part))
            total += len(rows)
            items[part] = read_items(rows, columns, f"task '{task}'", left_out, unusable="skip")
        tested = without_repeats(items["test"].examples, left_out) if "test" in items else []
        parts = {
            part: tested if part == "test" else without_repeats(own.examples, left_out, tested=tested)
            for part, own in items.items()
        }
        return pool_of(parts, data.source + note_left_out(task, left_out, total))

    return read
