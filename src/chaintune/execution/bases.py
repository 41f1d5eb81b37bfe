"""Base models: a name as a user writes it, located and addressed by content."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from chaintune.models import dequantise, locate, model_digest
from chaintune.store.store import Store


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model ready to be loaded.

    Attributes:
        name: as the study writes it.
        key: digest of its content.
        folder: transformers' layout.
        adapter: PEFT's layout, put on top; usually none.
        entry: key of the store's entry that the folder is; empty where it lies elsewhere.
    """

    name: str
    key: str
    folder: Path
    adapter: Path | None = None
    entry: str = ""


def entry_keys(bases: Iterable[BaseModel]) -> set[str]:
    """Keys of the store's entries that bases are."""
    return {base.entry for base in bases if base.entry}


def shapes_of(folder: Path) -> dict[str, list[int]]:
    """Name -> shape of every weight of a model folder, read from its files' headers."""
    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as weights:
            shapes |= {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118 - no mapping
    return shapes


def open_base(name: str, store: Store) -> BaseModel:
    """A model by the name a user gives it, ready to be loaded; a GGUF file is dequantised into the store once.

    Raises:
        ModelError: it cannot be loaded.
    """
    files = locate(name)
    key = model_digest(files)
    folder, entry = files.weights, ""
    if files.is_gguf:
        # The store checks every byte on first read, and only the weights matter here, not the adapter.
        entry = model_digest(type(files)(name, files.weights))

        def make(out: Path) -> dict[str, str]:
            dequantise(files.weights, out)
            return {"name": name}

        folder = store.get_or_make("base", entry, make).path
    return BaseModel(name, key, folder, files.adapter, entry)
