"""What the key `recipe` of a study file says: how a stage trains, what it asks of a cluster, who tracks it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from chaintune.records import PeftSettings, Recipe, Resources
from chaintune.records.recipe import micro_batch

RECIPE_FIELDS = tuple(one.name for one in fields(Recipe) if one.name != "regulariser")
RESOURCE_FIELDS = tuple(one.name for one in fields(Resources))
STAGE_FIELDS = (*RECIPE_FIELDS, "report_to", *RESOURCE_FIELDS)
PEFT = "peft."
"""What stands before one setting of an adapter, `peft.r`; it may be varied like a field."""


@dataclass(frozen=True, slots=True)
class StageSettings:
    """Everything that `recipe` says about a stage.

    Attributes:
        recipe: how it trains; the only part that the stage's key is made of.
        resources: what it asks of a cluster.
        report_to: trackers, by transformers' names.
    """

    recipe: Recipe = field(default_factory=Recipe)
    resources: Resources = field(default_factory=Resources)
    report_to: tuple[str, ...] = ()

    def changed(self, values: Mapping[str, Any]) -> "StageSettings":
        """The settings with some of `STAGE_FIELDS`, or of `peft`'s own settings, changed.

        The micro-batch is made to divide the batch.

        Raises:
            ConfigError: fields that do not go together.
        """
        own = {name: value for name, value in values.items() if name in RECIPE_FIELDS}
        recipe = replace(self.recipe, **own | {"peft": _adapter(self.recipe.peft, values)})
        resources = {name: value for name, value in values.items() if name in RESOURCE_FIELDS}
        report_to = values.get("report_to", self.report_to)
        return StageSettings(_fitted(recipe), replace(self.resources, **resources), report_to)

    def to_mapping(self) -> dict[str, Any]:
        """The value of every one of `STAGE_FIELDS`."""
        peft = self.recipe.peft and self.recipe.peft.content()
        values = asdict(self.recipe) | asdict(self.resources) | {"report_to": self.report_to, "peft": peft}
        return {name: values[name] for name in STAGE_FIELDS}


def _adapter(before: PeftSettings | None, values: Mapping[str, Any]) -> PeftSettings | None:
    """The adapter with its settings, all of them or one by one, changed in the order of the values."""
    settings = before and before.content()
    for name, value in values.items():
        if name == "peft":
            settings = value
        elif name.startswith(PEFT):
            settings = (settings or {}) | {name.removeprefix(PEFT): value}
    return PeftSettings.of({name: settings[name] for name in settings if name != "task_type"}) if settings else None


def _fitted(recipe: Recipe) -> Recipe:
    """The recipe with the largest micro-batch, up to its own, that divides the batch."""
    if not recipe.micro_batch_size:
        return recipe
    return replace(recipe, micro_batch_size=micro_batch(recipe.batch_size, recipe.micro_batch_size))
