"""A model read without its weights has every shape, number format and tie of the model itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig

from chaintune.models import Precision, load, merge_adapter, save
from chaintune.models.adapters import new_adapter
from chaintune.models.memory import SEVERAL_DEVICES
from chaintune.models.sharding import is_sharded, weight_bytes
from tests import tiny
from tests.conftest import MakeModel

_MOE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
# Its experts are separate on disk and one tensor in memory.
SHAPES: dict[str, dict[str, Any]] = {
    **tiny.ARCHITECTURES,
    **tiny.ALIBI,
    "mixtral": _MOE | {"num_key_value_heads": 2, "num_local_experts": 4, "max_position_embeddings": 256},
    "llama, tied": tiny.ARCHITECTURES["llama"] | {"tie_word_embeddings": True},
}


def layout(model: torch.nn.Module) -> Mapping[str, Any]:
    """Name -> shape, number format, whether it is trained, and the first name of the same tensor."""
    first: dict[int, str] = {}
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {
        name: (tensor.shape, tensor.dtype, tensor.requires_grad, first.setdefault(id(tensor), name))
        for name, tensor in named
    }


def write(folder: Path, shape: str) -> Path:
    tiny.make_model(shape.split(",")[0], **SHAPES[shape]).save_pretrained(folder)
    tiny.make_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_laid_out_as_the_model(shape: str, precision: Precision, tmp_path: Path) -> None:
    folder = write(tmp_path, shape)
    on_meta, whole = (load(folder, precision=precision, on_meta=empty).model for empty in (True, False))
    assert layout(on_meta) == layout(whole)
    assert all(weight.is_meta for weight in on_meta.parameters())
    assert weight_bytes(on_meta) == weight_bytes(whole) > 0
    assert not is_sharded(on_meta)


@pytest.mark.parametrize("trained_on", [True, False], ids=["kept on", "merged"])
def test_an_adapter_on_it_is_laid_out_as_on_the_model(
    trained_on: bool, model_folder: MakeModel, adapter_folder: Path
) -> None:
    on_meta, whole = (
        load(model_folder(), adapter=adapter_folder, precision="bf16", on_meta=empty) for empty in (True, False)
    )
    if not trained_on:
        on_meta, whole = merge_adapter(on_meta), merge_adapter(whole)
    assert layout(on_meta.model) == layout(whole.model)
    assert all(weight.is_meta for weight in on_meta.model.parameters())


def test_a_new_adapter_on_it_is_laid_out_as_on_the_model(model_folder: MakeModel, tmp_path: Path) -> None:
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear")
    on_meta, whole = (
        new_adapter(load(model_folder(), precision="bf16", on_meta=empty).model, config) for empty in (True, False)
    )
    assert layout(on_meta) == layout(whole)


def test_weights_that_do_not_fit_the_device_are_one_sentence(
    model_folder: MakeModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded = load(model_folder(), precision="fp32")
    save(loaded, tmp_path)

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(loaded.model), "to", full)
    with pytest.raises(OSError, match=rf"its weights, 0\.0 GB, do not fit .* of cpu;.* share it: {SEVERAL_DEVICES}"):
        load(tmp_path, precision="fp32")
