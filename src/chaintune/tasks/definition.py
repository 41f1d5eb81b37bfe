"""What defines a task before any data is read, and what reading its data gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chaintune.records import Example, Role

Part = Literal["train", "test", "all"]


@dataclass(frozen=True, slots=True)
class Pool:
    """Every example that a data set has to give, before sizes are taken.

    Attributes:
        examples: to be split by cluster; the data set's own train split when `test` is not None.
        test: the data set's own test split.
        source: where the data came from, and what was left out.
    """

    examples: Sequence[Example]
    test: Sequence[Example] | None
    source: str


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A task that has a name of its own. Third parties offer one as entry point of group `chaintune.tasks`.

    Attributes:
        name: how study files and results call it.
        role: `safety` or `capability`, unless the user says otherwise.
        version: of prompt and choices; part of every key.
        licence: of the data.
        dimensions: that examples bear groups of.
        read: the examples from a path that the user gave, or from where the data usually lies when
            it is None. Raises DataError.
        test_share: of the clusters that are tested, where the data set has no test split of its own.
        stratify_by: the dimension whose groups are split each for itself; none when empty.
        offensive: it is full of slurs or hate, so that nobody is shown its text unasked.
    """

    name: str
    role: Role
    version: str
    licence: str
    dimensions: tuple[str, ...]
    read: Callable[[Path | None], Pool]
    test_share: float = 0.5
    stratify_by: str = ""
    offensive: bool = False
