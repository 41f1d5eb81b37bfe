"""Tests here do not wait for the disk; what they check needs no power cut."""

import pytest

from chaintune.files import atomic


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "sync_file", lambda _path: None)
