"""Stages that train an adapter on weights in 4 bits. The weights are a double's: rounded, as those would be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.errors import ConfigError, StageError
from chaintune.models import LoadedModel, load, merge_adapter, save
from chaintune.records import Recipe
from chaintune.tuning.tune import Tuned, tune
from tests import four_bits, tiny
from tests.conftest import MakeModel

RECIPE = Recipe(method="lora", quantize="4bit", learning_rate=5e-3, batch_size=8, lora_rank=4, share_prefixes=False)
EXAMPLES = tiny.examples(8)


@pytest.fixture(autouse=True)
def _four_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    four_bits.pretend(monkeypatch)


def run(parent: LoadedModel, folder: Path, recipe: Recipe = RECIPE) -> Tuned:
    return tune(parent, EXAMPLES, task="balls", recipe=recipe, seed=0, log=folder / "steps.jsonl")


def adapter(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach() for name, weight in model.named_parameters() if "lora_" in name}


def same_bits(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


def test_only_the_adapter_learns_and_only_it_is_stored(model_folder: MakeModel, tmp_path: Path) -> None:
    done = run(load(model_folder(), precision="fp32", quantize="4bit"), tmp_path).loaded
    assert done.quantize == "4bit"
    assert {name for name, weight in done.model.named_parameters() if weight.requires_grad} == set(adapter(done.model))
    save(done, tmp_path / "out")
    assert not (tmp_path / "out" / "config.json").exists()
    read = load(model_folder(), adapter=tmp_path / "out", precision="fp32")
    assert same_bits(adapter(read.model), adapter(done.model))
    exact = load(model_folder(), precision="fp32").model.state_dict()
    under = read.model.get_base_model().model.layers[0].self_attn.q_proj.base_layer.weight
    assert under.equal(exact["model.layers.0.self_attn.q_proj.weight"]), "it is scored on the weights as they are"


def test_what_it_learns_it_learns_on_the_coarse_weights(model_folder: MakeModel, tmp_path: Path) -> None:
    coarse = run(load(model_folder(), precision="fp32", quantize="4bit"), tmp_path)
    exact = run(load(model_folder(), precision="fp32"), tmp_path, replace(RECIPE, quantize=None))
    assert coarse.first_loss != exact.first_loss
    assert not same_bits(adapter(coarse.loaded.model), adapter(exact.loaded.model))


def test_a_second_stage_trains_the_same_adapter_on(model_folder: MakeModel, tmp_path: Path) -> None:
    first = run(load(model_folder(), precision="fp32", quantize="4bit"), tmp_path).loaded
    save(first, tmp_path / "first")
    held = run(first, tmp_path).loaded
    read = load(model_folder(), adapter=tmp_path / "first", precision="fp32", quantize="4bit")
    assert same_bits(adapter(held.model), adapter(run(read, tmp_path).loaded.model))


def test_an_adapter_of_another_shape_cannot_be_folded_in(model_folder: MakeModel, tmp_path: Path) -> None:
    first = run(load(model_folder(), precision="fp32", quantize="4bit"), tmp_path).loaded
    with pytest.raises(StageError, match="the parent's adapter is not of the recipe's shape, and weights in 4 bits"):
        run(first, tmp_path, replace(RECIPE, lora_rank=2))


def test_on_tuned_weights_the_checkpoint_is_whole(model_folder: MakeModel, tmp_path: Path) -> None:
    """As after a stage of method `full`: what is stored are those weights with the adapter, and no rounding."""
    done = run(load(model_folder(), precision="fp32", quantize="4bit"), tmp_path).loaded
    save(done, tmp_path / "adapter")
    merged = merge_adapter(done)
    wanted = merge_adapter(load(model_folder(), adapter=tmp_path / "adapter", precision="fp32"))
    assert same_bits(merged.model.state_dict(), wanted.model.state_dict())


@pytest.mark.parametrize("quantize", [None, "4bit"])
def test_a_model_that_is_held_otherwise_is_refused(quantize: Any, model_folder: MakeModel, tmp_path: Path) -> None:
    parent = load(model_folder(), precision="fp32", quantize=quantize)
    recipe = replace(RECIPE, quantize=None if quantize else "4bit")
    with pytest.raises(StageError, match="load the model with the recipe's quantize"):
        run(parent, tmp_path, recipe)


def test_a_recipe_without_an_adapter_cannot_ask_for_it() -> None:
    with pytest.raises(ConfigError, match=r"recipe\.quantize: '4bit' holds weights under an adapter, .* method: lora"):
        replace(RECIPE, method="full")
