"""What a stage optimises: one file each."""

from collections.abc import Collection, Iterable

from chaintune.errors import ConfigError
from chaintune.records import Choices, Example, Preference, Reference
from chaintune.registry import Registry
from chaintune.tuning.objectives.objective import Objective, Tokenized

__all__ = ["OBJECTIVES", "Objective", "Tokenized", "choose_objective", "targets_of"]

OBJECTIVES = Registry(
    "objective",
    "chaintune.objectives",
    Objective,
    {
        "sft": "chaintune.tuning.objectives.sft:OBJECTIVE",
    },
)
_SHOWN = {
    Choices: "choices with a gold index",
    Reference: "a reference answer",
    Preference: "a chosen and a rejected answer",
    type(None): "no target",
}


def targets_of(examples: Iterable[Example]) -> frozenset[type]:
    """The classes of the examples' targets."""
    return frozenset(type(example.target) for example in examples)


def choose_objective(name: str | None, targets: Collection[type], *, task: str) -> str:
    """The name of a stage's objective.

    Args:
        name: of the recipe; None is the first that takes the targets, chaintune's own before those of other packages.
        targets: classes of the targets that the stage is taught.
        task: named in messages.

    Raises:
        ConfigError: no objective has the name, or it does not take the targets.
    """
    for one in [name] if name else dict.fromkeys((*OBJECTIVES.shipped, *OBJECTIVES.names)):
        if set(targets) <= set(OBJECTIVES.get(one).targets):
            return one
    shown = " and ".join(sorted(_SHOWN.get(target, target.__name__) for target in targets))
    taking = f"objective '{name}' does not take them" if name else "no objective takes them"
    raise ConfigError(f"task '{task}': its training examples have {shown}, and {taking}")
