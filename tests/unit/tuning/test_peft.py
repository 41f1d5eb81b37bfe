"""Stages that train any adapter of PEFT: trained, saved, and loaded again with equal answers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.errors import ConfigError, StageError
from chaintune.models import LoadedModel, Precision, load, merge_adapter, save
from chaintune.models.adapters import name_base
from chaintune.models.peft_config import peft_config
from chaintune.models.precision import dtype_of
from chaintune.records import PeftSettings, Recipe
from chaintune.tuning.trainable import adapter_bytes, trainable
from chaintune.tuning.tune import Tuned, tune
from tests import tiny
from tests.conftest import MakeModel

EXAMPLES = tiny.examples(16)
TIED = tiny.ARCHITECTURES["llama"] | {"tie_word_embeddings": True}
LORA = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}
# Written by hand: the table in docs/how-to/adapters.md names the same ones, in this order.
METHODS: dict[str, dict[str, Any]] = {
    "rslora": LORA | {"use_rslora": True},
    "dora": LORA | {"use_dora": True},
    "oft": {"peft_type": "OFT", "oft_block_size": 4},
    "ia3": {"peft_type": "IA3"},
    "vera": {"peft_type": "VERA", "r": 8},
    "loha": {"peft_type": "LOHA", "r": 4},
    "a head": LORA | {"modules_to_save": ["lm_head"]},
    "embeddings and a head": LORA | {"modules_to_save": ["embed_tokens", "lm_head"]},
    "tokens": LORA | {"trainable_token_indices": [5, 6]},
}
TIES: dict[str, dict[str, Any]] = {
    "a head": METHODS["a head"],
    "embeddings and a head": METHODS["embeddings and a head"],
    "both alike": LORA | {"modules_to_save": ["embed_tokens", "lm_head"], "ensure_weight_tying": True},
    "tokens": METHODS["tokens"],
    "tokens alone": {"peft_type": "TRAINABLE_TOKENS", "token_indices": [5, 6]},
    "oft": METHODS["oft"],
}
# How far merged weights may answer from those under an adapter.
NEARLY: dict[Precision, float] = {"fp32": 1e-4, "bf16": 0.15}


def recipe_of(settings: dict[str, Any], **fields: Any) -> Recipe:
    usual = Recipe(method="peft", learning_rate=1e-2, epochs=2, batch_size=8, share_prefixes=False)
    return replace(usual, peft=PeftSettings.of(settings), **fields)


def stage(parent: LoadedModel, scratch: Path, recipe: Recipe, *, seed: int = 0) -> Tuned:
    return tune(parent, EXAMPLES, task="balls", recipe=recipe, seed=seed, log=scratch / "steps.jsonl")


def answers(loaded: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = loaded.model.eval()(torch.arange(3, 20)[None]).logits
    return logits.float()


def check_it_comes_back(folder: Path, scratch: Path, settings: dict[str, Any], precision: Precision) -> LoadedModel:
    """Train, save and load again, alone and merged; the merged model. An adapter is in fp32 on whatever weights."""
    bare = answers(load(folder, precision=precision))
    done = stage(load(folder, precision=precision), scratch, recipe_of(settings)).loaded
    if "modules_to_save" not in settings:  # which are copies of weights, in their type
        weights = list(done.model.parameters())
        assert {weight.dtype for weight in weights if weight.requires_grad} == {torch.float32}
        assert {weight.dtype for weight in weights if not weight.requires_grad} == {dtype_of(precision)}
    after = answers(done)
    assert done.has_adapter
    assert (after - bare).abs().max() > 0.01
    save(done, scratch / "adapter")
    again = load(folder, adapter=scratch / "adapter", precision=precision)
    assert answers(again).equal(after)
    merged = merge_adapter(again)
    assert (answers(merged) - after).abs().max() < NEARLY[precision]
    save(merged, scratch / "whole")
    assert answers(load(scratch / "whole", precision=precision)).equal(answers(merged))
    return merged


@pytest.mark.parametrize("precision", NEARLY)
@pytest.mark.parametrize("method", METHODS)
def test_what_was_trained_answers_alike_when_it_is_read_again(
    method: str, precision: Precision, model_folder: MakeModel, tmp_path: Path
) -> None:
    check_it_comes_back(model_folder(), tmp_path, METHODS[method], precision)


@pytest.mark.parametrize("method", TIES)
def test_on_tied_embeddings_too(method: str, tmp_path: Path) -> None:
    tiny.make_model(**TIED).save_pretrained(tmp_path / "base")
    tiny.make_tokenizer().save_pretrained(tmp_path / "base")
    merged = check_it_comes_back(tmp_path / "base", tmp_path, TIES[method], "fp32")
    assert merged.model.config.tie_word_embeddings == ("head" not in method)


@pytest.mark.parametrize("method", ["oft", "embeddings and a head", "tokens"])
def test_on_resized_embeddings_too(method: str, tmp_path: Path) -> None:
    model, tokenizer = tiny.make_model(), tiny.make_tokenizer()
    tokenizer.add_tokens([f"<added-{number}>" for number in range(4)])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    check_it_comes_back(tmp_path / "base", tmp_path, METHODS[method], "fp32")


def test_an_adapter_like_the_parents_is_trained_on(model_folder: MakeModel, tmp_path: Path) -> None:
    for number, settings in enumerate(METHODS.values()):
        first = stage(load(model_folder(), precision="fp32"), tmp_path, recipe_of(settings)).loaded
        save(first, tmp_path / str(number))
        read = load(model_folder(), adapter=tmp_path / str(number), precision="fp32")
        for parent in (first, read):
            model = parent.model
            assert stage(parent, tmp_path, recipe_of(settings), seed=1).loaded.model is model
        assert answers(first).equal(answers(read))


@pytest.mark.parametrize(
    "other",
    [METHODS["ia3"], METHODS["oft"] | {"oft_block_size": 8}, METHODS["oft"] | {"coft": True}],
    ids=["another type", "another shape", "used otherwise"],
)
def test_another_adapter_begins_on_the_merged_weights(
    other: dict[str, Any], model_folder: MakeModel, tmp_path: Path
) -> None:
    first = stage(load(model_folder(), precision="fp32"), tmp_path, recipe_of(METHODS["oft"])).loaded
    save(first, tmp_path / "first")
    merged = merge_adapter(load(model_folder(), adapter=tmp_path / "first", precision="fp32"))
    save(merged, tmp_path / "merged")
    expected = stage(load(tmp_path / "merged", precision="fp32"), tmp_path, recipe_of(other)).loaded
    assert answers(stage(first, tmp_path, recipe_of(other)).loaded).equal(answers(expected))
    read = load(model_folder(), adapter=tmp_path / "first", precision="fp32")
    with pytest.raises(StageError, match="'continue' trains the parent's adapter on, and that is of another shape"):
        stage(read, tmp_path, recipe_of(other, adapter="continue"))


@pytest.mark.parametrize("adapter", ["fresh", "merge"])
def test_an_adapter_of_the_same_shape_may_begin_anew(adapter: Any, model_folder: MakeModel, tmp_path: Path) -> None:
    first = stage(load(model_folder(), precision="fp32"), tmp_path, recipe_of(LORA)).loaded
    before, model = answers(first), first.model
    second = stage(first, tmp_path, recipe_of(LORA, adapter=adapter, learning_rate=1e-9)).loaded
    assert second.model is not model
    assert (answers(second) - before).abs().max() < NEARLY["fp32"]
    begun = [weight for name, weight in second.model.named_parameters() if "lora_B" in name]
    assert all(weight.abs().max() < 1e-7 for weight in begun)


def test_continuing_begins_where_the_parent_has_no_adapter(model_folder: MakeModel, tmp_path: Path) -> None:
    parent = load(model_folder(), precision="fp32")
    assert stage(parent, tmp_path, recipe_of(LORA, adapter="continue")).loaded.has_adapter


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"peft_type": "OFTT"}, r"peft\.peft_type: PEFT has no type 'OFTT'; did you mean 'OFT'\? Valid: OFT, BOFT"),
        ({"peft_type": "OFT", "oft_blok_size": 4}, r"peft\.oft_blok_size: OFTConfig .* 'oft_block_size'\? Valid: oft_"),
        ({"peft_type": "OFT", "coft": "maybe"}, r"peft\.coft: expected true or false, got 'maybe'"),
        ({"peft_type": "OFT", "r": True}, r"peft\.r: expected a whole number, got True"),
        (LORA | {"bias": "nonee"}, r"peft\.bias: 'nonee' is no valid value; did you mean 'none'\?"),
        (LORA | {"init_lora_weights": "eva"}, r"init_lora_weights: 'eva' begins with data"),
        (LORA | {"alora_invocation_tokens": [5]}, "an activated LoRA counts from certain tokens on"),
        ({"peft_type": "OFT", "r": 4, "oft_block_size": 4}, "PEFT refuses this adapter .* only specify either"),
        (LORA | {"r": 0}, "PEFT refuses this adapter .* should be a positive integer"),
        ({"peft_type": "PROMPT_TUNING"}, "of type PROMPT_TUNING learns a prompt, which cannot be merged"),
        ({"peft_type": "XLORA"}, "of type XLORA chooses among adapters for each input"),
        ({"peft_type": "ADALORA"}, "of type ADALORA has to reallocate its ranks after every step"),
        (
            {"peft_type": "OFT", "target_modules": ["q_porj"]},
            r"peft\.target_modules: the model has no layer 'q_porj'; did",
        ),
    ],
    ids=str,
)
def test_an_adapter_that_cannot_be_trained_is_refused(
    settings: dict[str, Any], sentence: str, model_folder: MakeModel, tmp_path: Path
) -> None:
    recipe = recipe_of(settings)
    with pytest.raises((ConfigError, StageError), match=sentence):
        stage(load(model_folder(), precision="fp32"), tmp_path, recipe)
    with pytest.raises((ConfigError, StageError), match=sentence):
        adapter_bytes(load(model_folder(), precision="fp32", on_meta=True).model, recipe)


@pytest.mark.filterwarnings("ignore:Detected that the base layer has no bias")
def test_one_that_this_model_cannot_take_in_is_refused_before_it_is_trained(model_folder: MakeModel) -> None:
    bare = load(model_folder(), precision="fp32", on_meta=True).model
    with pytest.raises(ConfigError, match="no bias, cannot merge"):
        adapter_bytes(bare, recipe_of({"peft_type": "BEFT"}))


@pytest.mark.parametrize("method", METHODS)
def test_its_size_is_known_before_it_is_trained(method: str, model_folder: MakeModel) -> None:
    recipe = recipe_of(METHODS[method])
    bare = load(model_folder(), precision="bf16")
    planned = adapter_bytes(load(model_folder(), precision="bf16", on_meta=True).model, recipe)
    weights = [weight for weight in trainable(bare, recipe).model.parameters() if weight.requires_grad]
    assert planned == sum(weight.numel() * weight.element_size() for weight in weights)


def test_a_float_that_yaml_takes_for_text_is_a_number() -> None:
    config: Any = peft_config(PeftSettings.of(LORA | {"lora_dropout": "1e-1", "lora_alpha": 0.5}))
    assert (config.lora_dropout, config.lora_alpha, config.task_type) == (0.1, 0.5, "CAUSAL_LM")


def test_a_stored_adapter_names_no_path_of_this_machine(model_folder: MakeModel, tmp_path: Path) -> None:
    save(stage(load(model_folder(), precision="fp32"), tmp_path, recipe_of(METHODS["oft"])).loaded, tmp_path / "oft")
    name_base(tmp_path / "oft", "model")
    assert json.loads((tmp_path / "oft" / "adapter_config.json").read_text())["base_model_name_or_path"] == "model"
    assert str(model_folder()) not in (tmp_path / "oft" / "README.md").read_text()
