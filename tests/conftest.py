"""What tests of several rooms share. Torch is imported where it is used: pytest-xdist's controller needs none."""

import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import hypothesis
import pytest

from tests.programs import ForkServer, Program, Start, start_program

MakeModel = Callable[..., Path]
Install = Callable[[str, str], None]
FORK_SERVER = pytest.StashKey[ForkServer]()

# Tests have to pass on any machine, any day: the same examples each time, however slow; `tests/fuzz` looks for others.
hypothesis.settings.register_profile(
    "any day", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any day")

# A shell lets what it starts in the background ignore Ctrl-C, and so would every test and its child processes.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Ray's workers are otherwise nicer than the tests beside them, and wait until these are done.
os.environ.setdefault("RAY_worker_niceness", "0")

# Almost all that is imported stays; the collector would walk through it again and again.
gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    if sys.platform == "linux" and any("start" in item.fixturenames for item in session.items):  # type: ignore[attr-defined]
        session.config.stash[FORK_SERVER] = ForkServer()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if server := session.config.stash.get(FORK_SERVER, None):
        server.end()


@pytest.fixture(scope="module", autouse=True)
def _modules_stay_out_of_the_collector() -> None:
    """Freeing a model collects garbage; torch's and transformers' own objects would be walked through each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Copies of remote stores go where tests' other files go, not among the user's own."""
    os.environ["CHAINTUNE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests check needs no power cut."""
    monkeypatch.setattr("chaintune.files.atomic.sync_file", lambda _path: None)


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Have figures made and written, but not drawn, which takes longer than all else of a report."""
    patch.setattr("chaintune.report.figures.saving.svg", lambda *_args, **_named: "<svg></svg>")
    patch.setattr("chaintune.report.figures.saving.png", lambda *_args, **_named: b"")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a test runs, nothing is drawn."""
    draw_nothing(monkeypatch)


@pytest.fixture(scope="session")
def start(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a program in a process of its own."""
    server = request.config.stash.get(FORK_SERVER, None)
    started: list[Program] = []

    def start(
        *command: str,
        folder: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        anew: bool = False,
    ) -> Program:
        written = tmp_path_factory.mktemp("written")
        by = None if anew else server
        program = start_program(by, command, folder=folder or written, environment=environment, written=written)
        started.append(program)
        return program

    yield start
    for program in started:
        program.kill()


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
