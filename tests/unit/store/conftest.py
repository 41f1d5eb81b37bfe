"""A bucket on a server of this machine, and machines that use it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaintune.store.address import open_store
from chaintune.store.store import Store
from tests.unit.store import s3_server

Open = Callable[[str], Store]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_server.S3Server]:
    with s3_server.running() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CHAINTUNE_STORE_PATIENCE", "30")
        yield running


@pytest.fixture
def machine(server: s3_server.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the store in the bucket as the machine of a name does: with a cache of its own."""

    def opened(name: str) -> Store:
        monkeypatch.setenv("CHAINTUNE_CACHE", str(tmp_path / "caches" / name))
        return open_store(f"s3://{s3_server.BUCKET}/some/prefix")

    return opened
