"""Base models: found by the name a user gives, addressed by their content."""

from dataclasses import dataclass
from pathlib import Path

from chaintune.models import dequantise, locate, model_digest
from chaintune.study.store import Store


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model ready to be loaded.

    Attributes:
        name: as the study writes it.
        key: digest of its content.
        folder: transformers' layout.
        adapter: PEFT's layout, put on top; usually none.
    """

    name: str
    key: str
    folder: Path
    adapter: Path | None = None


def open_base(name: str, store: Store) -> BaseModel:
    """A model by the name a user gives it, ready to be loaded; a GGUF file is dequantised into the store once.

    Raises:
        ModelError: it cannot be had.
    """
    files = locate(name)
    key = model_digest(files)
    folder = files.weights
    if files.is_gguf:
        # The store checks every byte on first read, and only the weights matter here, not the adapter.
        weights_key = model_digest(type(files)(name, files.weights))

        def make(out: Path) -> dict[str, str]:
            dequantise(files.weights, out)
            return {"name": name}

        folder = store.get_or_make("base", weights_key, make).path
    return BaseModel(name, key, folder, files.adapter)
