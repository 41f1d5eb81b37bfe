"""A store behind a URL: what is read is one whole entry, whatever breaks off, comes twice or was tampered with."""

import json
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread, Timer
from typing import Any

import pytest

from chaintune.errors import StoreError
from chaintune.execution.run import run_plan
from chaintune.plan.plan import Plan
from chaintune.records import Task
from chaintune.store import remote
from chaintune.store.address import open_store
from chaintune.store.folder import FolderStore
from chaintune.store.manifest import Entry, is_plain, sealed
from chaintune.store.store import Store, is_damaged
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task
from tests.unit.store.conftest import Open
from tests.unit.store.entries import KEY, Maker
from tests.unit.store.s3_server import S3Server

Change = Callable[[dict[str, Any]], object]
MANIFEST = f"some/prefix/stage/{KEY}/manifest.json"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the objects of a `file://` store lie."""
    monkeypatch.setenv("CHAINTUNE_CACHE", str(tmp_path / "caches" / "one"))
    return tmp_path / "there"


def opened(there: Path, monkeypatch: pytest.MonkeyPatch | None = None) -> Store:
    """The store; with `monkeypatch` as another machine sees it."""
    if monkeypatch:
        monkeypatch.setenv("CHAINTUNE_CACHE", str(there.with_name("caches") / "two"))
    return open_store(f"file://{there.as_posix()}")


def uploads(server: S3Server) -> set[str]:
    """The folders of uploads of the entry that are there."""
    return {name.split("/")[4] for name in server.objects if name.startswith("some/prefix/") and name != MANIFEST}


# Several machines


def test_the_manifest_is_written_last(machine: Open, server: S3Server) -> None:
    machine("one").get_or_make("stage", KEY, Maker())
    *files, last = [request.removeprefix("PUT ") for request in server.requests if request.startswith("PUT")]
    assert last == MANIFEST
    assert {name.split("/", 5)[-1] for name in files} == {"sub/more", "weights"}


def test_what_a_store_asks_of_the_network(machine: Open, server: S3Server) -> None:
    """The numbers in docs/how-to/store.md; an entry of two files."""
    one, two = machine("one"), machine("two")

    def requests(work: Callable[[], object]) -> int:
        server.requests.clear()
        work()
        return len(server.requests)

    assert requests(lambda: one.get_or_make("stage", KEY, Maker())) == 2 + 2
    assert requests(lambda: one.get("stage", KEY)) == 1
    assert requests(lambda: two.get("stage", KEY)) == 1 + 2
    assert requests(lambda: two.get("stage", KEY)) == 1
    assert requests(lambda: two.has("stage", KEY)) == 1
    assert requests(lambda: two.get("stage", "cd34")) == 1


@pytest.mark.parametrize("conditions", [True, False])
def test_two_machines_that_make_the_same_entry_leave_one_whole_entry(
    conditions: bool, machine: Open, server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Each makes other bytes, as two processors do."""
    server.knows_conditions = conditions
    together, made = Barrier(2), dict[str, Entry]()

    def ask(name: str, store: Store) -> None:
        def make(folder: Path) -> dict[str, Any]:
            (folder / "weights").write_text(name)
            together.wait(timeout=600)
            return {}

        made[name] = store.get_or_make("stage", KEY, make)

    stores = {name: machine(name) for name in ("one", "other")}
    threads = [Thread(target=ask, args=pair) for pair in stores.items()]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    texts = set()
    for store in (*stores.values(), machine("third")):
        assert store.damage("stage", KEY) == ""
        entry = store.get("stage", KEY)
        assert entry is not None
        texts.add((entry.path / "weights").read_text())
    assert len(texts) == 1
    assert texts < {"one", "other"}
    assert all(entry.made for entry in made.values())
    if conditions:
        assert {(entry.path / "weights").read_text() for entry in made.values()} == texts
        assert sorted(entry.duplicate for entry in made.values()) == [False, True]
        assert caplog.text.count(f"stage/{KEY} was made twice: another machine had finished it first") == 1
        assert [entry.info for entry in machine("third").entries("stage")] == [{"times_made": 2}]


def test_an_answer_that_got_lost_is_no_other_machine(machine: Open, server: S3Server) -> None:
    lost = [False]

    def loses(request: str) -> bool:
        first = request == f"PUT {MANIFEST}" and not lost[0]
        lost[0] |= first
        return first

    server.loses = loses
    maker = Maker()
    entry = machine("one").get_or_make("stage", KEY, maker)
    assert (maker.calls, entry.made, entry.duplicate, lost) == (1, True, False, [True])
    assert len(uploads(server)) == 1


