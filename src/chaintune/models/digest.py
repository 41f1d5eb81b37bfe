"""The content of a model as one digest: its weights, tokenizer and configuration, never its name."""

from pathlib import Path

from chaintune.files.reading import sha256_of
from chaintune.models.folders import (
    ADAPTER_CONFIG,
    CONFIG,
    TOKENIZER_FILES,
    index_digest,
    json_object,
    opening,
    weight_files,
)
from chaintune.models.names import ModelFiles
from chaintune.records import canonical_digest

# Who wrote a configuration, and where from, does not change what the model computes.
_IGNORED_CONFIG = {"_name_or_path", "transformers_version", "base_model_name_or_path", "_commit_hash"}
_CHAT_TEMPLATE = "chat_template"
# Raised when dequantising the same file would give other weights.
_GGUF_FORMAT = "gguf-dequantised-1"


def model_digest(files: ModelFiles) -> str:
    """SHA-256 hex digest of what a model computes.

    A GGUF file stands for the weights that dequantising it gives. Equal folders under other names
    have equal digests.

    Raises:
        ModelError: a folder holds no weights in safetensors, or its configuration is no JSON object, or one of its
            files cannot be read.
    """
    with opening(f"model '{files.name}'", "its files cannot be read"):
        if files.is_gguf:
            parts: list[object] = [_GGUF_FORMAT, sha256_of(files.weights)]
        else:
            parts = ["folder", _folder(files.weights, CONFIG) | index_digest(files.weights)]
        if files.adapter is not None:
            parts.append(_folder(files.adapter, ADAPTER_CONFIG))
        return canonical_digest(parts)


def adapter_digest(folder: Path) -> str:
    """SHA-256 hex digest of an adapter, whatever it is put on.

    Raises:
        ModelError: as of a model.
    """
    with opening(f"adapter {folder}", "its files cannot be read"):
        return canonical_digest(["adapter", _folder(folder, ADAPTER_CONFIG)])


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 hex digest of a folder's tokenizer, but for its chat template.

    Raises:
        ModelError: a file cannot be read.
    """
    with opening(f"tokenizer {folder}", "its files cannot be read"):
        return canonical_digest(["tokenizer", _tokenizer(folder)])


def _tokenizer(folder: Path) -> dict[str, str]:
    paths = {path for pattern in TOKENIZER_FILES for path in folder.glob(pattern)}
    return {path.name: _tokenizer_digest(path) for path in paths}


def _folder(folder: Path, config_name: str) -> dict[str, str]:
    digests = {path.name: sha256_of(path) for path in weight_files(folder)}
    digests |= _tokenizer(folder)
    config = json_object(folder / config_name)
    if "auto_map" in config:  # it computes with code of its own
        digests |= {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*.py"))}
    digests[config_name] = canonical_digest({k: v for k, v in config.items() if k not in _IGNORED_CONFIG})
    return digests


def _tokenizer_digest(path: Path) -> str:
    """Of a tokenizer's file, without a chat template, which changes only what is rendered with it."""
    if path.name != "tokenizer_config.json" or f'"{_CHAT_TEMPLATE}"'.encode() not in path.read_bytes():
        return sha256_of(path)
    return canonical_digest({name: value for name, value in json_object(path).items() if name != _CHAT_TEMPLATE})
