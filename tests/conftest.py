"""What tests of several rooms share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tiny

MakeModel = Callable[..., Path]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """A tiny model's folder by architecture and tokenizer, written once a session; not to be changed."""
    written: dict[tuple[str, tiny.Tokens], Path] = {}

    def make(architecture: str = "llama", tokens: tiny.Tokens = "byte-level") -> Path:
        if (architecture, tokens) not in written:
            folder = tmp_path_factory.mktemp(architecture)
            written[architecture, tokens] = tiny.write_model(folder, architecture, tokens=tokens)
        return written[architecture, tokens]

    return make
