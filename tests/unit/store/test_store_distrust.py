"""What lies behind a URL may have been written by anybody: it is checked before anything is written here."""

import errno
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import StoreError
from chaintune.store.address import open_store
from chaintune.store.manifest import is_plain, sealed
from chaintune.store.remote import claim
from chaintune.store.remote.connect import connect
from chaintune.store.store import Store
from tests.unit.store.entries import KEY, Maker

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAINTUNE_CACHE", str(tmp_path / "caches" / "one"))
    return tmp_path / "there"


def opened(there: Path, monkeypatch: pytest.MonkeyPatch | None = None) -> Store:
    """The store; with `monkeypatch` as another machine sees it."""
    if monkeypatch:
        monkeypatch.setenv("CHAINTUNE_CACHE", str(there.with_name("caches") / "two"))
    return open_store(f"file://{there.as_posix()}")


def manifest_path(there: Path) -> Path:
    return there / "stage" / KEY / "manifest.json"


def rewritten(there: Path, change: Change) -> None:
    manifest = json.loads(manifest_path(there).read_bytes())
    change(manifest)
    manifest_path(there).write_text(json.dumps(sealed(manifest)))


def naming(name: str) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][name] = manifest["files"].pop("weights")

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
    lambda manifest: manifest["files"].update(weights={"bytes": "1"}),
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
    assert other.is_damaged("stage", KEY)
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


def weights(there: Path) -> Path:
    (found,) = there.glob(f"stage/{KEY}/*/weights")
    return found


def test_bytes_are_checked_when_they_arrive(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(there)
    store.get_or_make("stage", KEY, Maker())
    weights(there).write_bytes(b"3" * 1000)
    other = opened(there, monkeypatch)
    assert other.get("stage", KEY) is None
    assert other.damage("stage", KEY) == "the bytes of weights were changed"
    assert other.read("stage", KEY, "weights") is None
    weights(there).unlink()
    assert other.get("stage", KEY) is None
    assert other.damage("stage", KEY) == "weights is missing"
    assert other.is_damaged("stage", KEY)
    maker = Maker()
    assert other.get_or_make("stage", KEY, maker).made
    assert maker.calls == 1
    for one in (store, other):
        entry = one.get("stage", KEY)
        assert entry is not None
        assert (entry.path / "weights").read_bytes() == b"1" * 1000


def test_a_copy_that_was_changed_is_brought_again(there: Path) -> None:
    path = opened(there).get_or_make("stage", KEY, Maker()).path
    (path / "weights").write_bytes(b"3" * 1000)
    entry = opened(there).get("stage", KEY)
    assert entry is not None
    assert entry.path == path
    assert (path / "weights").read_bytes() == b"1" * 1000


def test_a_folder_that_was_copied_there_is_a_store(there: Path) -> None:
    Store(there).get_or_make("stage", KEY, Maker())
    maker = Maker()
    entry = opened(there).get_or_make("stage", KEY, maker)
    assert (maker.calls, entry.size_bytes) == (0, 1001)
    assert opened(there).keys("stage") == [KEY]
    assert opened(there).drop("stage", KEY)
    assert not Store(there).has("stage", KEY)


def test_the_cache_is_a_store_that_can_be_cleared(there: Path) -> None:
    store = opened(there)
    store.get_or_make("stage", KEY, Maker())
    assert Store(store.root).keys("stage") == [KEY]
    assert Store(store.root).drop("stage", KEY)
    assert store.get("stage", KEY) is not None
    assert Store(store.root).keys("stage") == [KEY]


def test_copies_of_what_is_gone_are_swept(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(there)
    store.get_or_make("stage", KEY, Maker())
    opened(there, monkeypatch).drop("stage", KEY)
    copy = store.root / "stage" / KEY
    assert copy.exists()
    store.sweep()
    assert not copy.exists()


def test_what_a_killed_download_left_is_swept(there: Path) -> None:
    store = opened(there)
    left = store.root / ".fetching" / "stage.ab12"
    left.mkdir(parents=True)
    (left / "weights").write_text("half")
    opened(there)
    assert not left.exists()


def test_what_a_killed_download_left_does_not_stand_in_the_way(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(there).get_or_make("stage", KEY, Maker())
    other = opened(there, monkeypatch)
    left = other.root / ".fetching" / f"stage.{KEY}"
    left.mkdir(parents=True)
    (left / "weights").write_text("half")
    assert other.get("stage", KEY) is not None


def test_a_lease_that_is_being_written_or_is_none_is_passed_over(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(there)
    store.get_or_make("stage", KEY, Maker())
    (there / ".leases").mkdir()
    half, odd = there / ".leases" / "ab.json.12.partial", there / ".leases" / "odd.json"
    half.write_bytes(claim.told(cache="elsewhere", keys=[KEY]))
    odd.write_bytes(claim.told(cache="elsewhere", keys=5))
    assert store.drop("stage", KEY, unless_leased=True)
    assert half.exists()


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\b", "", "a//b"])
def test_a_name_that_is_not_plain_is_none(name: str) -> None:
    assert not is_plain(name)


def test_a_bucket_refuses_names_outside_itself(there: Path) -> None:
    bucket = connect(f"file://{there.as_posix()}")
    for name in ("../x", "/x", "a/../../x"):
        with pytest.raises(StoreError, match="is not a name below the store's own"):
            bucket.write(name, b"")
        with pytest.raises(StoreError, match="is not a name below the store's own"):
            bucket.remove_all(name)


def test_a_mount_without_hard_links_serves_too(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(_source: Path, _target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    bucket = connect(f"file://{there.as_posix()}")
    assert bucket.create("a", b"1")
    assert not bucket.create("a", b"2")
    assert bucket.read("a") == b"1"
    store, maker = opened(there), Maker()
    assert [store.get_or_make("stage", KEY, maker).made for _ in range(2)] == [True, False]
    assert list(there.rglob("*.partial")) == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("gcss://bucket/x", r"gcss://bucket/x: protocol 'gcss' is not known; did you mean 'gcs'\? Valid: "),
        ("simplecache::s3://bucket/x", "a store lies behind one protocol, not behind a chain of them"),
        ("sftp://me:secret@host/x", "^sftp://host/x: credentials do not belong into an address"),
        ("s3://bucket/../x", r"expected protocol://place/prefix, without '\.\.'"),
        ("s3://bucket/x?a=b", r"expected protocol://place/prefix, without '\.\.'"),
        ("s3://", "s3://: names no place, such as a bucket or a folder"),
    ],
)
def test_a_url_that_cannot_be_meant(url: str, sentence: str, there: Path) -> None:
    with pytest.raises(StoreError, match=sentence) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_package_that_is_missing_is_named(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(StoreError, match=r"^abfs:// needs a package that is not installed: pip install adlfs$"):
        open_store("abfs://bucket/x")


def test_the_cache_lies_in_the_users_folder_for_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAINTUNE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    one, two = (open_store(f"memory://bucket/{name}") for name in ("a", "a-"))
    assert one.root.parent == two.root.parent == tmp_path / "user" / "chaintune"
    assert one.root != two.root
    assert one.root.name.startswith("memory-bucket-a-")
    assert os.sep not in one.root.name
