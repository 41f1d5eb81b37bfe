"""A store in an S3 bucket, through the real client and a small server on this machine."""

from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest

from chaintune.errors import StoreError
from chaintune.store.address import open_store
from chaintune.store.remote.bucket import Bucket
from chaintune.store.remote.connect import connect
from chaintune.store.store import Store
from tests.unit.store import s3_server
from tests.unit.store.entries import KEY, Maker

s3fs = pytest.importorskip("s3fs", reason="s3fs is the user's to install")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_server.S3Server]:
    with s3_server.running() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # one of another test would go on talking to another server
        yield running


def opened(machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("CHAINTUNE_CACHE", str(tmp_path / machine))
    return open_store(f"s3://{s3_server.BUCKET}/some/prefix")


def test_two_machines_share_a_bucket(
    server: s3_server.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, maker = (*(opened(name, tmp_path, monkeypatch) for name in ("one", "two")), Maker())
    assert (one.kinds(), one.keys("stage"), one.get("stage", KEY)) == ([], [], None)
    assert one.get_or_make("stage", KEY, maker).made
    entry = two.get_or_make("stage", KEY, maker)
    assert (maker.calls, entry.made, (entry.path / "sub" / "more").read_bytes()) == (1, False, b"2")
    assert (two.kinds(), two.keys("stage"), two.damage("stage", KEY)) == (["stage"], [KEY], "")
    assert [found.size_bytes for found in two.entries("stage")] == [1001]
    two.annotate("stage", KEY, transient=True)
    peeked = one.peek("stage", KEY)
    assert peeked is not None
    assert peeked.info["transient"] is True
    with one.lease({KEY}):
        assert not two.drop("stage", KEY, unless_leased=True)
    two.sweep()
    assert two.drop("stage", KEY, unless_leased=True)
    assert server.objects == {}
    assert all(name.startswith("some/prefix/") for name in server.objects)


def bucket() -> Bucket:
    return connect(f"s3://{s3_server.BUCKET}/some/prefix")


@pytest.mark.parametrize("says_why", [True, False])
def test_a_conditional_put_is_refused_by_the_server(says_why: bool, server: s3_server.S3Server) -> None:
    server.says_why = says_why
    there = bucket()
    assert there.create("a", b"1")
    assert not there.create("a", b"2")
    assert server.refused == 1
    assert there.read("a") == b"1"
    assert there.create("a", b"1")  # ours already: an answer that got lost
    age = there.age_seconds("a")
    assert age is not None
    assert age < 60


def test_an_outage_of_the_server_is_waited_out(server: s3_server.S3Server) -> None:
    there = bucket()
    there.write("a", b"1")
    server.answer = 503
    Timer(0.5, lambda: setattr(server, "answer", 200)).start()
    assert there.read("a") == b"1"


def test_a_server_that_forbids_is_not_asked_again(server: s3_server.S3Server) -> None:
    there = bucket()
    server.answer = 403
    with pytest.raises(StoreError, match=r"the store cannot be written \("):
        there.write("a", b"1")
    with pytest.raises(StoreError, match=r"the store cannot be read \("):
        there.read("a")


def test_a_bucket_that_is_not_there_is_not_made(server: s3_server.S3Server) -> None:
    with pytest.raises(StoreError, match=r"^s3://nowhere/x: the store cannot be written; "):
        connect("s3://nowhere/x").write("a", b"1")
