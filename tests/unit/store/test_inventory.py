"""What may go goes, the oldest first; damage is found in every byte."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest

from chaintune.errors import ConfigError
from chaintune.store.folder import FolderStore
from chaintune.store.inventory import Damaged, Rule, chosen, damaged, drop, inventory
from chaintune.store.manifest import Entry

NOW = datetime(2026, 6, 30, tzinfo=UTC)


def _make(folder: Path, *, size: int) -> dict[str, str]:
    (folder / "bytes").write_bytes(b"1" * size)
    return {}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path / "store")
    for kind, key, size in (("stage", "aa", 1000), ("stage", "bb", 10), ("score", "cc", 1)):
        store.get_or_make(kind, key, partial(_make, size=size))
    return store


def entry(key: str, days: int, size: int) -> Entry:
    made_at = (NOW - timedelta(days=days)).isoformat(timespec="seconds")
    return Entry("stage", key, Path(key), made_at, size, MappingProxyType({}))


AGED = [entry("old", 40, 5), entry("older", 30, 7), entry("new", 1, 100)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule(), []),
        (Rule(older_than=timedelta(days=35)), ["old"]),
        (Rule(older_than=timedelta(days=30)), ["old"]),
        (Rule(max_bytes=112), []),
        (Rule(max_bytes=107), ["old"]),
        (Rule(max_bytes=106), ["old", "older"]),
        (Rule(max_bytes=0), ["old", "older", "new"]),
        (Rule(older_than=timedelta(days=35), max_bytes=106), ["old", "older"]),
    ],
)
def test_what_goes_is_the_oldest(rule: Rule, expected: list[str]) -> None:
    assert [going.key for going in chosen(AGED, rule, now=NOW)] == expected


def test_the_inventory_is_of_the_kinds_that_were_asked_for(store: FolderStore) -> None:
    assert {(found.kind, found.key) for found in inventory(store)} == {
        ("stage", "aa"),
        ("stage", "bb"),
        ("score", "cc"),
    }
    assert [found.key for found in inventory(store, ["score"])] == ["cc"]
    with pytest.raises(ConfigError, match=r"holds nothing of kind 'stages'; did you mean 'stage'"):
        inventory(store, ["stages"])


def test_leases_are_no_entries(store: FolderStore) -> None:
    with store.lease(["aa"]):
        assert store.kinds() == ["score", "stage"]


def test_damage_is_found_in_every_entry(store: FolderStore) -> None:
    (store.root / "stage" / "aa" / "bytes").write_bytes(b"2" * 1000)
    (store.root / "score" / "cc" / "manifest.json").unlink()
    found = [trouble for trouble in damaged(store) if trouble]
    assert found == [
        Damaged("score", "cc", "manifest.json is no JSON object"),
        Damaged("stage", "aa", "the bytes of bytes were changed"),
    ]
    assert drop(store, found) == found
    assert list(damaged(store)) == [None]


def test_what_a_living_process_needs_stays(store: FolderStore) -> None:
    entries = inventory(store)
    with store.lease(["bb"]):
        assert {gone.key for gone in drop(store, entries)} == {"aa", "cc"}
    assert [found.key for found in inventory(store)] == ["bb"]
