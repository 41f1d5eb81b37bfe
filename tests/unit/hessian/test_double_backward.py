"""A model that was measured is the model it was."""

import random
from typing import Any

import pytest
import torch

from chaintune.errors import ModelError
from chaintune.hessian import curvature
from chaintune.hessian.double_backward import double_backward_mode
from chaintune.models import LoadedModel
from tests.reference import random_states
from tests.unit.hessian.conftest import EXAMPLES, adapted_model, small_model


def everything(loaded: LoadedModel) -> dict[str, Any]:
    """What measuring could have changed."""
    model = loaded.model
    base = model.get_base_model() if loaded.has_adapter else model
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "bytes": {name: (t.dtype, t.data_ptr(), t.detach().float().numpy().tobytes()) for name, t in tensors.items()},
        "flags": {name: (weight.requires_grad, weight.grad) for name, weight in model.named_parameters()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "hooks": {name: len(module._forward_pre_hooks) for name, module in model.named_modules()},
        "attention": base.config._attn_implementation,
        "random": random_states(),
    }


def odd(loaded: LoadedModel) -> LoadedModel:
    """In a state that no default would restore by chance."""
    loaded.model.train()
    next(module for name, module in loaded.model.named_modules() if name.endswith("mlp")).eval()
    for number, weight in enumerate(loaded.model.parameters()):
        weight.requires_grad_(number % 3 == 0)
    random.seed(5)
    torch.manual_seed(5)
    return loaded


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("space", ["full", "lora"])
def test_curvature_leaves_the_model_as_it_was(space: Any, dtype: torch.dtype) -> None:
    loaded = adapted_model() if space == "lora" else small_model()
    loaded.model.to(dtype)
    before = everything(odd(loaded))
    curvature(loaded, EXAMPLES[:4], task="balls", space=space, batches=2)
    assert everything(loaded) == before


def test_also_after_a_failure() -> None:
    loaded = odd(small_model())
    with torch.no_grad():
        next(loaded.model.parameters()).fill_(float("inf"))
    before = everything(loaded)
    with pytest.raises(ModelError, match="the loss is nan"):
        curvature(loaded, EXAMPLES[:4], task="balls")
    assert everything(loaded) == before


def test_bf16_weights_are_measured_in_fp32() -> None:
    loaded, wide = small_model(), small_model()
    loaded.model.bfloat16()
    wide.model.bfloat16().float()
    here, there = (curvature(one, EXAMPLES, task="balls", batches=0) for one in (loaded, wide))
    assert (here.top, here.bottom, here.loss) == (there.top, there.bottom, there.loss)


def test_dropout_is_off_and_attention_is_plain() -> None:
    loaded = odd(adapted_model())
    with double_backward_mode(loaded, lambda _: True):
        assert not any(module.training for module in loaded.model.modules())
        assert loaded.model.get_base_model().config._attn_implementation == "eager"
        assert all(weight.requires_grad for weight in loaded.model.parameters())
