"""A model after some stages, and how its chain and its variant are written."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from chaintune.errors import ConfigError, nearest


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
_TERMS = {"learning_rate": "lr", "batch_size": "bs", "lora_rank": "rank", "lora_alpha": "alpha", "weight_decay": "wd"}
# Of these the value alone says what it is of: a recipe that has a name is varied as a whole.
_BARE = ("method", "recipe", "peft", "schedule")
_PLAIN_FROM = 0.01


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The model after the stages of a chain.

    Attributes:
        base: name of the base model as the study writes it.
        chain: steps so far, in order; none for the base itself.
        variant: what differs between the variants of the study, seed apart, in the order of its file; none for the
            base itself.
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
        """The same base, variant and seed after another chain, whose key is not known; the base has no variant."""
        return replace(self, chain=chain, variant=self.variant if chain else (), key="")


def chain_label(labels: Iterable[str]) -> str:
    """How a chain is written: its steps in order, `base` when there are none.

    Example:
        >>> chain_label(["bbq", "csqa"]), chain_label([])
        ('bbq>csqa', 'base')
    """
    return ">".join(labels) or BASE


def variant_label(variant: Iterable[tuple[str, str]]) -> str:
    """The name of a variant; empty when nothing is varied.

    Args:
        variant: what differs between the variants of a study, or the name that a recipe was given.

    Example:
        >>> variant_label([("method", "lora"), ("learning_rate", "0.001"), ("tasks.bbq.recipe.epochs", "2")])
        'lora lr=1e-3 bbq epochs=2'
        >>> variant_label([("recipe", "small steps")])
        'small steps'
    """
    return " ".join(_setting(*pair) for pair in variant)


def knob_target(name: str) -> tuple[str, str]:
    """The task (empty for all of them) and the recipe field that a knob turns; `recipe` for a whole one.

    Example:
        >>> knob_target("recipe.epochs"), knob_target("tasks.bbq.recipe.epochs"), knob_target("recipe")
        (('', 'epochs'), ('bbq', 'epochs'), ('', 'recipe'))
        >>> knob_target("recipe.peft.r")
        ('', 'peft.r')
    """
    task = name.split(".")[1] if name.startswith("tasks.") else ""
    return task, name.removeprefix(f"tasks.{task}.").removeprefix("recipe.")


def term_of(knob: str) -> str:
    """What a knob is called in names of variants and in headers of tables, of a task's own recipe with the task.

    Example:
        >>> term_of("learning_rate"), term_of("tasks.bbq.recipe.lora_rank")
        ('lr', 'bbq rank')
    """
    task, field = knob_target(knob)
    return f"{task} {_TERMS.get(field, field)}".strip()


def short_number(text: str) -> str:
    """A small number as a power of ten, anything else as it is.

    Example:
        >>> short_number("0.00015"), short_number("2e-05"), short_number("0.05"), short_number("lora")
        ('1.5e-4', '2e-5', '0.05', 'lora')
    """
    try:
        small = 0 < abs(float(text)) < _PLAIN_FROM
    except ValueError:
        return text
    return f"{Decimal(text):e}" if small else text


def named_variant(part: str, names: Iterable[str]) -> str:
    """The one variant whose name is a text, has it as a word, or else has it as a part.

    Raises:
        ConfigError: no name or several have it; the message lists them.
    """
    known = [name for name in dict.fromkeys(names) if name]
    words = [name for name in known if f" {part} " in f" {name} "]
    for alike in ([name for name in known if name == part], words, [name for name in known if part in name]):
        if len(alike) == 1:
            return alike[0]
        if alike:
            raise ConfigError(
                f"variant '{part}': it may be any of {', '.join(alike)}; write more of one of these names"
            )
    if not known:
        raise ConfigError(f"variant '{part}': the study has one variant; leave it out")
    raise ConfigError(f"variant '{part}': {nearest(part, known)}; any part of a name that no other has will do")


def _setting(knob: str, text: str) -> str:
    task, field = knob_target(knob)
    if field in _BARE:
        return f"{task} {text.removeprefix('peft_type:')}".strip()
    return f"{term_of(knob)}={short_number(text)}"
