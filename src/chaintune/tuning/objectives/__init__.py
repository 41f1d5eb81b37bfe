"""What a stage optimises: one file each."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from chaintune.errors import ConfigError
from chaintune.records import Choices, Example, Preference, Recipe, Reference
from chaintune.registry import Registry
from chaintune.tuning.objectives.objective import Objective, Tokenized

__all__ = ["OBJECTIVES", "Objective", "Tokenized", "objective_of", "protecting", "targets_of", "with_objective"]

OBJECTIVES = Registry(
    "objective",
    "chaintune.objectives",
    Objective,
    {
        "sft": "chaintune.tuning.objectives.sft:OBJECTIVE",
        "dpo": "chaintune.tuning.objectives.dpo:OBJECTIVE",
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


def objective_of(recipe: Recipe) -> Objective:
    """The objective that a recipe names, as the recipe's settings have it.

    Raises:
        ConfigError: no objective has the name.
    """
    objective = OBJECTIVES.get(str(recipe.objective))
    return objective.configured(recipe) if objective.configured else objective


def with_objective(recipe: Recipe, targets: Collection[type], *, task: str) -> Recipe:
    """The recipe of a stage with the name of its objective.

    Where it names none, it is the first that takes the targets, chaintune's own before those of other packages.

    Raises:
        ConfigError: no objective has the name, or it does not take the targets.
    """
    for name in [recipe.objective] if recipe.objective else dict.fromkeys((*OBJECTIVES.shipped, *OBJECTIVES.names)):
        named = replace(recipe, objective=name)
        if set(targets) <= set(objective_of(named).targets):
            return named
    shown = " and ".join(sorted(_SHOWN.get(target, target.__name__) for target in targets))
    taking = f"objective '{recipe.objective}' does not take them" if recipe.objective else "no objective takes them"
    remedies = ["teach one kind in a stage"] if len(targets) > 1 else []
    if Preference in targets:
        remedies.append("write 'objective: sft' and 'teach: chosen' in the recipe to teach the chosen answers of pairs")
    remedy = f"; {', or '.join(remedies)}" if remedies else ""
    raise ConfigError(f"task '{task}': its training examples have {shown}, and {taking}{remedy}")


def protecting(recipe: Recipe, targets: Collection[type], *, task: str) -> Objective:
    """The objective by whose loss a stage's regulariser looks at the examples of a task that must not be lost.

    It is the stage's own where that takes them and is held against no reference, else SFT; of preferences always on the
    chosen answers, whichever of them the stage teaches.

    Raises:
        ConfigError: neither takes the targets.
    """
    own = objective_of(replace(recipe, teach="chosen") if recipe.teach else recipe)
    if set(targets) <= set(own.targets) and not own.has_reference:
        return own
    return objective_of(with_objective(Recipe(objective="sft", teach="chosen"), targets, task=task))
