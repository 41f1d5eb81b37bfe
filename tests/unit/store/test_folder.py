"""Entries appear whole or not at all, damage is seen, nothing leaves the root."""

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from filelock import FileLock

from chaintune.errors import ModelError, StoreError
from chaintune.files import atomic
from chaintune.store import folder as folder_module
from chaintune.store import manifest
from chaintune.store.folder import LEASES, FolderStore
from chaintune.store.inventory import inventory
from chaintune.store.manifest import sealed
from chaintune.store.store import is_damaged
from tests.unit.store.entries import KEY, Maker


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def leftovers(store: FolderStore) -> list[Path]:
    return list(store.root.rglob(f"*{atomic.PARTIAL}"))


def test_made_once_then_reused(store: FolderStore) -> None:
    maker = Maker()
    first, second = (store.get_or_make("stage", KEY, maker) for _ in range(2))
    assert (maker.calls, first.made, second.made) == (1, True, False)
    assert first == second
    assert (second.path / "sub" / "more").read_bytes() == b"2"
    assert second.info["seconds"] == 1.5
    assert second.size_bytes == 1001
    assert leftovers(store) == []


def test_another_process_reuses_it(store: FolderStore) -> None:
    store.get_or_make("stage", KEY, Maker())
    maker = Maker()
    assert not FolderStore(store.root).get_or_make("stage", KEY, maker).made
    assert maker.calls == 0


def test_the_manifest_tells_digest_size_kind_and_key(store: FolderStore) -> None:
    entry = store.get_or_make("stage", KEY, Maker())
    manifest = json.loads((entry.path / "manifest.json").read_bytes())
    assert manifest["files"]["sub/more"] == {
        "bytes": 1,
        "mtime_ns": (entry.path / "sub" / "more").stat().st_mtime_ns,
        "sha256": "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35",
    }
    assert (manifest["kind"], manifest["key"], manifest["format"]) == ("stage", KEY, 1)


def change_bytes(folder: Path) -> None:
    (folder / "weights").write_bytes(b"3" * 1000)


def cut(folder: Path) -> None:
    (folder / "weights").write_bytes(b"1")


def remove(folder: Path) -> None:
    (folder / "sub" / "more").unlink()


def garble_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def edit_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("1.5", "2.5"))


def nan_in_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("1.5", "NaN"))


def list_as_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


DAMAGES = [change_bytes, cut, remove, garble_manifest, edit_manifest, nan_in_manifest, list_as_manifest]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_told_and_rebuilt(
    damage: Callable[[Path], None], store: FolderStore, caplog: pytest.LogCaptureFixture
) -> None:
    path = store.get_or_make("stage", KEY, Maker()).path
    damage(path)
    again, maker = FolderStore(store.root), Maker()
    with caplog.at_level(logging.WARNING):
        assert again.get("stage", KEY) is None
        assert again.get_or_make("stage", KEY, maker).made
    assert maker.calls == 1
    assert caplog.text.count("is damaged") == 1
    fresh = FolderStore(store.root).get("stage", KEY)
    assert fresh is not None
    assert (fresh.path / "weights").read_bytes() == b"1" * 1000


def test_a_changed_byte_shows_without_reading_every_file(store: FolderStore) -> None:
    path = store.get_or_make("stage", KEY, Maker()).path
    assert not is_damaged(store, "stage", KEY)
    os.utime(path / "weights", ns=(1, 1))  # touched, not changed
    assert not is_damaged(store, "stage", KEY)
    change_bytes(path)
    assert is_damaged(store, "stage", KEY)
    assert not is_damaged(store, "stage", "cd34")


def test_an_entry_moved_to_another_key_is_damaged(store: FolderStore) -> None:
    path = store.get_or_make("stage", KEY, Maker()).path
    path.rename(path.with_name("cd34"))
    assert FolderStore(store.root).get("stage", "cd34") is None


def test_an_entry_without_manifest_does_not_exist(store: FolderStore) -> None:
    path = store.get_or_make("stage", KEY, Maker()).path
    (path / "manifest.json").unlink()
    assert not store.has("stage", KEY)
    assert store.get("stage", KEY) is None
    assert store.get_or_make("stage", KEY, Maker()).made


@pytest.mark.parametrize("error", [ModelError("no"), KeyboardInterrupt(), ZeroDivisionError()])
def test_a_maker_that_fails_leaves_nothing(error: BaseException, store: FolderStore) -> None:
    def make(folder: Path) -> dict[str, Any]:
        (folder / "weights").write_text("half")
        raise error

    with pytest.raises(type(error)):
        store.get_or_make("stage", KEY, make)
    assert not store.has("stage", KEY)
    assert leftovers(store) == []
    assert store.get_or_make("stage", KEY, Maker()).made


