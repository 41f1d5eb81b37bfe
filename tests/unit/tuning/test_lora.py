"""Stages that train an adapter, before, after and between stages that train everything."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.errors import StageError
from chaintune.models import LoadedModel, Precision, load, merge_adapter, save
from chaintune.records import Recipe
from chaintune.tuning.tune import Tuned, tune
from tests import tiny
from tests.conftest import MakeModel

LORA = Recipe(method="lora", learning_rate=1e-2, epochs=2, batch_size=8, lora_rank=4, lora_alpha=8)
FULL = replace(LORA, method="full", learning_rate=1e-3)
EXAMPLES = tiny.examples(16)
TIED = tiny.ARCHITECTURES["llama"] | {"tie_word_embeddings": True}


def stage(parent: LoadedModel, folder: Path, recipe: Recipe = LORA, *, seed: int = 0) -> Tuned:
    return tune(parent, EXAMPLES, task="balls", recipe=recipe, seed=seed, log=folder / "steps.jsonl")


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in loaded.model.state_dict().items()}


def same_bits(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


def split(loaded: LoadedModel) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The weights of the model under the adapter, by their plain names, and those of the adapter."""
    named = weights(loaded)
    adapter = {name: weight for name, weight in named.items() if "lora_" in name}
    plain = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): weight
        for name, weight in named.items()
        if name not in adapter
    }
    return plain, adapter


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3_text"])
def test_only_the_adapter_learns(architecture: str, model_folder: MakeModel, tmp_path: Path) -> None:
    parent = load(model_folder(architecture), precision="fp32")
    before = weights(parent)
    done = stage(parent, tmp_path)
    assert done.loaded.has_adapter
    under, adapter = split(done.loaded)
    assert same_bits(under, before)
    assert all(weight.any() for weight in adapter.values())
    assert done.final_loss < done.first_loss


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_inputs_give_the_same_bits(precision: Precision, model_folder: MakeModel, tmp_path: Path) -> None:
    recipe = replace(LORA, lora_dropout=0.3)
    first, again, other = (
        weights(stage(load(model_folder(), precision=precision), tmp_path, recipe, seed=seed).loaded)
        for seed in (0, 0, 1)
    )
    assert same_bits(first, again)
    assert not same_bits(first, other)


def test_a_second_stage_trains_the_same_adapter_on(model_folder: MakeModel, tmp_path: Path) -> None:
    first = stage(load(model_folder(), precision="fp32"), tmp_path).loaded
    model, before = first.model, split(first)
    second = stage(first, tmp_path, seed=1).loaded
    assert second.model is model
    under, adapter = split(second)
    assert same_bits(under, before[0])
    assert not same_bits(adapter, before[1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_second_stage_from_memory_equals_one_from_disk(
    precision: Precision, model_folder: MakeModel, tmp_path: Path
) -> None:
    first = stage(load(model_folder(), precision=precision), tmp_path).loaded
    save(first, tmp_path / "first")
    from_memory = stage(first, tmp_path, seed=1).loaded
    loaded = load(model_folder(), adapter=tmp_path / "first", precision=precision)
    assert same_bits(weights(from_memory), weights(stage(loaded, tmp_path, seed=1).loaded))


@pytest.mark.parametrize(
    "other",
    [
        {"lora_rank": 2},
        {"lora_alpha": 4.0},
        {"lora_dropout": 0.1},
        {"lora_targets": ("q_proj", "v_proj")},
        {"lora_targets": ".*mlp.*_proj"},
    ],
)
def test_an_adapter_of_another_shape_begins_on_the_merged_weights(
    other: dict[str, Any], model_folder: MakeModel, tmp_path: Path
) -> None:
    first = stage(load(model_folder(), precision="fp32"), tmp_path).loaded
    save(first, tmp_path / "first")
    second = stage(first, tmp_path, replace(LORA, **other)).loaded
    under, adapter = split(second)
    merged = merge_adapter(load(model_folder(), adapter=tmp_path / "first", precision="fp32"))
    assert same_bits(under, weights(merged))
    ranks = {weight.shape[0] for name, weight in adapter.items() if "lora_A" in name}
    assert ranks == {other.get("lora_rank", 4)}


def test_an_adapter_after_a_full_stage_lies_on_the_tuned_weights(model_folder: MakeModel, tmp_path: Path) -> None:
    tuned = stage(load(model_folder(), precision="fp32"), tmp_path, FULL).loaded
    before = weights(tuned)
    assert same_bits(split(stage(tuned, tmp_path).loaded)[0], before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_full_stage_after_an_adapter_trains_the_merged_weights(
    precision: Precision, model_folder: MakeModel, tmp_path: Path
) -> None:
    first = stage(load(model_folder(), precision=precision), tmp_path).loaded
    save(merge_adapter(load_with(first, model_folder(), tmp_path, precision)), tmp_path / "merged")
    from_adapter = stage(first, tmp_path, FULL).loaded
    assert not from_adapter.has_adapter
    assert all(weight.requires_grad for weight in from_adapter.model.parameters())
    from_merged = stage(load(tmp_path / "merged", precision=precision), tmp_path, FULL).loaded
    assert same_bits(weights(from_adapter), weights(from_merged))


def load_with(adapted: LoadedModel, folder: Path, scratch: Path, precision: Precision) -> LoadedModel:
    """The base of a folder under the adapter of a model in memory."""
    save(adapted, scratch / "adapter")
    return load(folder, adapter=scratch / "adapter", precision=precision)


def test_checkpointed_activations_do_not_cut_the_adapter_off(model_folder: MakeModel, tmp_path: Path) -> None:
    plain = stage(load(model_folder(), precision="fp32"), tmp_path, replace(LORA, share_prefixes=False))
    checkpointed = stage(load(model_folder(), precision="fp32"), tmp_path, replace(LORA, gradient_checkpointing=True))
    assert same_bits(weights(plain.loaded), weights(checkpointed.loaded))


def test_a_target_that_the_model_lacks_is_named(model_folder: MakeModel, tmp_path: Path) -> None:
    recipe = replace(LORA, lora_targets=("q_proj", "v_porj"))
    with pytest.raises(StageError, match="no layer 'v_porj'; did you mean 'v_proj'"):
        stage(load(model_folder(), precision="fp32"), tmp_path, recipe)


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens", ".*(q_proj|lm_head)"])
def test_targets_that_are_tied_are_refused(target: str, tmp_path: Path) -> None:
    recipe = replace(LORA, lora_targets=target if "*" in target else ("q_proj", target))
    untied = stage(LoadedModel(tiny.make_model(), tiny.make_tokenizer(), "fp32"), tmp_path, recipe).loaded
    assert not merge_adapter(untied).has_adapter
    tied = LoadedModel(tiny.make_model(**TIED), tiny.make_tokenizer(), "fp32")
    with pytest.raises(StageError, match=r"(lm_head|embed_tokens) cannot have an adapter, as input and output"):
        stage(tied, tmp_path, recipe)
    assert not any("lora" in name for name, _ in tied.model.named_parameters())


def test_all_linear_layers_of_a_tied_model_have_an_adapter(tmp_path: Path) -> None:
    done = stage(LoadedModel(tiny.make_model(**TIED), tiny.make_tokenizer(), "fp32"), tmp_path)
    assert done.final_loss < done.first_loss
    assert not merge_adapter(done.loaded).has_adapter
