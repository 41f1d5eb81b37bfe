"""Which weights a stage trains: all of them, the parent's adapter, or a new one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from peft import LoraConfig
from transformers.pytorch_utils import Conv1D

from chaintune.errors import StageError, nearest
from chaintune.models.adapters import new_adapter, tied_targets
from chaintune.models.loading import LoadedModel, merge_adapter
from chaintune.models.precision import Quantize
from chaintune.records import Lora

_LINEAR = (torch.nn.Linear, Conv1D)
_ADAPTER_KNOBS = ("lora_alpha", "lora_dropout", "use_rslora", "alpha_pattern")


def trainable(parent: LoadedModel, lora: Lora | None, quantize: Quantize | None) -> LoadedModel:
    """The parent with exactly the weights trainable that the stage trains.

    An adapter of the parent is trained on if it is of the shape of `lora`, else it is folded into the weights first.

    Args:
        parent: changed in place.
        lora: the adapter that is trained; None trains all weights.
        quantize: how the weights have to be held.

    Raises:
        ModelError: the parent's adapter cannot be folded into the weights.
        StageError: the model has no layers of the names in `lora_targets`, or ties those that they name; its weights
            are held in 4 bits and should not be, or the other way round, or they would have to be changed.
    """
    if parent.quantize != quantize:
        raise StageError(
            f"the recipe says quantize {quantize or 'nothing'!r}, and the weights are held in "
            f"{parent.quantize or parent.precision}; load the model with the recipe's quantize"
        )
    if lora is None:
        merged = merge_adapter(parent)
        merged.model.requires_grad_(True)
        return merged
    adapter = _config(lora)
    _check_untied(parent.model.get_base_model() if parent.has_adapter else parent.model, adapter)
    if parent.has_adapter and _same_shape(parent, adapter):
        return parent
    if parent.has_adapter and quantize:
        raise StageError(
            "quantize '4bit': the parent's adapter is not of the recipe's shape, and weights in 4 bits cannot take it "
            "in; give every stage of the chain the same lora_rank, lora_alpha, lora_dropout and lora_targets"
        )
    merged = merge_adapter(parent)
    _check_targets(merged.model, lora.targets)
    return replace(merged, model=new_adapter(merged.model, adapter))


def _config(lora: Lora) -> LoraConfig:
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
    )


def _check_targets(model: torch.nn.Module, targets: str | Sequence[str]) -> None:
    if isinstance(targets, str):
        return  # `all-linear`, or a pattern that PEFT reads
    names = {name for name, _ in model.named_modules()}
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            last = {name.rsplit(".", 1)[-1] for name, layer in model.named_modules() if isinstance(layer, _LINEAR)}
            raise StageError(f"recipe.lora_targets: the model has no layer '{target}'; {nearest(target, last)}")


def _check_untied(model: Any, adapter: LoraConfig) -> None:
    if tied := tied_targets(model, adapter):
        raise StageError(
            f"recipe.lora_targets: {' and '.join(tied)} cannot have an adapter, as input and output embeddings share "
            "one weight and merging would change both; name other layers, or 'all-linear'"
        )


def _same_shape(parent: LoadedModel, adapter: LoraConfig) -> bool:
    """Whether a new adapter would be like the parent's: the same weights, scaled and dropped alike."""
    there = parent.model.peft_config["default"]
    if not isinstance(there, LoraConfig):
        return False
    if any(getattr(there, name) != getattr(adapter, name) for name in _ADAPTER_KNOBS):
        return False
    base = parent.model.get_base_model()
    with torch.device("meta"):  # names and shapes only
        fresh = new_adapter(type(base)(base.config), adapter)
    return _trained_shapes(fresh) == _trained_shapes(parent.model)


def _trained_shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in model.named_parameters() if weight.requires_grad}
