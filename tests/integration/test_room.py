"""A study whose checkpoints do not fit does not begin, whoever computes it."""

from pathlib import Path

import pytest

from chaintune import Study
from chaintune.errors import StoreError
from chaintune.runs.session import RunOptions
from chaintune.store.folder import FolderStore
from tests.integration.conftest import STUDY, Smoke


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_session_is_refused_on_either_executor(executor: str, smoke: Smoke, tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store")
    with pytest.raises(StoreError, match=r"the checkpoints of this run take up to .* that the store may take"):
        session.run(tmp_path / "out", RunOptions(executor, "nowhere:1", 1000))
    assert not (tmp_path / "out").exists()


def test_a_study_is_refused_in_python_too(smoke: Smoke, tmp_path: Path) -> None:
    study, store = Study.from_yaml(STUDY, smoke.places), FolderStore(tmp_path / "store")
    with pytest.raises(StoreError, match=r"'keep: none' takes|no other 'keep' would fit"):
        study.run(tmp_path / "out", store=store, max_store=1000)
    assert not {"stage", "score"} & set(store.kinds())
