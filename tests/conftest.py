"""What tests of several rooms share. Torch is imported where it is used: pytest-xdist's controller needs none."""

import gc
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MakeModel = Callable[..., Path]
Install = Callable[[str, str], None]

# A shell lets what it starts in the background ignore Ctrl-C, and so would every test and its child processes.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Almost all that is imported stays; the collector would walk through it again and again.
gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _modules_stay_out_of_the_collector() -> None:
    """Freeing a model collects garbage; torch's and transformers' own objects would be walked through each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def install(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package while a test runs: its entry points as `GROUP: NAME = MODULE:OBJECT`, and its source."""

    def make(entry: str, source: str) -> None:
        group, _, points = entry.partition(": ")
        module = re.split(r" = |:", points)[1]
        folder = tmp_path_factory.mktemp(module)
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{points}\n")
        (folder / f"{module}.py").write_text(source)
        monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(folder)

    return make


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """A tiny model's folder by architecture and tokenizer, written once a session; not to be changed."""
    from tests import tiny

    written: dict[tuple[str, str], Path] = {}

    def make(architecture: str = "llama", tokens: tiny.Tokens = "byte-level") -> Path:
        if (architecture, tokens) not in written:
            folder = tmp_path_factory.mktemp(architecture)
            written[architecture, tokens] = tiny.write_model(folder, architecture, tokens=tokens)
        return written[architecture, tokens]

    return make


@pytest.fixture(scope="session")
def adapter_folder(model_folder: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter for the tiny Llama, with weights that change its answers; not to be changed."""
    from tests import tiny

    return tiny.write_adapter(tmp_path_factory.mktemp("adapter"), model_folder())
