"""A folder becomes a model, and back, without a bit lost."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig
from transformers import BertConfig, BertForMaskedLM, PretrainedConfig

from chaintune.errors import ModelError
from chaintune.models import (
    LoadedModel,
    Precision,
    dequantise,
    gguf_files,
    load,
    load_reader,
    merge_adapter,
    save,
    with_adapter,
)
from chaintune.models.adapters import new_adapter
from chaintune.models.encoding import encode_examples
from chaintune.scoring.logprobs import alone_logprobs, answer_logprobs
from tests import tiny
from tests.conftest import MakeModel


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach() for name, weight in model.state_dict().items()}


def same_bits(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    a, b = weights(left), weights(right)
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and a[name].equal(b[name]) for name in a)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_saved_and_loaded_again_it_has_the_same_bits(
    architecture: str, precision: Precision, model_folder: MakeModel, tmp_path: Path
) -> None:
    first = load(model_folder(architecture), precision=precision)
    save(first, tmp_path)
    again = load(tmp_path, precision=precision)
    assert same_bits(first.model, again.model)
    assert not again.model.training
    assert not again.has_adapter
    assert {weight.dtype for weight in again.model.parameters()} == {
        torch.float32 if precision == "fp32" else torch.bfloat16
    }
    assert again.tokenizer.get_vocab() == first.tokenizer.get_vocab()
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors", ".jinja"}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_adapter_is_saved_alone(
    precision: Precision, model_folder: MakeModel, adapter_folder: Path, tmp_path: Path
) -> None:
    first = load(model_folder(), adapter=adapter_folder, precision=precision)
    assert first.has_adapter
    save(first, tmp_path)
    assert not (tmp_path / "config.json").exists()
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 60_000
    again = load(model_folder(), adapter=tmp_path, precision=precision)
    assert same_bits(first.model, again.model)
    dtypes = {name.split(".")[-3]: weight.dtype for name, weight in again.model.named_parameters() if "lora_" in name}
    assert dtypes == {"lora_A": torch.float32, "lora_B": torch.float32}


@pytest.mark.parametrize("architecture", ["llama", "bloom"])
def test_a_model_answers_from_its_file_as_it_did_in_memory(architecture: str, tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path, architecture)
    saved, read = tiny.make_model(architecture), load(folder, precision="fp32")
    encoded = encode_examples(read.tokenizer, tiny.examples(5))
    assert all(weight.data_ptr() % 64 == 0 for weight in read.model.parameters())
    assert alone_logprobs(read.model, encoded) == alone_logprobs(saved, encoded)
    assert answer_logprobs(read.model, encoded) == answer_logprobs(saved, encoded)


def test_saving_an_adapter_asks_no_hub_about_its_base(
    model_folder: MakeModel, adapter_folder: Path, tmp_path: Path
) -> None:
    adapter = shutil.copytree(adapter_folder, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "no/such"}))
    save(load(model_folder(), adapter=adapter, precision="fp32"), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(
        model_folder()
    )


def test_a_merged_adapter_answers_the_same(model_folder: MakeModel, adapter_folder: Path, tmp_path: Path) -> None:
    tokens = torch.tensor([[3, 4, 5, 6]])
    adapted = load(model_folder(), adapter=adapter_folder, precision="fp32")
    plain = load(model_folder(), precision="fp32")
    with torch.inference_mode():
        before = adapted.model(tokens).logits
        assert not torch.allclose(plain.model(tokens).logits, before, atol=1e-2)
        merged = merge_adapter(adapted)
        assert not merged.has_adapter
        torch.testing.assert_close(merged.model(tokens).logits, before, atol=1e-4, rtol=1e-4)
    assert merge_adapter(merged) is merged
    save(merged, tmp_path)
    assert same_bits(load(tmp_path, precision="fp32").model, merged.model)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True` and a tied layer is part of the adapter")
@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_an_adapter_on_tied_embeddings_is_not_merged(target: str) -> None:
    model = tiny.make_model(**tiny.ARCHITECTURES["llama"] | {"tie_word_embeddings": True})
    adapted = new_adapter(model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", target]))
    before = {name: weight.clone() for name, weight in adapted.state_dict().items()}
    with pytest.raises(ModelError, match=f"the adapter changes .*{target}, and input and output embeddings share"):
        merge_adapter(LoadedModel(adapted, tiny.make_tokenizer(), "fp32"))
    assert all(weight.equal(before[name]) for name, weight in adapted.state_dict().items())


def test_tokens_that_an_adapter_trains_of_tied_embeddings_are_merged() -> None:
    model = tiny.make_model(**tiny.ARCHITECTURES["llama"] | {"tie_word_embeddings": True})
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], trainable_token_indices=[5])
    adapted, tokens = new_adapter(model, config), torch.arange(3, 20)[None]
    with torch.no_grad():
        before = adapted(tokens).logits
        merged = merge_adapter(LoadedModel(adapted, tiny.make_tokenizer(), "fp32"))
        torch.testing.assert_close(merged.model(tokens).logits, before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_the_reader_knows_tokenizer_and_context(architecture: str, model_folder: MakeModel) -> None:
    reader = load_reader(model_folder(architecture))
    assert reader.context_tokens == load(model_folder(architecture), precision="fp32").context_tokens == 256
    assert reader.tokenizer.eos_token == tiny.END


def test_a_model_without_a_stated_context_has_none(model_folder: MakeModel) -> None:
    loaded = load(model_folder(), precision="fp32")
    loaded.model = SimpleNamespace(config=PretrainedConfig())
    assert loaded.context_tokens is None


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_folders_that_cannot_be_loaded_are_refused_by_name(model_folder: MakeModel, tmp_path: Path) -> None:
    sentence = r"broken: cannot be loaded as a causal language model \(.+\)$"
    folder = shutil.copytree(model_folder(), tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(ModelError, match=r"broken: model\.safetensors cannot be read \(.+\)$"):
        load(folder, precision="fp32")
    edit(folder / "config.json", model_type="no-such-type")
    with pytest.raises(ModelError, match=sentence):
        load(folder, precision="fp32")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match=sentence):
        load_reader(folder)


def test_weights_in_a_pickle_are_not_read(model_folder: MakeModel, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder(), tmp_path / "pickled")
    torch.save(load(folder, precision="fp32").model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"pickled: expected .* got only pytorch_model\.bin, which may run code"):
        load(folder, precision="fp32")


def test_a_model_that_brings_code_is_refused_without_a_question(model_folder: MakeModel, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder(), tmp_path / "code")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    edit(folder / "config.json", model_type="own", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"})
    with pytest.raises(ModelError, match="it brings Python code of its own, which runs with --trust-remote-code only"):
        load(folder, precision="fp32")
    assert not (tmp_path / "ran").exists()


def test_an_adapter_that_cannot_be_merged_is_refused(
    model_folder: MakeModel, adapter_folder: Path, tmp_path: Path
) -> None:
    adapter = shutil.copytree(adapter_folder, tmp_path / "prompt")
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 4}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="it is of type PROMPT_TUNING, expected one such as LoRA"):
        load(model_folder(), adapter=adapter, precision="fp32")
    activated = shutil.copytree(adapter_folder, tmp_path / "activated")
    edit(activated / "adapter_config.json", alora_invocation_tokens=[5, 6])
    with pytest.raises(ModelError, match="it is an activated LoRA, expected one such as LoRA"):
        load(model_folder(), adapter=activated, precision="fp32")


def test_an_adapter_of_another_model_is_refused(model_folder: MakeModel, adapter_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"adapter .*: cannot be put on this model \(Target modules .* \.\.\.\)$"):
        load(model_folder("gpt2"), adapter=adapter_folder, precision="fp32")


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF but nothing more")
    with pytest.raises(ModelError, match=r"broken\.gguf: transformers cannot read this GGUF file"):
        dequantise(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unpacking_a_gguf_file_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import gguf

    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + (290).to_bytes(8, "little"))
    monkeypatch.setattr(gguf_files, "_SECONDS_BETWEEN_LINES", -1)
    monkeypatch.setattr(gguf, "dequantize", unpacked := lambda *_: "weights")
    with gguf_files._telling(path):
        assert gguf.dequantize(b"", 2) == "weights"
    assert gguf.dequantize is unpacked
    assert "model.gguf: 1 of 290 weights are unpacked" in caplog.text


def with_tokens(folder: Path, *tokens: str) -> None:
    """Write a tokenizer with further special tokens into a folder."""
    tokenizer = tiny.make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
    tokenizer.save_pretrained(folder)


def model_of(folder: Path, *, embeddings: int) -> Path:
    """A model with so many embeddings, and a tokenizer of 307 tokens."""
    tiny.make_model(vocabulary=embeddings).save_pretrained(folder)
    tiny.make_tokenizer().save_pretrained(folder)
    return folder


def test_the_tokenizer_of_an_adapter_is_used_and_goes_where_the_adapter_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = model_of(tmp_path / "base", embeddings=512)
    plain = tiny.write_adapter(tmp_path / "plain", base)
    own = Path(shutil.copytree(plain, tmp_path / "own"))
    with_tokens(own, "<|user|>", "<|bot|>")
    bare = load(base, precision="fp32")
    assert "<|user|>" not in load(base, adapter=plain, precision="fp32").tokenizer.get_vocab()
    adapted = load(base, adapter=own, precision="fp32")
    assert "<|user|>" in adapted.tokenizer.get_vocab()
    save(adapted, tmp_path / "saved")
    assert "<|user|>" in load(base, adapter=tmp_path / "saved", precision="fp32").tokenizer.get_vocab()
    over = with_adapter(bare, own, instead_of=None)
    assert over is not None
    assert "<|user|>" in over.tokenizer.get_vocab()
    off = with_adapter(over, plain, instead_of=own)
    assert off is not None
    assert "<|user|>" not in off.tokenizer.get_vocab()
    assert "<|user|>" in load_reader(base, own).tokenizer.get_vocab()
    assert "its own tokenizer is used, which differs from the base's in 2 tokens ('<|bot|>', '<|user|>')" in caplog.text


def test_a_tokenizer_larger_than_the_embedding_is_refused(tmp_path: Path) -> None:
    folder = model_of(tmp_path, embeddings=307)
    tokenizer = load(folder, precision="fp32").tokenizer
    tokenizer.add_tokens(["colourful", "colourless"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"2 tokens that the model's 307 embeddings do not reach \('colourful', 'colo"):
        load(folder, precision="fp32")


def test_special_tokens_beyond_the_embedding_that_no_text_is_read_as_may_be(tmp_path: Path) -> None:
    with_tokens(model_of(tmp_path, embeddings=307), "<pad>")
    assert load(tmp_path, precision="fp32").tokenizer.get_vocab()["<pad>"] == 307


def test_an_encoder_is_refused(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=340, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    tiny.make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(
        ModelError, match="of type 'bert' is an encoder, which sees the words that it would have to pre"
    ):
        load(tmp_path, precision="fp32")


def test_a_number_of_layers_that_the_files_cannot_fill_is_refused_before_they_are_built(
    model_folder: MakeModel, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_folder(), tmp_path / "model"))
    edit(folder / "config.json", num_hidden_layers=10**9)
    with pytest.raises(ModelError, match=r"names 1,000,000,000 layers, and the files hold 21 weights"):
        load(folder, precision="fp32")
