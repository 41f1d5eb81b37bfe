"""Both sides of a comparison, example by example: for showing which items changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.forgetting.pairing import Pair, pair
from chaintune.logs.asked import wanted_of
from chaintune.logs.log import parse_by
from chaintune.logs.readers import read_log
from chaintune.records import ItemScores, Scores

Sides = Pair[Scores] | Pair[ItemScores]


def both_sides(before: Path, after: Path, *, by: Sequence[str] = (), reading: Mapping[str, Any]) -> dict[str, Sides]:
    """The examples that both logs have of each task, in one order.

    Args:
        before: the log of the earlier checkpoint.
        after: the log of the later one.
        by: dimensions whose groups are read, as `compare` takes them.
        reading: how to read, as `logs.options.HowToRead` has it.

    Raises:
        DataError: a log cannot be read, or the two are not of the same examples.
    """
    plain, crossed = parse_by(tuple(by))
    wanted = wanted_of(reading, list(dict.fromkeys([*plain, *(name for both in crossed for name in both)])))
    one, other = read_log(before, wanted), read_log(after, wanted)
    return {task: _paired(one[task].scores, other[task].scores) for task in one if task in other}


def _paired(before: Scores | ItemScores, after: Scores | ItemScores) -> Sides:
    if isinstance(before, Scores) and isinstance(after, Scores):
        return pair(before, after, on_missing="intersect")
    if isinstance(before, ItemScores) and isinstance(after, ItemScores):
        return pair(before, after, on_missing="intersect")
    raise DataError(f"task '{before.task}': logs of different kinds; compare two of one kind")
