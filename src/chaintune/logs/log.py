"""What one log says about one task, and the options of reading one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import pyarrow as pa

from chaintune.errors import ConfigError, nearest
from chaintune.forgetting.crossing import parts_of
from chaintune.records import ItemScores, Scores

Pair = tuple[str, str]
Digests: TypeAlias = "Mapping[str, pa.Array]"


@dataclass(frozen=True, eq=False)
class Log:
    """Scores of one task, and what tells whether they may be compared with others.

    Attributes:
        scores: one row an example.
        where: the file they come from.
        facts: what has to be the same on both sides, by name: task version, few-shot examples.
        digests: what is known of each row of the scores, by name (`prompt`); null where nothing is.
        content: digest of all examples together; empty when not known.
        fields: names that a dimension could have had, for the message that one is not there.
        doubts: what speaks against comparing this log with any other, such as a run that did not end.
    """

    scores: Scores | ItemScores
    where: str
    facts: Mapping[str, str] = field(default_factory=dict)
    digests: Digests = field(default_factory=dict)
    content: str = ""
    fields: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """Dimensions that at least one example bears."""
        keys = self.scores.table.column("groups").combine_chunks().keys
        return tuple(sorted(keys.unique().to_pylist()))


@dataclass(frozen=True)
class ReadOptions:
    """How a log is read.

    Attributes:
        dimensions: fields that hold an example's groups, dotted where they lie deeper (`doc.category`).
        columns: what a field is called in the log, where it has another name: `{"id": "qid"}`.
        cluster: the field that says which examples are not independent.
        metric: which score, where a log has several.
        filter: which answer, where lm-eval took several from each response.
        tasks: the only ones to read; none for all.
        scale: the worst and the best score there can be, where they are not 0 and 1.
        reader: name of the reader; None to tell by the file.

    Raises:
        ConfigError: the ends of the scale are no two different numbers.
    """

    dimensions: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    cluster: str | None = None
    metric: str | None = None
    filter: str | None = None
    tasks: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    reader: str | None = None

    def __post_init__(self) -> None:
        low, high = self.scale
        # An infinite end, or NaN, gives no finite length either.
        if not 0 < abs(high - low) < float("inf"):
            raise ConfigError(f"scale {low:g} to {high:g}: expected two different numbers, the worst and the best")

    def called(self, name: str) -> str:
        """What a field is called in the log."""
        return self.columns.get(name, name)

    def wants(self, task: str) -> bool:
        """Whether a task is to be read."""
        return not self.tasks or task in self.tasks


def of_tasks(found: Mapping[str, Log], tasks: Sequence[str], where: str) -> Mapping[str, Log]:
    """The logs of the tasks asked for; every one when none is.

    Raises:
        ConfigError: there is no log of a task.
    """
    for task in tasks:
        if task not in found:
            raise ConfigError(f"{where}: there is no task '{task}': {nearest(task, found)}")
    return {task: found[task] for task in dict.fromkeys(tasks)} if tasks else found


def parse_by(by: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Pair, ...]]:
    """Dimensions, and pairs of dimensions whose groups are crossed: `category x polarity`.

    Example:
        >>> parse_by(("category", "category x polarity"))
        (('category',), (('category', 'polarity'),))

    Raises:
        ConfigError: an empty name, or more than two dimensions are crossed.
    """
    plain, pairs = [], []
    for text in by:
        parts = parts_of(text)
        if len(parts) == 1:
            plain.append(parts[0])
        else:
            pairs.append((parts[0], parts[1]))
    return tuple(dict.fromkeys(plain)), tuple(dict.fromkeys(pairs))