def full(_folder: Path) -> dict[str, Any]:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_in_rust(_folder: Path) -> dict[str, Any]:
    raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


def full_behind_another_error(_folder: Path) -> dict[str, Any]:
    try:
        full(_folder)
    except OSError as error:
        raise ModelError("cannot save the model") from error
    return {}


@pytest.mark.parametrize("make", [full, full_in_rust, full_behind_another_error])
def test_a_full_disk_is_one_sentence(make: Callable[[Path], dict[str, Any]], store: FolderStore) -> None:
    with pytest.raises(StoreError) as caught:
        store.get_or_make("stage", KEY, make)
    assert str(caught.value).startswith("disk full: ")
    assert f"MB free at {store.root}; nothing half-written was kept; free some space" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert leftovers(store) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_device_that_is_full(store: FolderStore) -> None:
    def make(_folder: Path) -> dict[str, Any]:
        with Path("/dev/full").open("wb", buffering=0) as stream:
            stream.write(b"weights")
        return {}

    with pytest.raises(StoreError, match="disk full"):
        store.get_or_make("stage", KEY, make)


def test_a_disk_that_is_full_at_the_manifest(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "write_json", lambda *_args, **_kw: full(Path()))
    with pytest.raises(StoreError, match="disk full"):
        store.get_or_make("stage", KEY, Maker())
    assert leftovers(store) == []


def test_an_error_of_the_maker_stays_what_it_is(store: FolderStore) -> None:
    def make(folder: Path) -> dict[str, Any]:
        return {"text": (folder / "absent").read_text()}

    with pytest.raises(FileNotFoundError):
        store.get_or_make("stage", KEY, make)


def test_a_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/store: the store cannot be opened"):
        FolderStore(tmp_path / "file" / "store")


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", ".locks", "A", "a.b", "/etc", "x" * 200, "a\n"])
def test_no_name_leaves_the_root(name: str, store: FolderStore) -> None:
    with pytest.raises(StoreError, match="is not made of lower-case letters"):
        store.get_or_make("stage", name, Maker())
    with pytest.raises(StoreError, match="is not made of lower-case letters"):
        store.get_or_make(name, KEY, Maker())


def test_leftovers_of_killed_writers_are_swept_but_not_those_of_living_ones(store: FolderStore) -> None:
    store.get_or_make("stage", KEY, Maker())
    dead = store.root / "stage" / f"cd34.123{atomic.PARTIAL}"
    living = store.root / "stage" / f"ef56.123{atomic.PARTIAL}"
    for folder in (dead, living):
        folder.mkdir()
        (folder / "weights").write_text("half")
    with FileLock(store.root / "stage" / ".locks" / "ef56.lock"):
        FolderStore(store.root)
    assert leftovers(store) == [living]


def test_drop(store: FolderStore) -> None:
    store.get_or_make("stage", KEY, Maker())
    assert store.drop("stage", KEY)
    assert not store.drop("stage", KEY)
    assert not store.has("stage", KEY)
    assert leftovers(store) == []


def test_a_leased_entry_is_not_dropped_while_its_reader_lives(store: FolderStore) -> None:
    store.get_or_make("stage", KEY, Maker())
    with store.lease({KEY, "cd34"}) as lease:
        assert not store.drop("stage", KEY, unless_leased=True)
        lease.give_back(KEY)
        assert store.drop("stage", KEY, unless_leased=True)
        store.get_or_make("stage", "cd34", Maker())
        assert not store.drop("stage", "cd34", unless_leased=True)
    assert store.drop("stage", "cd34", unless_leased=True)
    assert list((store.root / "leases").iterdir()) == []


def test_a_lease_of_a_dead_process_counts_for_nothing(store: FolderStore) -> None:
    store.get_or_make("stage", KEY, Maker())
    folder = store.root / "leases"
    folder.mkdir()
    (folder / "dead.json").write_text(json.dumps([KEY]))
    assert store.drop("stage", KEY, unless_leased=True)
    assert list(folder.iterdir()) == []


