"""A model after some stages, and how its chain and its variant are written."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One step of a chain.

    Attributes:
        label: its name in the chain's label, such as `bbq`, `bbq@5%` or `csqa with ewc 100`; nothing is read from it.
        tasks: that it teaches whole: one, several at once, or none, as a dose or an interpolation does.
        mitigation: kind of the mitigation that it belongs to; empty for a plain stage.
        dose: fraction of the lost task's training data that it teaches again; None where it teaches none by the dose.
    """

    label: str
    tasks: tuple[str, ...] = ()
    mitigation: str = ""
    dose: float | None = None

    @classmethod
    def plain(cls, task: str) -> "ChainStep":
        """An ordinary stage on the whole of one task."""
        return cls(task, (task,))


Chain = tuple[ChainStep, ...]
Settings = tuple[tuple[str, str], ...]

# Label of the chain without a step.
BASE = "base"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The model after the stages of a chain.

    Attributes:
        base: name of the base model as the study writes it.
        chain: steps so far, in order; none for the base itself.
        variant: varied knobs, seed apart, in the order of the study file.
        seed: of the chain; None says every seed.
        key: address of the weights; empty where it is not known.
    """

    base: str
    chain: Chain = ()
    variant: Settings = ()
    seed: int | None = None
    key: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of its steps."""
        return tuple(step.label for step in self.chain)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that the chain teaches whole, each once."""
        return tuple(dict.fromkeys(task for step in self.chain for task in step.tasks))

    @property
    def is_plain(self) -> bool:
        """Whether every step is an ordinary stage on the whole of one task."""
        return all(not step.mitigation and len(step.tasks) == 1 for step in self.chain)

    @property
    def of_every_seed(self) -> "Checkpoint":
        """The same without seed and key: what several seeds have in common."""
        return replace(self, seed=None, key="")

    def at(self, chain: Chain) -> "Checkpoint":
        """The same base, variant and seed after another chain, whose key is not known."""
        return replace(self, chain=chain, key="")


def chain_label(labels: Iterable[str]) -> str:
    """How a chain is written: its steps in order, `base` when there are none.

    Example:
        >>> chain_label(["bbq", "csqa"]), chain_label([])
        ('bbq>csqa', 'base')
    """
    return ">".join(labels) or BASE


def variant_label(variant: Iterable[tuple[str, str]]) -> str:
    """How a variant is written; empty when nothing is varied.

    Example:
        >>> variant_label([("method", "lora"), ("learning_rate", "1e-4")])
        'method=lora, learning_rate=1e-4'
    """
    return ", ".join(f"{name}={value}" for name, value in variant)
