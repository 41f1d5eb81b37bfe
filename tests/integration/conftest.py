"""The smoke study with its model and data, opened and run inside this process."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaintune.execution.checkpoint_models import CheckpointModels
from chaintune.execution.engine_factory import EngineFactory
from chaintune.execution.events import Event
from chaintune.execution.state import RunOutcome
from chaintune.models import LoadedModel
from chaintune.plan.nodes import MEASUREMENT_FILE
from chaintune.runs.session import RunOptions, Session, computed, prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import tiny
from tests.conftest import draw_nothing

STUDY = Path(__file__).parents[2] / "studies" / "smoke.yaml"
# Stages of two steps: for tests of what becomes of a study, whatever its model learns.
BRIEF = "recipe.epochs=0.5"
_USUAL = RunOptions()


@dataclass(frozen=True)
class Watch:
    """Hands every event of a run on."""

    note: Callable[[Event], None]


def watched_by(note: Callable[[Event], None]) -> RunOptions:
    """Options of a run whose events a function takes."""
    return RunOptions(watch=lambda _plan: nullcontext(Watch(note)))


@dataclass(frozen=True)
class Smoke:
    """Where model and data lie; what tests ask for again and again."""

    folder: Path

    @property
    def places(self) -> list[str]:
        """Overrides that point the study at its model and data."""
        data = [f"tasks.{name}.path={self.folder / name}.jsonl" for name in ("balls", "boxes")]
        return [f"base={self.folder / 'model'}", *data]

    def open(self, store: Path, *overrides: str) -> Session:
        return prepare(Study.from_yaml(STUDY, [*self.places, "resamples=100", *overrides]), FolderStore(store))

    def run(self, folder: Path, *overrides: str) -> dict[str, bytes]:
        """Run the study with its store in `folder`; its scores."""
        session = self.open(folder / "store", *overrides)
        outcome = outcome_of(session)
        assert outcome.complete, [(result.node.title, result.cause) for result in outcome.of("failed")]
        return scores(session)


def outcome_of(session: Session, options: RunOptions = _USUAL) -> RunOutcome:
    """What became of a study that is run; where nobody reads its results, none are written."""
    engine = EngineFactory.of(session.bases, session.precision)
    with computed(session.plan, session.store, session.tasks, engine, options) as outcome:
        return outcome


def scores(session: Session) -> dict[str, bytes]:
    """Bytes of every measurement of a study, by title."""
    return files(session, "score", [MEASUREMENT_FILE])


def checkpoints(session: Session) -> dict[str, bytes]:
    """Bytes of the weights of every checkpoint that is in the store, by title."""
    return files(session, "stage", ["model.safetensors", "adapter_model.safetensors"])


def files(session: Session, kind: str, names: Iterable[str]) -> dict[str, bytes]:
    found = {}
    for entry in session.store.entries(kind):
        (path,) = [entry.path / name for name in names if (entry.path / name).exists()]
        found[entry.info["title"].replace(", seed 0", "")] = path.read_bytes()
    return found


def files_that_name_this_machine(folder: Path) -> list[str]:
    """Files under a folder with a path under which the tests' folders lie; what is handed on must have none."""
    place = str(Path(tempfile.gettempdir())).encode()
    return [
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and place in path.read_bytes()
    ]


@pytest.fixture(scope="module", autouse=True)
def _undrawn() -> Iterator[None]:
    """How figures are drawn is tested where they are made, and by programs in processes of their own.

    Of a module, so that studies which its tests share are not drawn either.
    """
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        yield


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on no model is kept in memory: every stage and every scoring starts from disk."""
    remembering = CheckpointModels.checkpoint

    def from_disk(models: CheckpointModels, *arguments: Any, **options: Any) -> LoadedModel:
        models.forget()
        return remembering(models, *arguments, **options)

    return lambda: monkeypatch.setattr(CheckpointModels, "checkpoint", from_disk)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    folder = tmp_path_factory.mktemp("smoke")
    tiny.write_smoke(folder)
    return Smoke(folder)


@pytest.fixture(scope="session")
def straight(smoke: Smoke, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Scores of the study, run once and never disturbed."""
    return smoke.run(tmp_path_factory.mktemp("straight"))


@pytest.fixture(scope="session")
def brief(smoke: Smoke, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Scores of the study in brief, run once and never disturbed."""
    return smoke.run(tmp_path_factory.mktemp("brief"), BRIEF)
