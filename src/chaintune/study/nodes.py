"""The nodes of a study's graph: frozen values addressed by what determines their results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaintune.records import Recipe

Labels = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class StageNode:
    """One training of one parent on one task. Its key determines the weights.

    Attributes:
        key: address of the checkpoint in the store.
        parent_key: key of the stage before, or of the base.
        base, base_key: the base model as the study names it, and its content's key.
        chain: labels of the steps up to and with this one: a task's name, `bbq@5%` for a replay.
        task: trained on.
        dose: fraction of the task's training data, in (0, 1].
        recipe, seed, precision: how.
        variant: the varied knobs, for people; equal nodes of several variants bear the first one's.
        train_tokens: counted over all epochs; 0 when nobody counted.
    """

    key: str
    parent_key: str
    base: str
    base_key: str
    chain: tuple[str, ...]
    task: str
    dose: float
    recipe: Recipe
    seed: int
    precision: str
    variant: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    train_tokens: int = field(default=0, compare=False)

    @property
    def kind(self) -> str:
        """Of the store's entry."""
        return "stage"

    @property
    def title(self) -> str:
        """For people: `bbq>csqa, learning_rate=2e-05, seed 1`."""
        return ", ".join([">".join(self.chain), *_labels(self.variant), f"seed {self.seed}"])

    @property
    def tokens(self) -> int:
        """Work of this node."""
        return self.train_tokens

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        own = {"parent": self.parent_key, "dose": self.dose, "tokens": self.train_tokens}
        return _common(self) | own


@dataclass(frozen=True, slots=True)
class ScoreNode:
    """One checkpoint scored on one task. Its key determines the scores.

    Attributes:
        key: address of the scores in the store.
        checkpoint_key: key of the stage, or of the base, that is scored.
        task: scored on.
        score_tokens: 0 when nobody counted.
        base, base_key, chain, seed, precision, variant: of the checkpoint; the base has no chain.
    """

    key: str
    checkpoint_key: str
    base: str
    base_key: str
    chain: tuple[str, ...]
    task: str
    seed: int
    precision: str
    variant: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    score_tokens: int = field(default=0, compare=False)

    @property
    def kind(self) -> str:
        """Of the store's entry."""
        return "score"

    @property
    def title(self) -> str:
        """For people: `bbq>csqa, seed 1 on csqa`."""
        named = [">".join(self.chain), *_labels(self.variant), f"seed {self.seed}"] if self.chain else ["base"]
        return f"{', '.join(named)} on {self.task}"

    @property
    def tokens(self) -> int:
        """Work of this node."""
        return self.score_tokens

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return _common(self) | {"checkpoint": self.checkpoint_key, "tokens": self.score_tokens}


Node = StageNode | ScoreNode


@dataclass(frozen=True, slots=True)
class Cell:
    """One checkpoint as the study's tables name it; several cells may share one checkpoint.

    Attributes:
        scores: task -> key of the scores.
        final: whether a chain of the study ends here.
    """

    base: str
    chain: tuple[str, ...]
    variant: tuple[tuple[str, str], ...]
    seed: int
    checkpoint_key: str
    scores: Mapping[str, str]
    final: bool


def _labels(variant: Labels) -> list[str]:
    return [f"{name}={value}" for name, value in variant]


def _common(node: Node) -> dict[str, Any]:
    return {
        "kind": node.kind,
        "key": node.key,
        "base": node.base,
        "chain": ">".join(node.chain) or "base",
        "variant": ", ".join(_labels(node.variant)),
        "seed": node.seed if node.chain else None,
        "task": node.task,
    }