def test_an_entry_that_another_machine_dropped_is_uploaded_again_and_not_made_again(machine: Open) -> None:
    one, two, maker = machine("one"), machine("two"), Maker()
    one.get_or_make("stage", KEY, maker)
    assert two.get("stage", KEY)
    one.drop("stage", KEY)
    entry = two.get_or_make("stage", KEY, maker)
    assert (maker.calls, entry.made, dict(entry.info)) == (1, False, {"seconds": 1.5})
    peeked = one.peek("stage", KEY)
    assert peeked is not None
    assert dict(peeked.info) == {"seconds": 1.5}


def test_an_entry_that_is_gone_everywhere_is_made_again(machine: Open) -> None:
    one, maker = machine("one"), Maker()
    one.get_or_make("stage", KEY, maker)
    one.drop("stage", KEY)
    assert one.get("stage", KEY) is None
    assert one.get_or_make("stage", KEY, maker).made
    assert maker.calls == 2


def two_task_plan() -> tuple[Plan, dict[str, Task]]:
    study = make_study("ab", keep="none")
    tasks = {name: make_task(name) for name in study.tasks}
    return make_plan(study, tasks), tasks


def test_a_run_drops_only_what_it_made_itself(machine: Open, tmp_path: Path) -> None:
    plan, tasks = two_task_plan()

    def interrupt(when: str, what: str) -> None:
        if (when, what) == ("tune", "a>b"):
            raise KeyboardInterrupt

    engine = DummyEngine(tmp_path / "one", hook=interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, store=machine("one"), engine=engine, out=None, tasks=tasks)
    of_the_first = machine("one").keys("stage")
    assert len(of_the_first) == 1  # the first machine may go on at any moment
    engine = DummyEngine(tmp_path / "two")
    assert run_plan(plan, store=machine("two"), engine=engine, out=None, tasks=tasks).complete
    assert "tune a" not in engine.calls
    assert machine("three").keys("stage") == of_the_first


def test_a_run_whose_checkpoint_goes_away_completes(machine: Open, tmp_path: Path) -> None:
    plan, tasks = two_task_plan()
    other = machine("other")

    def drop_all(_when: str, _what: str) -> None:
        for key in other.keys("stage"):
            other.drop("stage", key)

    engine = DummyEngine(tmp_path / "one", hook=drop_all)
    assert run_plan(plan, store=machine("one"), engine=engine, out=None, tasks=tasks).complete
    assert len(engine.calls) == len(set(engine.calls)) == len(plan.nodes)


# Trouble


def test_trouble_that_passes_is_waited_out_wherever_it_strikes(machine: Open, server: S3Server) -> None:
    machine("counting").get_or_make("stage", "cd34", Maker())
    count = len(server.requests)
    assert count == 4
    for number in range(count):
        for status in (0, 503):
            store, maker, key = machine(f"machine-{number}"), Maker(), f"k{number}-{status}"
            server.requests.clear()
            server.trouble = lambda _, n=number, s=status: s if len(server.requests) == n + 1 else None  # type: ignore[misc]
            assert store.get_or_make("stage", key, maker).made
            assert len(server.requests) > count
            server.trouble = lambda _request: None
            assert (maker.calls, store.damage("stage", key)) == (1, "")


def test_broken_off_anywhere_the_next_run_completes_without_making_it_again(machine: Open, server: S3Server) -> None:
    for number in range(1, 4):  # with no answer to the first request nothing is made
        store, maker, key = machine(f"machine-{number}"), Maker(), f"k{number}"
        server.requests.clear()
        server.trouble = lambda _, n=number: 403 if len(server.requests) > n else None  # type: ignore[misc]
        with pytest.raises(StoreError, match="the store cannot be written"):
            store.get_or_make("stage", key, maker)
        server.trouble = lambda _request: None
        other = machine("other")
        assert (other.has("stage", key), other.get("stage", key), other.keys("stage")) == (False, None, [])
        again = machine(f"machine-{number}")
        assert not again.get_or_make("stage", key, maker).made
        assert (maker.calls, other.damage("stage", key)) == (1, "")
        again.drop("stage", key)


def test_a_study_survives_an_outage_and_computes_nothing_twice(machine: Open, server: S3Server, tmp_path: Path) -> None:
    plan, tasks = two_task_plan()

    def drop_out(_when: str, _what: str) -> None:
        if len(engine.calls) in {2, 5}:
            server.trouble = lambda _request: 503 if len(engine.calls) % 2 else 0
            Timer(0.3, lambda: setattr(server, "trouble", lambda _request: None)).start()

    engine = DummyEngine(tmp_path / "engine", hook=drop_out)
    outcome = run_plan(plan, store=machine("one"), engine=engine, out=tmp_path / "out", tasks=tasks)
    assert outcome.complete
    assert len(engine.calls) == len(set(engine.calls)) == len(plan.nodes)
    again = DummyEngine(tmp_path / "again")
    assert run_plan(plan, store=machine("two"), engine=again, out=None, tasks=tasks).complete
    assert again.calls == []


