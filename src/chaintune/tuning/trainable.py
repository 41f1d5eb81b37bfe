"""Which weights a stage trains: all of them, the parent's adapter, or a new one."""

from dataclasses import replace
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from transformers.pytorch_utils import Conv1D

from chaintune.errors import StageError, nearest
from chaintune.models.adapters import new_adapter, tied_targets
from chaintune.models.loading import LoadedModel, merge_adapter
from chaintune.models.peft_config import do_alike, named_refusals, peft_config
from chaintune.records import Recipe

_LINEAR = (torch.nn.Linear, Conv1D)


def trainable(parent: LoadedModel, recipe: Recipe) -> LoadedModel:
    """The parent with exactly the weights trainable that the stage trains.

    An adapter of the parent is trained on if it is like the recipe's, unless the recipe says otherwise, else it is
    folded into the weights first.

    Args:
        parent: changed in place.
        recipe: says which adapter is trained, what becomes of the parent's, and how the weights have to be held.

    Raises:
        ConfigError: PEFT refuses the recipe's adapter, on any model or on this one.
        ModelError: the parent's adapter cannot be folded into the weights.
        StageError: the model has no layers of the names that the adapter is for, or ties them; the parent's adapter is
            to be continued and is another; the weights are held in 4 bits and should not be, or the other way round, or
            they would have to be changed.
    """
    if parent.stored:
        raise StageError(f"its weights are stored quantised ({parent.stored}); train the unquantised model")
    if parent.quantize != recipe.quantize:
        raise StageError(
            f"the recipe says quantize {recipe.quantize or 'nothing'!r}, and the weights are held in "
            f"{parent.quantize or parent.precision}; load the model with the recipe's quantize"
        )
    settings = recipe.adapter_settings
    if settings is None:
        merged = merge_adapter(parent)
        merged.model.requires_grad_(True)
        return merged
    config = peft_config(settings)
    under = parent.model.get_base_model() if parent.has_adapter else parent.model
    _check_untied(under, config, recipe)
    if parent.has_adapter and recipe.adapter in (None, "continue"):
        if _is_like(parent, config):
            return parent
        if recipe.adapter == "continue":
            raise StageError(
                "recipe.adapter: 'continue' trains the parent's adapter on, and that is of another shape than the "
                "recipe's; give both the same settings, or write adapter: fresh"
            )
    if parent.has_adapter and recipe.quantize:
        raise StageError(
            "quantize '4bit': the parent's adapter is not of the recipe's shape, and weights in 4 bits cannot take it "
            "in; give every stage of the chain the same lora_rank, lora_alpha, lora_dropout and lora_targets"
        )
    merged = merge_adapter(parent)
    _check_targets(merged.model, config, recipe)
    with named_refusals():
        return replace(merged, model=new_adapter(merged.model, config))


def adapter_bytes(model: Any, recipe: Recipe) -> int:
    """What the trained weights of a recipe's adapter take in a file; 0 where there is none, or PEFT has to see weights.

    Args:
        model: on the meta device; used up.
        recipe: says which adapter.

    Raises:
        ConfigError: PEFT refuses the adapter, on any model or on this one, or could not merge it.
        StageError: the model has no layers of the names that it is for, or ties them.
    """
    settings = recipe.adapter_settings
    if settings is None:
        return 0
    config = peft_config(settings)
    _check_untied(model, config, recipe)
    _check_targets(model, config, recipe)
    with named_refusals():
        adapted = _without_weights(model, config)
        if adapted is None:
            return 0
        trained = (weight for weight in adapted.parameters() if weight.requires_grad)
        size: int = sum(weight.numel() * weight.element_size() for weight in trained)
        try:
            with torch.device("meta"):
                adapted.merge_and_unload()
        except RuntimeError:
            return size  # it merges by looking at weights
    return size


def _without_weights(model: Any, config: PeftConfig) -> PeftModel | None:
    """A model on the meta device under a new adapter; None where PEFT wants to see its weights."""
    try:
        with torch.device("meta"):
            return new_adapter(model, config)
    except RuntimeError:
        return None


def _check_targets(model: torch.nn.Module, config: Any, recipe: Recipe) -> None:
    targets = config.target_modules
    if targets is None or isinstance(targets, str):
        return  # PEFT's own choice for the architecture, `all-linear`, or a pattern that PEFT reads
    names = {name for name, _ in model.named_modules()}
    for target in sorted(targets):
        if not any(name == target or name.endswith(f".{target}") for name in names):
            last = {name.rsplit(".", 1)[-1] for name, layer in model.named_modules() if isinstance(layer, _LINEAR)}
            raise StageError(f"{_key(recipe)}: the model has no layer '{target}'; {nearest(target, last)}")


def _check_untied(model: Any, config: Any, recipe: Recipe) -> None:
    if tied := tied_targets(model, config):
        raise StageError(
            f"{_key(recipe)}: {' and '.join(tied)} cannot have an adapter, as input and output embeddings share "
            "one weight and merging would change both; name other layers, or 'all-linear'"
        )


def _key(recipe: Recipe) -> str:
    """The key of the recipe that says where an adapter lies."""
    return "recipe.lora_targets" if recipe.method == "lora" else "recipe.peft.target_modules"


def _is_like(parent: LoadedModel, config: PeftConfig) -> bool:
    """Whether a new adapter would be like the parent's: the same weights, used alike."""
    if not do_alike(parent.model.peft_config["default"], config):
        return False
    base = parent.model.get_base_model()
    with torch.device("meta"):  # names and shapes only
        bare = type(base)(base.config)
    fresh = _without_weights(bare, config)
    return fresh is not None and _trained_shapes(fresh) == _trained_shapes(parent.model)


def _trained_shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in model.named_parameters() if weight.requires_grad}
