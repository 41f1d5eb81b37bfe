"""Folders that hold no model, or a damaged one: one sentence that names the folder and the cause."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from chaintune.errors import ModelError
from chaintune.execution.bases import open_base
from chaintune.models import load_reader, locate
from chaintune.models.encoding import encode_examples
from chaintune.models.folders import opening
from chaintune.store.folder import FolderStore
from tests import tiny
from tests.conftest import MakeModel


@pytest.fixture
def folder(model_folder: MakeModel, tmp_path: Path) -> Path:
    return shutil.copytree(model_folder(), tmp_path / "model")


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    tiny.make_model().save_pretrained(tmp_path / "shards", max_shard_size="60KB")
    tiny.make_tokenizer().save_pretrained(tmp_path / "shards")
    return tmp_path / "shards"


def opened(name: str | Path) -> None:
    """Open a model as a command does, and read a text."""
    base = open_base(str(name), FolderStore(Path(str(name).partition("+")[0]).parent / "store"))
    encode_examples(load_reader(base.folder, base.adapter).tokenizer, tiny.examples(2))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DEEP = "[" * 100_000
WHOLE_FILES = [
    b"",
    b"[]",
    b"3",
    b"null",
    b"\xff\xfe{",
    DEEP.encode(),
    b'{"a": ',
    b"[[1, 2]]",
    b"version https://git-lfs.github.com/spec/v1",
]


@pytest.mark.parametrize("content", WHOLE_FILES, ids=range(len(WHOLE_FILES)))
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_a_file_that_is_something_else_is_told_in_one_sentence(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=str(folder)) as refused:
        opened(folder)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 800


SPLIT = {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("config.json", {"vocab_size": "x"}),
        ("config.json", {"head_dim": 0}),
        ("config.json", {"hidden_size": -1}),
        ("config.json", {"hidden_size": 10**12}),
        ("config.json", {"num_hidden_layers": -1}),
        ("config.json", {"num_hidden_layers": 10**9}),
        ("config.json", {"num_attention_heads": []}),
        ("config.json", {"quantization_config": "x"}),
        ("config.json", {"rope_parameters": 3}),
        ("config.json", {"model_type": ["llama"]}),
        ("config.json", {"architectures": 3, "model_type": None}),
        ("config.json", {"layer_types": {"a": 1}}),
        ("config.json", {"dtype": "float3"}),
        ("tokenizer_config.json", {"tokenizer_class": 1}),
        ("tokenizer_config.json", {"model_max_length": "%s"}),
        ("tokenizer_config.json", {"added_tokens_decoder": 3}),
        ("tokenizer_config.json", {"bos_token": {"a": 1}}),
        ("tokenizer.json", {"model": {"type": "Evil"}}),
        ("tokenizer.json", {"added_tokens": 3}),
        ("tokenizer.json", {"pre_tokenizer": SPLIT}),
        ("tokenizer.json", {"post_processor": {"type": "TemplateProcessing"}}),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_of_another_kind_is_told_in_one_sentence(name: str, changes: dict[str, Any], folder: Path) -> None:
    edit(folder / name, **changes)
    with pytest.raises(ModelError, match=str(folder)) as refused:
        opened(folder)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "changes",
    [{"peft_type": "no such"}, {"peft_type": 3}, {"r": "x"}, {"r": -1}, {"r": 10**12}, {"target_modules": 3},
     {"target_modules": "("}, {"lora_alpha": "x"}, {"task_type": ["a"]}, {"rank_pattern": 3}, {"modules_to_save": 3}],
    ids=str,
)  # fmt: skip
def test_a_damaged_adapter_is_told_in_one_sentence(
    changes: dict[str, Any], model_folder: MakeModel, adapter_folder: Path, tmp_path: Path
) -> None:
    adapter = Path(shutil.copytree(adapter_folder, tmp_path / "adapter"))
    edit(adapter / "adapter_config.json", **changes)
    with pytest.raises(ModelError, match=str(adapter)) as refused:
        opened(f"{model_folder()}+{adapter}")
    assert len(str(refused.value).splitlines()) == 1


def pickle(folder: Path) -> str:
    torch.save({"x": torch.zeros(1)}, folder / "weights.bin")
    return "weights.bin"


def elsewhere(folder: Path) -> str:
    save_file({"x": torch.zeros(1)}, folder.parent / "w.safetensors")
    return "../w.safetensors"


def absolute(folder: Path) -> str:
    elsewhere(folder)
    return str(folder.parent / "w.safetensors")


def link(folder: Path) -> str:
    elsewhere(folder)
    (folder / "w.safetensors").symlink_to(folder.parent / "w.safetensors")
    return "w.safetensors"


@pytest.mark.parametrize("name", [pickle, elsewhere, absolute, link], ids=lambda make: make.__name__)
def test_an_index_may_name_safetensors_of_its_own_folder_only(
    name: Callable[[Path], str], shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_args, **_options: pytest.fail("a pickle was read"))
    path = shards / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["lm_head.weight"] = name(shards)
    path.write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"index\.json names '.+', expected safetensors files of this very folder$"):
        opened(shards)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', DEEP], ids=range(5))
def test_a_damaged_index_is_told(index: str, shards: Path) -> None:
    (shards / "model.safetensors.index.json").write_text(index)
    with pytest.raises(
        ModelError, match=r"model\.safetensors\.index\.json (holds no 'weight_map'|cannot be read as a)"
    ):
        opened(shards)


def test_a_shard_that_is_not_there_is_named(shards: Path) -> None:
    missing = sorted(shards.glob("*.safetensors"))[0]
    missing.unlink()
    with pytest.raises(ModelError, match=rf"names '{missing.name}', which is not there"):
        opened(shards)


def test_links_of_the_hubs_cache_are_followed(shards: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "123", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(sorted(shards.iterdir())):
        path.rename(blobs / str(number))
        (snapshot / path.name).symlink_to(os.path.relpath(blobs / str(number), snapshot))
    opened(snapshot)


def test_one_file_and_an_index_of_others_is_not_guessed_at(folder: Path, shards: Path) -> None:
    shutil.copytree(shards, folder, dirs_exist_ok=True)
    with pytest.raises(ModelError, match=r"it holds model\.safetensors and .*index\.json, which names other files"):
        opened(folder)


def test_an_output_folder_of_a_trainer_is_named_with_its_newest_checkpoint(
    folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    for steps in (50, 200, 1000):
        shutil.copytree(folder, tmp_path / "out" / f"checkpoint-{steps}")
    with pytest.raises(ModelError, match=r"output folder of a Trainer: .* the newest is \S+/out/checkpoint-1000$"):
        locate(str(tmp_path / "out"))
    shutil.copytree(adapter_folder, tmp_path / "adapters" / "checkpoint-9")
    with pytest.raises(ModelError, match=r"output folder of a Trainer: .* is BASE\+\S+/adapters/checkpoint-9$"):
        locate(str(tmp_path / "adapters"))
    with pytest.raises(
        ModelError, match=r"adapter_config\.json is missing; .* the newest is \S+/adapters/checkpoint-9$"
    ):
        locate(f"{folder}+{tmp_path / 'adapters'}")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer.model"])
def test_what_is_no_file_or_too_large_a_one_is_told(name: str, folder: Path) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).touch()
    os.truncate(folder / name, 2**33)
    with pytest.raises(ModelError, match=rf"{name} is too large, it has 8\.6 GB$"):
        opened(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match=rf"{name} is (no file|missing)$"):
        opened(folder)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_a_wish_to_stop_is_no_fault_of_a_folder(raised: type[BaseException]) -> None:
    with pytest.raises(raised), opening("model folder x"):
        raise raised


def test_a_panic_of_rust_is_one() -> None:
    panic = type("PanicException", (BaseException,), {})
    sentence = r"^model folder x: cannot be opened \(index out of bounds\)$"
    with pytest.raises(ModelError, match=sentence), opening("model folder x"):
        raise panic("index out of bounds")


def test_a_trainers_state_is_no_model(folder: Path) -> None:
    torch.save({}, folder / "optimizer.pt")
    locate(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"got a Trainer's state \(optimizer\.pt\) without the model$"):
        locate(str(folder))


def test_an_adapter_beside_merged_weights_is_not_applied_a_second_time(folder: Path, adapter_folder: Path) -> None:
    for path in adapter_folder.iterdir():
        shutil.copy(path, folder)
    with pytest.raises(
        ModelError, match=r"holds a whole model and an adapter beside it; remove adapter_config\.json if"
    ):
        opened(folder)


def test_an_adapter_with_a_configuration_of_its_base_is_named_as_what_it_is(folder: Path, adapter_folder: Path) -> None:
    for path in adapter_folder.iterdir():
        shutil.copy(path, folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"it holds an adapter: name its base too, BASE\+"):
        opened(folder)


def test_an_adapter_in_a_pickle_is_not_read(
    model_folder: MakeModel, adapter_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = Path(shutil.copytree(adapter_folder, tmp_path / "adapter"))
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").rename(adapter / "other.safetensors")
    monkeypatch.setattr(torch, "load", lambda *_args, **_options: pytest.fail("a pickle was read"))
    with pytest.raises(ModelError, match=r"expected adapter_model\.safetensors, got other\.safetensors"):
        opened(f"{model_folder()}+{adapter}")


def test_another_base_than_an_adapter_names_is_told(
    model_folder: MakeModel, adapter_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened(f"{model_folder()}+{adapter_folder}")
    assert not caplog.records
    adapter = Path(shutil.copytree(adapter_folder, tmp_path / "adapter"))
    edit(adapter / "adapter_config.json", base_model_name_or_path=f"someone/{model_folder().name}")
    opened(f"{model_folder()}+{adapter}")
    assert not caplog.records
    edit(adapter / "adapter_config.json", base_model_name_or_path="someone/another-base")
    opened(f"{model_folder()}+{adapter}")
    assert "says that it was trained on 'someone/another-base', and it is put on" in caplog.text