def test_nobody_takes_a_lease_between_the_look_for_one_and_the_drop(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.get_or_make("stage", KEY, Maker())
    found: list[bool] = []
    other = FolderStore(store.root)

    def read() -> None:
        with other.lease({KEY}):
            found.append(other.has("stage", KEY))

    reader, look = Thread(target=read), store.is_leased

    def slow_look(key: str) -> bool:
        answer = look(key)
        reader.start()
        time.sleep(0.3)
        return answer

    monkeypatch.setattr(store, "is_leased", slow_look)
    assert store.drop("stage", KEY, unless_leased=True)
    reader.join()
    assert found == [False]  # told that it is gone, not handed what is on its way out


def test_an_entry_can_be_spared_by_what_is_noted(store: FolderStore) -> None:
    store.get_or_make("stage", KEY, Maker())
    assert not store.drop("stage", KEY, spared=lambda entry: entry.info["seconds"] == 1.5)
    assert store.drop("stage", KEY, spared=lambda entry: entry.info["seconds"] != 1.5)


@pytest.mark.parametrize("look", ["peek", "get", "damage"])
def test_an_entry_that_goes_while_it_is_read_counts_as_none(
    look: str, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.get_or_make("stage", KEY, Maker()).path
    changed = manifest._is_changed

    def late(file: Path, expected: dict[str, Any], *, deep: bool) -> bool:
        shutil.rmtree(path, ignore_errors=True)
        return changed(file, expected, deep=deep)

    monkeypatch.setattr(manifest, "_is_changed", late)
    assert getattr(FolderStore(store.root), look)("stage", KEY) in {None, "sub/more is missing", "weights is missing"}


def test_annotate_changes_notes_only(store: FolderStore) -> None:
    path = store.get_or_make("stage", KEY, Maker()).path
    store.annotate("stage", KEY, transient=False)
    entry = FolderStore(store.root).get("stage", KEY)
    assert entry is not None
    assert dict(entry.info) == {"seconds": 1.5, "transient": False}
    assert entry.path == path


def test_entries_lists_what_is_finished(store: FolderStore) -> None:
    for key in ("cd34", KEY):
        store.get_or_make("stage", key, Maker())
    (store.root / "stage" / "ef56").mkdir()
    assert [entry.key for entry in store.entries("stage")] == [KEY, "cd34"]
    assert list(store.entries("score")) == []


def test_threads_that_ask_at_once_make_it_once(store: FolderStore) -> None:
    maker = Maker()
    threads = [Thread(target=store.get_or_make, args=("stage", KEY, maker)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert maker.calls == 1


def test_waiting_for_another_process_is_told(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(folder_module, "_SECONDS_OF_SILENCE", 0.01)
    store.get_or_make("stage", "cd34", Maker())
    taken, told = Event(), Event()

    def hold() -> None:
        with FileLock(store.root / "stage" / ".locks" / f"{KEY}.lock"):
            taken.set()
            told.wait(timeout=600)

    listener = logging.Handler()
    monkeypatch.setattr(listener, "emit", lambda _record: told.set())
    logging.getLogger(folder_module.__name__).addHandler(listener)
    thread = Thread(target=hold)
    thread.start()
    taken.wait(timeout=600)
    with caplog.at_level(logging.INFO):
        store.get_or_make("stage", KEY, Maker())
    thread.join()
    logging.getLogger(folder_module.__name__).removeHandler(listener)
    assert f"another process is working on stage/{KEY}; waiting for it" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "7", "null", "[" * 100_000, "\ud800"])
def test_a_damaged_lease_that_is_held_counts_for_everything(text: str, store: FolderStore) -> None:
    store.get_or_make("stage", KEY, Maker())
    with store.lease({"cd34"}):
        (path,) = (store.root / LEASES).glob("*.json")
        path.write_bytes(text.encode(errors="surrogatepass"))
        assert store.is_leased(KEY)
        assert not store.drop("stage", KEY, unless_leased=True)
    assert store.drop("stage", KEY, unless_leased=True)


@pytest.mark.parametrize("changes", [{"created_at": 7}, {"created_at": None}, {"info": []}, {"files": 1}, {"kind": {}}])
def test_a_sealed_manifest_of_another_program_is_damage(changes: dict[str, Any], store: FolderStore) -> None:
    store.get_or_make("stage", KEY, Maker())
    path = store.folder("stage", KEY) / "manifest.json"
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | changes)))
    assert store.damage("stage", KEY)
    assert inventory(store) == []
    path.write_text("[" * 100_000)
    assert store.damage("stage", KEY) == "manifest.json is no JSON object"


def test_a_kind_that_is_a_link_is_written_and_swept_by_nobody(store: FolderStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".locks").mkdir(parents=True)
    (elsewhere / "precious.partial").mkdir()
    (store.root / "stage").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="stage: is a link, and nothing is written through links"):
        store.get_or_make("stage", KEY, Maker())
    store.sweep()
    assert store.kinds() == []
    assert sorted(path.name for path in elsewhere.iterdir()) == [".locks", "precious.partial"]
