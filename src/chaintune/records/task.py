"""A data set taught or measured: `Task`."""

from dataclasses import dataclass, field
from functools import cached_property

from chaintune.records.amounts import Amount
from chaintune.records.examples import LABEL, Example, Role, canonical_digest, examples_digest
from chaintune.records.generation import Generation, ScorerRef
from chaintune.records.labels import TextLabels


@dataclass(frozen=True)
class Task:
    """A data set taught or measured.

    `train` and `test` are sorted by id and share no cluster. `version` names the prompt template
    and the rendering of the choices; it is part of a stage's key. `measures` and `metrics` say how it is
    measured, the first deciding; none is what suits the examples' targets. `balance` names a dimension, and those over
    which a sample of `test` is even within its groups. `known` is the task under whose name the data is split and
    sampled, where that is another one. `chat` is how its prompts were made turns or text, `auto`, `on` or `off`;
    `other_way_of` names the task whose examples it asks the other way, empty where it is no such one. `skips_unusable`
    says that examples which a model cannot read are left out, for all models alike, instead of being an error. A loss
    up to `margin` counts as none, by the deciding metric. `labels` are people's, of some of the texts that checkpoints
    write.
    """

    name: str
    role: Role
    version: str
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    dimensions: tuple[str, ...]
    source: str
    licence: str
    measures: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    balance: tuple[str, ...] = ()
    known: str = ""
    chat: str = "auto"
    other_way_of: str = ""
    skips_unusable: bool = False
    margin: Amount | None = None
    generation: Generation = field(default_factory=Generation)
    scorers: tuple[ScorerRef, ...] = ()
    labels: TextLabels | None = None

    @property
    def is_labelling(self) -> bool:
        """Whether its examples bear a label."""
        return LABEL in self.dimensions

    @cached_property
    def train_digest(self) -> str:
        """What a stage of tuning on this task depends on."""
        return canonical_digest([self.name, self.version, examples_digest(self.train)])

    @cached_property
    def test_digest(self) -> str:
        """What scores of this task depend on."""
        return canonical_digest([self.name, self.version, examples_digest(self.test)])
