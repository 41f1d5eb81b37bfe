"""Digests follow content, never names."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chaintune.errors import ModelError
from chaintune.models import ModelFiles, model_digest
from tests import tiny
from tests.conftest import MakeModel


@pytest.fixture
def folder(model_folder: MakeModel, tmp_path: Path) -> Path:
    return shutil.copytree(model_folder(), tmp_path / "model")


def digest(weights: Path, adapter: Path | None = None) -> str:
    return model_digest(ModelFiles("any name", weights, adapter))


def test_equal_folders_under_other_names_are_equal(folder: Path, model_folder: MakeModel) -> None:
    assert digest(folder) == digest(model_folder())
    assert digest(folder) != digest(model_folder("gpt2"))
    assert digest(folder) != digest(model_folder(tokens="byte-level with BOS"))


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def edit_config(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("change", ["model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_one_changed_byte_differs(change: str, folder: Path) -> None:
    before = digest(folder)
    flip_byte(folder / change)
    assert digest(folder) != before


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"_name_or_path": "/elsewhere", "transformers_version": "0"}, True),
        ({"rms_norm_eps": 0.5}, False),
    ],
)
def test_who_wrote_the_configuration_does_not_count(change: dict[str, object], same: bool, folder: Path) -> None:
    before = digest(folder)
    edit_config(folder / "config.json", **change)
    assert (digest(folder) == before) is same


def set_in_config(folder: Path) -> None:
    edit_config(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})


def chat_template(text: str) -> Callable[[Path], None]:
    return lambda folder: edit_config(folder / "tokenizer_config.json", chat_template=text)


def moved_weight(folder: Path) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    files = sorted(set(index["weight_map"].values()))
    index["weight_map"]["lm_head.weight"] = files[index["weight_map"]["lm_head.weight"] == files[0]]
    path.write_text(json.dumps(index))


PARTS: dict[str, tuple[Callable[[Path], object], bool]] = {
    "weights": (lambda folder: flip_byte(sorted(folder.glob("*.safetensors"))[0]), True),
    "configuration": (lambda folder: edit_config(folder / "config.json", rms_norm_eps=0.5), True),
    "quantisation": (set_in_config, True),
    "tokenizer": (lambda folder: flip_byte(folder / "tokenizer.json"), True),
    "its settings": (lambda folder: edit_config(folder / "tokenizer_config.json", add_bos_token=True), True),
    "special tokens": (lambda folder: (folder / "special_tokens_map.json").write_text("{}"), True),
    "index": (moved_weight, True),
    "sizes in the index": (
        lambda folder: edit_config(folder / "model.safetensors.index.json", metadata={"total_size": 1}),
        False,
    ),
    "generation settings": (lambda folder: edit_config(folder / "generation_config.json", temperature=0.5), False),
    "chat template": (lambda folder: (folder / "chat_template.jinja").write_text("{{ x }}"), False),
    "chat template in settings": (chat_template("another"), False),
}


@pytest.mark.parametrize("part", PARTS)
def test_exactly_what_changes_the_answers_counts(part: str, tmp_path: Path) -> None:
    tiny.make_model().save_pretrained(tmp_path, max_shard_size="60KB")
    tiny.make_tokenizer().save_pretrained(tmp_path)
    chat_template("one")(tmp_path)
    change, counts = PARTS[part]
    before = digest(tmp_path)
    change(tmp_path)
    assert (digest(tmp_path) != before) is counts


def test_the_index_of_one_file_is_not_read_and_does_not_count(folder: Path) -> None:
    before = digest(folder)
    index = {"weight_map": {"lm_head.weight": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert digest(folder) == before


def test_files_that_cannot_be_read_are_told(folder: Path) -> None:
    (folder / "tokenizer.model").mkdir()
    with pytest.raises(ModelError, match=r"model 'any name': its files cannot be read \(Is a directory\)$"):
        digest(folder)


def test_what_does_not_change_the_answers_does_not_count(folder: Path) -> None:
    before = digest(folder)
    (folder / "README.md").write_text("a model")
    (folder / "generation_config.json").unlink()
    assert digest(folder) == before


def test_code_of_a_models_own_counts_where_it_is_used(folder: Path) -> None:
    (folder / "modeling_own.py").write_text("scale = 1")
    unused = digest(folder)
    (folder / "modeling_own.py").write_text("scale = 2")
    assert digest(folder) == unused
    edit_config(folder / "config.json", auto_map={"AutoModelForCausalLM": "modeling_own.Own"})
    used = digest(folder)
    (folder / "modeling_own.py").write_text("scale = 3")
    assert len({digest(folder), used, unused}) == 3


def test_an_adapter_makes_another_model(folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    (adapter / "adapter_config.json").write_text('{"r": 8, "base_model_name_or_path": "somewhere"}')
    with_adapter = digest(folder, adapter)
    assert with_adapter != digest(folder)
    edit_config(adapter / "adapter_config.json", base_model_name_or_path="elsewhere")
    assert digest(folder, adapter) == with_adapter
    edit_config(adapter / "adapter_config.json", r=16)
    assert digest(folder, adapter) != with_adapter


def test_a_gguf_file_is_its_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.gguf").write_bytes(b"GGUF and more")
    assert digest(tmp_path / "a.gguf") == digest(tmp_path / "b.gguf")
    flip_byte(tmp_path / "b.gguf")
    assert digest(tmp_path / "a.gguf") != digest(tmp_path / "b.gguf")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_text("[1]"), "config.json cannot be read as a JSON object"),
        (lambda path: path.write_text("{"), "config.json cannot be read as a JSON object"),
        (lambda path: path.with_name("model.safetensors").unlink(), "got no weights"),
        (lambda path: path.with_name("model.safetensors").rename(path.with_name("pytorch_model.bin")), "only pytorch"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(spoil: Callable[[Path], None], message: str, folder: Path) -> None:
    spoil(folder / "config.json")
    with pytest.raises(ModelError, match=message):
        digest(folder)
