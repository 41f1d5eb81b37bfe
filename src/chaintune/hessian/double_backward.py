"""A model in a state that has second derivatives, restored afterwards."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from chaintune.errors import ModelError
from chaintune.models.loading import LoadedModel
from chaintune.models.undisturbed import evaluating
from chaintune.records import Space

# Plain matrix products: the fused kernels have no second derivatives.
_ATTENTION = "eager"


def space_of(loaded: LoadedModel, space: Space) -> dict[str, torch.nn.Parameter]:
    """The weights of a space by name; tied weights count once.

    The full space of a model with a LoRA adapter is that of the weights under it: `W + BA` moves with `W`
    alone, so these derivatives are those of the merged weights.

    Raises:
        ModelError: the model has no such space.
    """
    named = dict(loaded.model.named_parameters())
    if space == "lora":
        if not loaded.has_adapter:
            raise ModelError("space 'lora': the model has no adapter; name one as MODEL+ADAPTER, or take space 'full'")
        own = str(loaded.model.base_model.prefix)
        return {name: weight for name, weight in named.items() if own in name or "modules_to_save" in name}
    if not loaded.has_adapter:
        return named
    if not merely_adds(loaded):
        raise ModelError("space 'full': the model's adapter does not merely add to the weights; merge it first")
    return {name: weight for name, weight in named.items() if loaded.model.base_model.prefix not in name}


def merely_adds(loaded: LoadedModel) -> bool:
    """Whether an adapter adds to the weights what does not depend on them, so that they move with the merged ones."""
    kind = loaded.model.peft_config["default"]
    return str(kind.peft_type.value) == "LORA" and not kind.use_dora


@contextmanager
def double_backward_mode(loaded: LoadedModel, parameters: Callable[[str], bool]) -> Iterator[None]:
    """Within this context the model evaluates in fp32 and its loss has second derivatives in some weights.

    Weights, mode, attention and gradients' flags are restored, bit for bit; random state is not touched.

    Args:
        loaded: the model.
        parameters: name -> whether derivatives are taken in the weights of this name.
    """
    with ExitStack() as stack:
        stack.enter_context(_plain_attention(loaded))
        stack.enter_context(evaluating(loaded.model))
        stack.enter_context(_in_fp32(loaded.model))
        stack.enter_context(_differentiable(loaded.model, parameters))
        yield


@contextmanager
def _plain_attention(loaded: LoadedModel) -> Iterator[None]:
    model = loaded.model.get_base_model() if loaded.has_adapter else loaded.model
    before = model.config._attn_implementation
    model.set_attn_implementation(_ATTENTION)
    try:
        # For attention that a model calls by itself, past its configuration.
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def _in_fp32(model: Any) -> Iterator[None]:
    originals = [(tensor, tensor.data) for tensor in (*model.parameters(), *model.buffers())]
    try:
        for tensor, data in originals:
            if data.is_floating_point():
                tensor.data = data.float()
        yield
    finally:
        for tensor, data in originals:
            tensor.data = data


@contextmanager
def _differentiable(model: Any, chosen: Callable[[str], bool]) -> Iterator[None]:
    before = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        for name, weight in model.named_parameters():
            weight.requires_grad_(chosen(name))
        yield
    finally:
        for weight, requires_grad in before:
            weight.requires_grad_(requires_grad)
