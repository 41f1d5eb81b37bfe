"""An address is a folder or a URL, and neither is taken for the other."""

from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import StoreError
from chaintune.store.address import open_store
from chaintune.store.folder import FolderStore
from chaintune.store.store import default_address, hidden, is_url
from tests.unit.store.entries import KEY, Maker


def test_the_default_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CHAINTUNE_STORE", raising=False)
    assert default_address() == ".chaintune"
    monkeypatch.setenv("CHAINTUNE_STORE", str(tmp_path))
    assert default_address() == str(tmp_path)
    assert open_store().root == tmp_path


def test_a_folder_is_opened_by_its_address(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.get_or_make("stage", KEY, Maker())
    again = open_store(store.address)
    assert type(again) is FolderStore
    assert open_store(again) is again
    assert again.has("stage", KEY)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://bucket/x", True),
        ("simplecache::s3://bucket/x", True),
        ("memory://x", True),
        ("stores/mine", False),
        ("/stores/mine", False),
        ("C:\\stores", False),
        ("C://stores", False),
        (Path("/stores"), False),
    ],
)
def test_which_addresses_are_urls(address: str | Path, expected: bool) -> None:
    assert is_url(address) is expected


def test_a_url_never_becomes_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="a URL as a Path has lost a slash; pass it as text"):
        open_store(Path("s3://bucket/prefix"))
    monkeypatch.setenv("CHAINTUNE_STORE", "memory://bucket")
    with pytest.raises(StoreError, match=r"memory://bucket: is a URL, not a folder"):
        FolderStore()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address", [Path("s3://me:secret@bucket/x"), "s3:/me:secret@bucket/x", "https://secret@host/x"]
)
def test_no_refusal_tells_a_secret(address: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(Path(address) if "://" not in str(address) else address)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("CHAINTUNE_STORE", str(address))
    assert "secret" not in hidden(default_address())


@pytest.mark.parametrize("address", ["stores/a@b:c", "file:///home/me@work/x", "/a:b@c", "memory://a@b", "s3://b/a@c"])
def test_what_is_no_secret_is_shown(address: str) -> None:
    assert hidden(address) == address


@pytest.mark.parametrize("address", [3, b"x", ["a"], "a\0b"])
def test_what_is_no_address_is_refused_in_a_sentence(address: Any) -> None:
    with pytest.raises(StoreError, match=r"expected a folder, a URL, or an open store|no folder can have this name"):
        open_store(address)
