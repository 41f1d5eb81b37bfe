"""Whether an adapter leaves the weights under it alone, so that they can be read with another one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    VeraConfig,
)

from chaintune.models import load, merge_adapter, save, with_adapter
from chaintune.models.adapters import leaves_base_alone, new_adapter
from tests import tiny
from tests.conftest import MakeModel


def test_plain_lora_does(adapter_folder: Path) -> None:
    assert leaves_base_alone(adapter_folder)


@pytest.mark.parametrize(
    "changed",
    [
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"layer_replication": [[0, 2], [1, 2]]},
        {"peft_type": "IA3"},
    ],
    ids=str,
)
def test_what_may_change_them_does_not(changed: dict[str, Any], adapter_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapter_folder, tmp_path / "adapter"))
    config = json.loads((folder / "adapter_config.json").read_text())
    if changed.get("peft_type") == "IA3":
        config = {"target_modules": ["k_proj"], "feedforward_modules": []}
    (folder / "adapter_config.json").write_text(json.dumps(config | changed))
    assert not leaves_base_alone(folder)


@pytest.mark.parametrize("brought", [{"modules_to_save": ["lm_head"]}, {"trainable_token_indices": [5]}], ids=str)
def test_what_brings_weights_of_its_own_does_not(
    brought: dict[str, Any], model_folder: MakeModel, tmp_path: Path
) -> None:
    loaded = load(model_folder(), precision="fp32")
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], **brought)
    loaded.model = new_adapter(loaded.model, config)
    save(loaded, tmp_path)
    assert not leaves_base_alone(tmp_path)
    assert with_adapter(loaded, None, instead_of=tmp_path) is None


def test_the_weights_are_the_very_ones_once_it_is_off(model_folder: MakeModel, adapter_folder: Path) -> None:
    loaded = load(model_folder(), precision="fp32")
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    adapted = with_adapter(loaded, adapter_folder, instead_of=None)
    assert adapted is not None
    assert adapted.has_adapter
    bare = with_adapter(adapted, None, instead_of=adapter_folder)
    assert bare is not None
    assert not bare.has_adapter
    after = bare.model.state_dict()
    assert before.keys() == after.keys()
    assert all(weight.equal(after[name]) for name, weight in before.items())


LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
KINDS: dict[str, PeftConfig] = {
    "lora": LoraConfig(**LORA),
    "dora": LoraConfig(**LORA, use_dora=True),
    "lora and a module": LoraConfig(**LORA, modules_to_save=["lm_head"]),
    "lora and embeddings": LoraConfig(**LORA, modules_to_save=["embed_tokens", "lm_head"]),
    "lora and tokens": LoraConfig(**LORA, trainable_token_indices=[5]),
    "lora on embeddings": LoraConfig(**LORA | {"target_modules": ["embed_tokens", "q_proj"]}),
    "lora on everything": LoraConfig(**LORA | {"target_modules": "all-linear"}, use_rslora=True),
    "lora of replicated layers": LoraConfig(**LORA, layer_replication=[(0, 2), (1, 2)]),
    "loha": LoHaConfig(**LORA),
    "lokr": LoKrConfig(**LORA),
    "ia3": IA3Config(target_modules=["k_proj"], feedforward_modules=[], task_type="CAUSAL_LM"),
    "vera": VeraConfig(r=2, target_modules=["q_proj", "o_proj"], task_type="CAUSAL_LM"),
    "oft": OFTConfig(oft_block_size=4, r=0, target_modules=["q_proj"], task_type="CAUSAL_LM"),
    "layer norms": LNTuningConfig(target_modules=["input_layernorm"], task_type="CAUSAL_LM"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_what_peft_writes_is_taken_whole(kind: str, model_folder: MakeModel, tmp_path: Path) -> None:
    loaded = load(model_folder(), precision="fp32")
    loaded.model = new_adapter(loaded.model, KINDS[kind])
    for weight in loaded.model.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.1)
    save(loaded, tmp_path)
    tokens = torch.arange(3, 20)[None]
    with torch.no_grad():
        expected = loaded.model.eval()(tokens).logits
        assert load(model_folder(), adapter=tmp_path, precision="fp32").model(tokens).logits.equal(expected)
        load(model_folder(), adapter=tmp_path, precision="fp32", on_meta=True)


WHOLE = {"modules_to_save": ["embed_tokens", "lm_head"]}
ADDED = {"trainable_token_indices": [341, 342]}


@pytest.mark.parametrize(
    ("brought", "tied"),
    [({}, False), ({}, True), (WHOLE, False), (WHOLE, True), (ADDED, False)],
    ids=["lora", "lora, tied", "embeddings and a head", "embeddings and a head, tied", "tokens"],
)
def test_an_adapter_brings_embeddings_of_tokens_that_its_maker_added(
    brought: dict[str, Any], tied: bool, tmp_path: Path
) -> None:
    tiny.make_model(**tiny.ARCHITECTURES["llama"] | {"tie_word_embeddings": tied}).save_pretrained(tmp_path / "base")
    tiny.make_tokenizer().save_pretrained(tmp_path / "base")
    loaded = load(tmp_path / "base", precision="fp32")
    loaded.tokenizer.add_tokens([f"<{number}>" for number in range(344 - len(loaded.tokenizer))])
    loaded.model.resize_token_embeddings(344, mean_resizing=False)
    loaded.model = new_adapter(loaded.model, LoraConfig(**LORA, **brought))
    for weight in loaded.model.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.1)
    save(loaded, tmp_path / "adapter")
    loaded.tokenizer.save_pretrained(tmp_path / "adapter")
    tokens = torch.tensor([[5, 6, 341, 343, 7]])
    with torch.no_grad():
        expected = loaded.model.eval()(tokens).logits
        again = load(tmp_path / "base", adapter=tmp_path / "adapter", precision="fp32")
        assert again.model(tokens).logits.equal(expected)
        save(merge_adapter(again), tmp_path / "whole")
        whole = load(tmp_path / "whole", precision="fp32")
        assert (whole.model(tokens).logits - expected).abs().max() < 1e-5
        assert len(whole.tokenizer) == 344
