"""What of a plan's checkpoints is an adapter on the base, and recipes that ask for what becomes of none."""

from collections.abc import Iterable, Mapping, Sequence

from chaintune.errors import ConfigError
from chaintune.plan.nodes import DataMix, StageNode
from chaintune.records import PeftSettings
from chaintune.study.study import Study


def stored_adapters(stages: Iterable[StageNode]) -> dict[str, PeftSettings | None]:
    """Key of each checkpoint -> the adapter that is stored alone; None where all weights are.

    An adapter is alone while the base's own weights lie under it.

    Args:
        stages: a parent before its children.
    """
    adapters: dict[str, PeftSettings | None] = {}
    for node in stages:
        adapter = trained_adapter(node)
        begun = node.parent_key == node.base_key and adapter is not None and adapter.leaves_base_alone
        continued = adapters.get(node.parent_key) == adapter and node.recipe.adapter in (None, "continue")
        adapters[node.key] = adapter if begun or continued else None
    return adapters


def trained_adapter(node: StageNode) -> PeftSettings | None:
    """The adapter that a stage trains; None where it trains all weights, or none."""
    return node.recipe.adapter_settings if isinstance(node.operation, DataMix) else None


def check_adapters(stages: Iterable[StageNode], stored: Mapping[str, PeftSettings | None]) -> None:
    """Refuse, before anything is trained, what cannot become of a parent's adapter.

    Raises:
        ConfigError: a stage in full tuning would continue an adapter or begin one; one in 4 bits would merge one; one
            would continue what its parent has not.
    """
    known = {node.key: node for node in stages}
    for node in known.values():
        wish, adapter = node.recipe.adapter, trained_adapter(node)
        if wish is None or not isinstance(node.operation, DataMix):
            continue
        if adapter is None and wish != "merge":
            raise ConfigError(
                f"recipe.adapter: '{wish}' trains an adapter, and the stage '{node.title}' trains all weights; write "
                "adapter: merge, or leave it out"
            )
        if node.recipe.quantize and wish != "continue":
            raise ConfigError(
                f"recipe.adapter: '{wish}' merges the parent's adapter, which weights in 4 bits cannot take in; write "
                "adapter: continue, or leave quantize out"
            )
        if wish == "continue" and node.parent_key in known:
            _check_continues(node, known[node.parent_key], stored[node.parent_key])


def nothing_to_continue(study: Study, bare: Sequence[str]) -> str:
    """The sentence that a first stage which would continue an adapter begins one, as its base is bare; else empty."""
    first = {chain[0] for chain in study.chains if isinstance(chain[0], str)}
    recipes = (study.recipe_of(task, variant) for variant in study.variants() for task in first)
    if not bare or all(recipe.adapter != "continue" for recipe in recipes):
        return ""
    has = "which has" if len(bare) == 1 else "which have"
    return (
        f"recipe.adapter: 'continue' begins a new adapter on {', '.join(bare)}, {has} none; a base with an adapter is "
        "written as MODEL+ADAPTER"
    )


def _check_continues(node: StageNode, parent: StageNode, there: PeftSettings | None) -> None:
    own = trained_adapter(node)
    if there is None or own is None or _but_targets(there) != _but_targets(own):
        what = "all weights are stored, with no adapter" if there is None else "the adapter has other settings"
        raise ConfigError(
            f"recipe.adapter: 'continue' in the stage '{node.title}' finds none like its own, as of '{parent.title}' "
            f"{what}; give both the same settings, or write adapter: fresh"
        )


def _but_targets(settings: PeftSettings) -> dict[str, object]:
    """Settings without the layers that they are for, which may be spelled in several ways."""
    return {name: value for name, value in settings.content().items() if name != "target_modules"}
