"""What every store promises, wherever it lies: in a folder, in memory, in a folder as a bucket, in S3."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from chaintune.errors import StoreError
from chaintune.store.address import open_store
from chaintune.store.folder import FolderStore
from chaintune.store.store import Store, is_damaged
from tests.unit.store import s3_server
from tests.unit.store.entries import KEY, Maker


@dataclass(frozen=True)
class Place:
    """Where a store lies, and a way to open it as another machine would: with a cache of its own."""

    address: str
    caches: Path
    monkeypatch: pytest.MonkeyPatch

    def open(self, machine: str = "one") -> Store:
        self.monkeypatch.setenv("CHAINTUNE_CACHE", str(self.caches / machine))
        return open_store(self.address)


@pytest.fixture(params=["folder", "memory", "file", "s3"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: s3_server.S3Server
) -> Place:
    folder, bucket = (tmp_path / "store").as_posix(), f"bucket-{uuid4().hex}"
    address = {
        "folder": folder,
        "memory": f"memory://{bucket}/x",
        "file": f"file://{folder}",
        "s3": f"s3://{s3_server.BUCKET}/x",
    }
    return Place(address[request.param], tmp_path / "caches", monkeypatch)


def test_what_one_machine_made_another_reuses(place: Place) -> None:
    maker = Maker()
    first = place.open().get_or_make("stage", KEY, maker)
    other = place.open("two")
    assert other.address == place.open().address
    for entry in (other.get_or_make("stage", KEY, maker), other.get("stage", KEY)):
        assert entry is not None
        assert (entry.made, entry.size_bytes, entry.info["seconds"]) == (False, 1001, 1.5)
        assert (entry.path / "sub" / "more").read_bytes() == b"2"
        assert entry.created_at == first.created_at
    assert (maker.calls, first.made) == (1, True)


def test_nothing_is_there_at_first(place: Place) -> None:
    store = place.open()
    assert (store.has("stage", KEY), store.get("stage", KEY), store.peek("stage", KEY)) == (False, None, None)
    assert (store.kinds(), store.keys("stage"), list(store.entries("stage"))) == ([], [], [])
    assert not is_damaged(store, "stage", KEY)
    assert not store.drop("stage", KEY)
    store.annotate("stage", KEY, transient=True)
    assert not store.has("stage", KEY)


def test_what_is_there_is_listed(place: Place) -> None:
    store = place.open()
    for kind, key in (("stage", "cd34"), ("stage", KEY), ("score", "ef56")):
        store.get_or_make(kind, key, Maker())
    other = place.open("two")
    assert other.kinds() == ["score", "stage"]
    assert other.keys("stage") == [KEY, "cd34"]
    assert [(entry.key, entry.size_bytes) for entry in other.entries("stage")] == [(KEY, 1001), ("cd34", 1001)]
    assert other.damage("stage", KEY) == ""
    peeked = other.peek("stage", KEY)
    assert peeked is not None
    assert peeked.info["seconds"] == 1.5


def test_one_file_is_read_without_the_others(place: Place) -> None:
    place.open().get_or_make("stage", KEY, Maker())
    other = place.open("two")
    assert other.read("stage", KEY, "sub/more") == b"2"
    assert other.read("stage", KEY, "absent") is None
    assert other.read("stage", "cd34", "weights") is None
    if not isinstance(other, FolderStore):
        assert not (other.root / "stage").exists()


def test_notes_change_and_files_stay(place: Place) -> None:
    store, other, maker = place.open(), place.open("two"), Maker()
    store.get_or_make("stage", KEY, maker)
    assert other.get("stage", KEY) is not None
    store.annotate("stage", KEY, transient=True)
    for entry in (other.get("stage", KEY), other.peek("stage", KEY), next(other.entries("stage"))):
        assert entry is not None
        assert dict(entry.info) == {"seconds": 1.5, "transient": True}
        assert (entry.path / "weights").stat().st_size == 1000
    other.annotate("stage", KEY, transient=False)
    assert store.get_or_make("stage", KEY, maker).info["transient"] is False
    assert maker.calls == 1


def test_what_is_dropped_is_gone_everywhere(place: Place) -> None:
    store, other = place.open(), place.open("two")
    store.get_or_make("stage", KEY, Maker())
    assert other.drop("stage", KEY)
    assert not store.has("stage", KEY)
    assert store.get("stage", KEY) is None
    assert store.keys("stage") == []


def test_what_somebody_here_will_read_is_not_dropped(place: Place) -> None:
    """As far as a lease is seen: on a folder by everybody, else by the processes of one machine."""
    store = place.open()
    store.get_or_make("stage", KEY, Maker())
    others = [place.open(), *([place.open("two")] if store.shares_leases else [])]
    with store.lease({KEY, "cd34"}) as lease:
        for other in others:
            assert not other.drop("stage", KEY, unless_leased=True)
        lease.give_back(KEY)
        assert others[-1].drop("stage", KEY, unless_leased=True)
        others[-1].get_or_make("stage", "cd34", Maker())
        assert not store.drop("stage", "cd34", unless_leased=True)
    assert store.drop("stage", "cd34", unless_leased=True)


def test_an_entry_can_be_spared_by_what_is_noted(place: Place) -> None:
    store = place.open()
    store.get_or_make("stage", KEY, Maker())
    assert not store.drop("stage", KEY, spared=lambda entry: entry.info["seconds"] == 1.5)
    assert store.drop("stage", KEY, spared=lambda entry: entry.info["seconds"] != 1.5)


def test_a_store_that_is_swept_keeps_what_is_finished(place: Place) -> None:
    store = place.open()
    store.get_or_make("stage", KEY, Maker())
    store.sweep()
    assert place.open("two").damage("stage", KEY) == ""


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), OSError("disk")])
def test_a_maker_that_fails_leaves_nothing(error: BaseException, place: Place) -> None:
    def make(folder: Path) -> dict[str, Any]:
        (folder / "weights").write_text("half")
        raise error

    store = place.open()
    with pytest.raises(type(error)):
        store.get_or_make("stage", KEY, make)
    assert (store.has("stage", KEY), store.keys("stage")) == (False, [])
    assert store.get_or_make("stage", KEY, Maker()).made


def test_one_entry_may_be_made_while_another_is(place: Place) -> None:
    store = place.open()

    def make(folder: Path) -> dict[str, Any]:
        parent = store.get_or_make("stage", "cd34", Maker())
        (folder / "weights").write_bytes((parent.path / "weights").read_bytes() + b"more")
        return {}

    assert store.get_or_make("stage", KEY, make).size_bytes == 1004
    assert place.open("two").keys("stage") == [KEY, "cd34"]


def test_of_several_on_one_machine_that_ask_at_once_one_makes_it(place: Place) -> None:
    maker = Maker()
    stores = [place.open() for _ in range(3)]
    threads = [Thread(target=store.get_or_make, args=("stage", KEY, maker)) for store in (stores[0], *stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert maker.calls == 1
    assert all(store.get("stage", KEY) for store in stores)


CALLS: list[Callable[[Store, str, str], Any]] = [
    lambda store, kind, key: store.has(kind, key),
    lambda store, kind, key: store.peek(kind, key),
    lambda store, kind, key: store.get_or_make(kind, key, Maker()),
    lambda store, kind, key: store.drop(kind, key),
    lambda store, kind, key: store.annotate(kind, key, transient=True),
    lambda store, kind, key: store.damage(kind, key),
]


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", ".locks", "A", "a.b", "/etc", "a\n", "a*"])
def test_no_name_leaves_the_store(name: str, place: Place) -> None:
    store = place.open()
    for call in CALLS:
        for kind, key in (("stage", name), (name, KEY)):
            with pytest.raises(StoreError, match="is not made of lower-case letters"):
                call(store, kind, key)
    with pytest.raises(StoreError, match="is not made of lower-case letters"):
        store.keys(name)


def test_every_store_has_the_methods_of_the_protocol(place: Place) -> None:
    promised = {name for name in vars(Store) if not name.startswith("_")}
    assert promised <= set(dir(place.open()))
    assert len(promised) > 10
