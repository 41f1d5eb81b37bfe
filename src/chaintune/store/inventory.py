"""The entries of a store: listed, verified, removed by a rule."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chaintune.errors import ConfigError, nearest
from chaintune.store.store import Entry, Store


@dataclass(frozen=True, slots=True)
class Damaged:
    """An entry that is not as it was made.

    Attributes:
        why: the end of a sentence: `the bytes of model.safetensors were changed`.
    """

    kind: str
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Which entries to remove: those that any of the two limits names; with neither, none.

    Attributes:
        kinds: of entries; empty means all of them.
        older_than: entries made longer ago than this.
        max_bytes: the oldest entries, until what is left of these kinds is no larger.
    """

    kinds: tuple[str, ...] = ()
    older_than: timedelta | None = None
    max_bytes: int | None = None


def inventory(store: Store, kinds: Sequence[str] = ()) -> list[Entry]:
    """Every finished entry, of these kinds where some are named, the oldest first; bytes are not checked.

    Raises:
        ConfigError: a kind that the store does not hold.
    """
    there = store.kinds()
    for kind in kinds:
        if kind not in there:
            raise ConfigError(f"{store.address}: holds nothing of kind '{kind}'; {nearest(kind, there)}")
    entries = [entry for kind in kinds or there for entry in store.entries(kind)]
    return sorted(entries, key=lambda entry: (entry.created_at, entry.kind, entry.key))


def damaged(store: Store) -> Iterator[Damaged | None]:
    """Every entry read to the last byte, one at a time: what is wrong with it, or None."""
    for kind in store.kinds():
        for key in store.keys(kind):
            why = store.damage(kind, key)
            yield Damaged(kind, key, why) if why else None


def chosen(entries: Iterable[Entry], rule: Rule, *, now: datetime | None = None) -> list[Entry]:
    """Which entries, given the oldest first, a rule removes."""
    now, entries = now or datetime.now(UTC), list(entries)
    left = sum(entry.size_bytes for entry in entries)
    going = []
    for entry in entries:
        too_old = rule.older_than is not None and now - datetime.fromisoformat(entry.created_at) > rule.older_than
        too_much = rule.max_bytes is not None and left > rule.max_bytes
        if too_old or too_much:
            going.append(entry)
            left -= entry.size_bytes
    return going


def drop(store: Store, entries: Iterable[Entry | Damaged]) -> list[Entry | Damaged]:
    """Remove entries, except those that a living process still needs; those that are gone."""
    chosen = list(entries)
    for entry in chosen:
        store.drop(entry.kind, entry.key, unless_leased=True)
    left = {(kind, key) for kind in store.kinds() for key in store.keys(kind)}
    return [entry for entry in chosen if (entry.kind, entry.key) not in left]
