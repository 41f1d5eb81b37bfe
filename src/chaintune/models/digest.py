"""The content of a model as one digest: its weights, tokenizer and configuration, never its name."""

import json
from pathlib import Path
from typing import Any

from chaintune.errors import ModelError
from chaintune.files.reading import sha256_of
from chaintune.models.names import ModelFiles, weight_files
from chaintune.records import canonical_digest

_TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")
# Who wrote a configuration, and where from, does not change what the model computes.
_IGNORED_CONFIG = {"_name_or_path", "transformers_version", "base_model_name_or_path", "_commit_hash"}
# Raised when dequantising the same file would give other weights.
_GGUF_FORMAT = "gguf-dequantised-1"


def model_digest(files: ModelFiles) -> str:
    """SHA-256 hex digest of what a model computes.

    A GGUF file stands for the weights that dequantising it gives. Equal folders under other names
    have equal digests.

    Raises:
        ModelError: a folder holds no weights in safetensors, or its configuration is no JSON object.
    """
    if files.is_gguf:
        parts: list[object] = [_GGUF_FORMAT, sha256_of(files.weights)]
    else:
        parts = ["folder", _folder(files.weights, "config.json")]
    if files.adapter is not None:
        parts.append(_folder(files.adapter, "adapter_config.json"))
    return canonical_digest(parts)


def _folder(folder: Path, config_name: str) -> dict[str, str]:
    tokenizer = {path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern)}
    digests = {path.name: sha256_of(path) for path in (*weight_files(folder), *tokenizer)}
    config = _config(folder / config_name)
    if "auto_map" in config:  # it computes with code of its own
        digests |= {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*.py"))}
    digests[config_name] = canonical_digest({k: v for k, v in config.items() if k not in _IGNORED_CONFIG})
    return digests


def _config(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes(), parse_constant=str))  # old files hold infinities, JSON does not
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"model folder {path.parent}: {path.name} cannot be read as a JSON object ({error})"
        ) from error
