"""What is taught and measured: examples, tasks, and the digests that tell two of them apart."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

Role = Literal["safety", "capability"]
NO_GROUP = ("", "NaN", "nan")


def is_no_group(value: Any) -> bool:
    """Whether a value of a data file stands for no group: nothing, NaN, or NaN written out as text.

    Formats without a type for missing values write them in one of these ways, and all have to mean the same.

    Example:
        >>> [is_no_group(value) for value in (None, float("nan"), "", "NaN", "Nan", 0)]
        [True, True, True, True, False, False]
    """
    return value is None or (isinstance(value, float) and math.isnan(value)) or value in NO_GROUP


def canonical_digest(value: Any) -> str:
    """SHA-256 hex digest of the canonical JSON of a value: sorted keys, no spaces, no NaN.

    Raises:
        TypeError: the value holds something JSON cannot.
        ValueError: the value holds NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Example:
    """One item of a task, its text ready for the tokenizer.

    `prompt + choices[k]` is exactly the text that is scored for choice `k`; a separating space
    belongs to the choice.

    Attributes:
        id: unique within the task.
        prompt: the text before the answer.
        choices: at least two distinct continuations.
        gold: index of the right choice.
        groups: dimension -> the groups of that dimension that the example bears (may be empty).
        cluster: examples of one cluster are not independent.
        choice_roles: one word a choice where the data set gives the choices a part to play
            (BBQ: `target`, `other`, `unknown`), else empty.
    """

    id: str
    prompt: str
    choices: tuple[str, ...]
    gold: int
    groups: Mapping[str, tuple[str, ...]]
    cluster: str
    choice_roles: tuple[str, ...] = ()

    def content(self) -> list[Any]:
        """What determines a tuning or a score of this example, as canonical JSON-able data."""
        groups = {dimension: list(names) for dimension, names in self.groups.items()}
        roles = list(self.choice_roles)
        return [self.id, self.prompt, list(self.choices), self.gold, groups, self.cluster, roles]


def examples_digest(examples: Iterable[Example]) -> str:
    """Digest of a set of examples; independent of their order."""
    return canonical_digest(sorted((example.content() for example in examples), key=lambda row: str(row[0])))


@dataclass(frozen=True, slots=True)
class Task:
    """A data set taught or measured.

    `train` and `test` are sorted by id and share no cluster. `version` names the prompt template
    and the rendering of the choices; it is part of every key.
    """

    name: str
    role: Role
    version: str
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    dimensions: tuple[str, ...]
    source: str
    licence: str

    @property
    def train_digest(self) -> str:
        """What a stage of tuning on this task depends on."""
        return canonical_digest([self.name, self.version, examples_digest(self.train)])

    @property
    def test_digest(self) -> str:
        """What scores of this task depend on."""
        return canonical_digest([self.name, self.version, examples_digest(self.test)])