@pytest.mark.parametrize("how", ["sent twice", "of other bytes"])
def test_an_upload_cut_for_good_is_swept_a_day_later(
    how: str, machine: Open, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(folder: Path) -> dict[str, Any]:
        (folder / "weights").write_text(how)
        return {}

    server.trouble = lambda request: 403 if request == f"PUT {MANIFEST}" else None
    with pytest.raises(StoreError):
        machine("one").get_or_make("stage", KEY, make)
    server.trouble = lambda _request: None
    (stale,) = uploads(server)
    other = machine("two")
    assert (other.has("stage", KEY), other.keys("stage"), list(other.entries("stage"))) == (False, [], [])
    assert other.get_or_make("stage", KEY, make if how == "sent twice" else Maker()).made
    other.sweep()
    assert stale in uploads(server)  # somebody might still be at it
    monkeypatch.setattr(remote, "STALE", timedelta(days=-1))
    other.sweep()
    assert uploads(server) == ({stale} if how == "sent twice" else uploads(server) - {stale})
    assert other.damage("stage", KEY) == ""


def test_a_full_disk_here_is_told_as_such(machine: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    machine("one").get_or_make("stage", KEY, Maker())
    store = machine("two")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    for call in (store.get, lambda kind, key: store.get_or_make(kind, key, Maker())):
        with monkeypatch.context() as patch:
            patch.setattr(os, "utime", full)
            with pytest.raises(StoreError) as caught:
                call("stage", KEY)
        assert f"MB free at {store.root}; nothing half-written" in str(caught.value)
    assert store.get("stage", KEY) is not None


# The cache


def test_a_copy_that_was_changed_is_brought_again(there: Path) -> None:
    path = opened(there).get_or_make("stage", KEY, Maker()).path
    (path / "weights").write_bytes(b"3" * 1000)
    entry = opened(there).get("stage", KEY)
    assert entry is not None
    assert entry.path == path
    assert (path / "weights").read_bytes() == b"1" * 1000


def test_a_folder_that_was_copied_there_is_a_store(there: Path) -> None:
    FolderStore(there).get_or_make("stage", KEY, Maker())
    maker = Maker()
    entry = opened(there).get_or_make("stage", KEY, maker)
    assert (maker.calls, entry.size_bytes) == (0, 1001)
    assert opened(there).keys("stage") == [KEY]
    assert opened(there).drop("stage", KEY)
    assert not FolderStore(there).has("stage", KEY)


def test_the_cache_is_a_store_that_can_be_cleared(there: Path) -> None:
    store = opened(there)
    store.get_or_make("stage", KEY, Maker())
    assert FolderStore(store.root).keys("stage") == [KEY]
    assert FolderStore(store.root).drop("stage", KEY)
    assert store.get("stage", KEY) is not None
    assert FolderStore(store.root).keys("stage") == [KEY]


def test_copies_of_what_is_gone_are_swept(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(there)
    store.get_or_make("stage", KEY, Maker())
    opened(there, monkeypatch).drop("stage", KEY)
    copy = store.root / "stage" / KEY
    assert copy.exists()
    store.sweep()
    assert not copy.exists()


def test_what_could_not_be_uploaded_is_not_swept(machine: Open, server: S3Server) -> None:
    server.trouble = lambda request: 403 if request.startswith("PUT") else None
    store, maker = machine("one"), Maker()
    with pytest.raises(StoreError):
        store.get_or_make("stage", KEY, maker)
    server.trouble = lambda _request: None
    store.sweep()
    store.get_or_make("stage", KEY, maker)
    assert maker.calls == 1


def test_what_a_killed_download_left_is_swept(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(there).get_or_make("stage", KEY, Maker())
    left = opened(there, monkeypatch).root / "stage" / f"{KEY}.123.partial"
    left.mkdir(parents=True)
    (left / "weights").write_text("half")
    assert opened(there, monkeypatch).get("stage", KEY) is not None
    assert not left.exists()


def test_the_cache_lies_in_the_users_folder_for_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAINTUNE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    one, two = (open_store(f"memory://bucket/{name}") for name in ("a", "a-"))
    assert one.root.parent == two.root.parent == tmp_path / "user" / "chaintune"
    assert one.root != two.root
    assert one.root.name.startswith("memory-bucket-a-")
    assert os.sep not in one.root.name


# Distrust: what lies behind a URL may have been written by anybody


def manifest_path(there: Path) -> Path:
    return there / "stage" / KEY / "manifest.json"


def rewritten(there: Path, change: Change) -> None:
    manifest = json.loads(manifest_path(there).read_bytes())
    change(manifest)
    manifest_path(there).write_text(json.dumps(sealed(manifest)))


def naming(name: str) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][name] = manifest["files"].pop("weights")
        manifest.pop("upload")

    return change


HOSTILE = [
    "../weights", "../../../weights", "/etc/weights", "sub/../../weights", "sub//weights", "./weights", "", "..",
    "..\\weights", "C:weights", "C:\\weights", "manifest.json", "a\nb", "weights/", "a*",
]  # fmt: skip
MALFORMED: list[Change] = [
    lambda manifest: manifest.pop("files"),
    lambda manifest: manifest.pop("format"),
    lambda manifest: manifest.pop("info"),
    lambda manifest: manifest.update(files=[]),
    lambda manifest: manifest.update(key="cd34"),
    lambda manifest: manifest.update(format=99),
    lambda manifest: manifest.update(upload="../../../../tmp"),
    lambda manifest: manifest.update(upload=7),
    lambda manifest: manifest.update(upload=[]),
    lambda manifest: manifest["files"].update(weights={"bytes": "1"}),
    lambda manifest: manifest["files"].update(weights={"bytes": 1, "mtime_ns": 1, "sha256": 5}),
    lambda manifest: manifest["files"].update(weights=None),
]


def assert_refused(there: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Another machine takes nothing of the entry, writes nothing outside its cache, and makes the entry anew."""
    other = opened(there, monkeypatch)
    before = {path for path in there.parent.rglob("*") if other.root not in path.parents}
    with caplog.at_level(logging.WARNING):
        assert other.get("stage", KEY) is None
    assert f"store entry file://{there}/stage/{KEY} is damaged" in caplog.text
    assert [path for path in (other.root / "stage").rglob("*") if path.is_file()] == []
    assert before == {path for path in there.parent.rglob("*") if other.root not in path.parents}
    assert other.damage("stage", KEY)
    assert other.peek("stage", KEY) is None
    assert is_damaged(other, "stage", KEY)
    assert list(other.entries("stage")) == []
    assert other.keys("stage") == [KEY]
    assert other.get_or_make("stage", KEY, Maker()).made
    assert other.damage("stage", KEY) == ""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_name_that_leads_elsewhere_is_never_written(
    name: str, there: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened(there).get_or_make("stage", KEY, Maker())
    rewritten(there, naming(name))
    assert_refused(there, monkeypatch, caplog)


@pytest.mark.parametrize("change", MALFORMED)
def test_a_manifest_of_another_shape_is_refused(
    change: Change, there: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened(there).get_or_make("stage", KEY, Maker())
    rewritten(there, change)
    assert_refused(there, monkeypatch, caplog)


@pytest.mark.parametrize("text", ["{", "[]", "null", "", '{"a": NaN}'])
def test_a_manifest_that_is_no_object_is_refused(
    text: str, there: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened(there).get_or_make("stage", KEY, Maker())
    manifest_path(there).write_text(text)
    assert_refused(there, monkeypatch, caplog)


def test_a_manifest_that_was_edited_is_refused(
    there: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened(there).get_or_make("stage", KEY, Maker())
    manifest_path(there).write_text(manifest_path(there).read_text().replace("1.5", "2.5"))
    assert_refused(there, monkeypatch, caplog)


@pytest.mark.parametrize("content", [b"3" * 1000, b"1" * 999, b""])
def test_bytes_are_checked_when_they_arrive(content: bytes, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(there)
    store.get_or_make("stage", KEY, Maker())
    (weights,) = there.glob(f"stage/{KEY}/*/weights")
    weights.write_bytes(content)
    other = opened(there, monkeypatch)
    assert other.get("stage", KEY) is None
    assert other.damage("stage", KEY) == "the bytes of weights were changed"
    assert other.read("stage", KEY, "weights") is None
    weights.unlink()
    assert other.get("stage", KEY) is None
    assert other.damage("stage", KEY) == "weights is missing"
    assert is_damaged(other, "stage", KEY)
    maker = Maker()
    assert other.get_or_make("stage", KEY, maker).made
    assert maker.calls == 1
    for one in (store, other):
        entry = one.get("stage", KEY)
        assert entry is not None
        assert (entry.path / "weights").read_bytes() == b"1" * 1000


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\b", "", "a//b"])
def test_a_name_that_is_not_plain_is_none(name: str) -> None:
    assert not is_plain(name)
