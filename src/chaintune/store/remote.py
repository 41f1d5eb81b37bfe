"""The store behind a URL.

URL/<kind>/<key>/<digest>/<file>     named by what they contain, so that writing them twice writes the same
URL/<kind>/<key>/manifest.json       written last, if there is none; an entry without it does not exist

Entries are made in, and read from, a folder of this machine, the cache, which is a store of its own. No machine
hears of another: two may make the same entry, of which the first that is whole stays.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

from chaintune.files.disk import os_errors_as_store_error
from chaintune.store.bucket import Bucket, connect
from chaintune.store.folder import FolderStore
from chaintune.store.manifest import (
    MANIFEST,
    TIMES_MADE,
    Entry,
    digest_of,
    entry_of,
    load_manifest,
    parse_manifest,
    sealed,
    trouble_of,
)
from chaintune.store.store import Lease, Make, checked_name, is_name

STALE = timedelta(days=1)

_AT_ONCE = 16
_UPLOADED = "uploaded"  # a note in the cache: what lies there is, or was, in the bucket too
_log = logging.getLogger(__name__)
Manifest = Mapping[str, Any]


class RemoteStore:
    """Finished work behind a URL.

    `get` and `get_or_make` bring an entry's files into the cache; the paths that `peek` and `entries` tell are where
    they lie if they were brought before.

    Attributes:
        root: the cache.
        address: the URL.
        shares_leases: never; processes of other machines see none.
    """

    shares_leases: bool = False

    def __init__(self, url: str) -> None:
        self._bucket: Bucket = connect(url)
        self.address = self._bucket.address
        self._cache = FolderStore(cache_folder(self.address))
        self.root = self._cache.root
        self._warned: set[str] = set()

    def has(self, kind: str, key: str) -> bool:
        """Whether a finished entry is there; its bytes are not checked."""
        return self._bucket.size(_manifest_name(kind, key)) is not None

    def peek(self, kind: str, key: str) -> Entry | None:
        """The finished entry; None where there is none. Sizes are checked, no file is brought here."""
        manifest = self._manifest(kind, key)
        if manifest is None:
            return None
        sizes = {name: size for name, (size, _) in self._bucket.objects(f"{kind}/{key}").items()}
        whole = all(sizes.get(_file_name(manifest, name)) == file["bytes"] for name, file in manifest["files"].items())
        return entry_of(self._cache.folder(kind, key), manifest) if whole else None

    def get(self, kind: str, key: str) -> Entry | None:
        """The finished entry, brought here unless a sound copy is; None where there is none, or a damaged one."""
        name = _manifest_name(kind, key)
        content = self._bucket.read(name)
        while content is not None:
            manifest = parse_manifest(content)
            trouble = trouble_of(manifest, kind, key)
            try:
                if not trouble:
                    return self._brought(manifest)
            except _DamageError as error:
                trouble = str(error)
            content, before = self._bucket.read(name), content
            if content == before:
                self._warn(f"store entry {self.address}/{kind}/{key} is damaged ({trouble}); it will be rebuilt")
                return None
        return None

    def read(self, kind: str, key: str, name: str) -> bytes | None:
        """One file of a finished entry, without the others; None where there is none, or where its bytes changed."""
        manifest = self._manifest(kind, key)
        if manifest is None or name not in manifest["files"]:
            return None
        content = self._bucket.read(_file_name(manifest, name))
        sound = content is not None and sha256(content).hexdigest() == manifest["files"][name]["sha256"]
        return content if sound else None

    def get_or_make(self, kind: str, key: str, make: Make) -> Entry:
        """The finished entry, made now by one process of this machine if it is not there.

        What was made before and could not be uploaded is uploaded now.
        """
        return self.get(kind, key) or self._published(self._cache.get_or_make(kind, key, make))

    def is_being_made(self, kind: str, key: str) -> bool:
        """Whether a process of this machine makes the entry now."""
        return self._cache.is_being_made(kind, key)

    def damage(self, kind: str, key: str) -> str:
        """The damage of an entry, every byte of it read from the bucket; empty when it is whole."""
        manifest = parse_manifest(self._bucket.read(_manifest_name(kind, key)) or b"")
        if trouble := trouble_of(manifest, kind, key):
            return trouble
        try:
            for name in manifest["files"]:
                for _ in self._checked(manifest, name):
                    pass
        except _DamageError as error:
            return str(error)
        return ""

    def kinds(self) -> list[str]:
        """The kinds of entries that are there, sorted."""
        return [name for name in self._bucket.folders() if is_name(name)]

    def keys(self, kind: str) -> list[str]:
        """The keys of a kind, sorted, of damaged entries too."""
        there = self._bucket.objects(checked_name(kind, "kind"))
        return sorted(key for name in there if name.endswith(f"/{MANIFEST}") and is_name(key := name.split("/")[1]))

    def entries(self, kind: str) -> Iterator[Entry]:
        """Every finished entry of a kind, sorted by key; bytes are not checked."""
        keys = self.keys(kind)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            manifests = list(pool.map(lambda key: self._manifest(kind, key), keys))
        for key, manifest in zip(keys, manifests, strict=True):
            if manifest:
                yield entry_of(self._cache.folder(kind, key), manifest)

    def lease(self, keys: Iterable[str]) -> AbstractContextManager[Lease]:
        """A note to other processes of this machine that this one will read the entries of these keys."""
        return self._cache.lease(keys)

    def drop(
        self, kind: str, key: str, *, unless_leased: bool = False, spared: Callable[[Entry], bool] | None = None
    ) -> bool:
        """Remove an entry and its copy here; whether it was there and is gone. Leases of this machine count."""
        if spared and (entry := self.peek(kind, key)) and spared(entry):
            return False
        if unless_leased and self._cache.is_leased(key):
            return False
        there = self.has(kind, key)
        self._bucket.remove([_manifest_name(kind, key)] if there else [])
        self._bucket.remove(self._bucket.objects(f"{kind}/{key}"))
        self._cache.drop(kind, key, unless_leased=unless_leased)
        return there

    def annotate(self, kind: str, key: str, **info: Any) -> None:
        """Change what is noted about an entry; its files stay as they are."""
        if manifest := self._manifest(kind, key):
            annotated = sealed({**manifest, "info": manifest["info"] | info})
            self._bucket.write(_manifest_name(kind, key), _bytes(annotated))

    def sweep(self) -> None:
        """Remove uploads that were cut off a day ago, and copies of entries that are gone."""
        self._cache.sweep()
        for kind in self.kinds():
            self._sweep_uploads(kind)
        for kind in self._cache.kinds():
            for copy in self._cache.entries(kind):
                if copy.info.get(_UPLOADED) and not self.has(kind, copy.key):
                    self._cache.drop(kind, copy.key, unless_leased=True)

    def _sweep_uploads(self, kind: str) -> None:
        """Remove what no manifest names, of folders to which nothing was added for a day."""
        uploads: dict[tuple[str, str], dict[str, datetime]] = {}
        for name, (_, written_at) in self._bucket.objects(kind).items():
            _, key, *rest = name.split("/")
            if len(rest) > 1 and is_name(key):
                uploads.setdefault((key, rest[0]), {})[name] = written_at
        for (key, upload), files in uploads.items():
            if max(files.values()) < datetime.now(UTC) - STALE:
                manifest = self._manifest(kind, key)
                if manifest is None or manifest.get("upload") not in {None, upload}:
                    self._bucket.remove(files)

    def _manifest(self, kind: str, key: str) -> Manifest | None:
        """The manifest of an entry; None where there is none, or where it is not as it was written."""
        manifest = parse_manifest(self._bucket.read(_manifest_name(kind, key)) or b"")
        return None if trouble_of(manifest, kind, key) else manifest

    def _brought(self, manifest: Manifest) -> Entry:
        """An entry whose files are in the cache, fetched now if need be; an error where the bucket lacks some."""
        kind, key = manifest["kind"], manifest["key"]

        def fetch(folder: Path) -> Manifest:
            for name, file in manifest["files"].items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as stream:
                    stream.writelines(self._checked(manifest, name))
                os.utime(path, ns=(file["mtime_ns"], file["mtime_ns"]))
            return {**manifest["info"], _UPLOADED: True}

        with self._transferring(kind, key):
            while self._cache.get_or_make(kind, key, fetch).digest != digest_of(manifest["files"]):
                self._cache.drop(kind, key)
        return entry_of(self._cache.folder(kind, key), manifest)

    def _checked(self, manifest: Manifest, name: str) -> Iterator[bytes]:
        """The bytes of a file of the bucket, a part at a time, and an error behind the last where they are damaged."""
        file, digest = manifest["files"][name], sha256()
        try:
            for part in self._bucket.chunks(_file_name(manifest, name), file["bytes"]):
                digest.update(part)
                yield part
        except FileNotFoundError as error:
            raise _DamageError(f"{name} is missing") from error
        if digest.hexdigest() != file["sha256"]:
            raise _DamageError(f"the bytes of {name} were changed")

    def _published(self, copy: Entry) -> Entry:
        """An entry of the cache, uploaded; or the one that another machine uploaded before."""
        kind, key = copy.kind, copy.key
        with self._transferring(kind, key):
            if not copy.made and (entry := self.get(kind, key)):
                return entry
            info = {word: value for word, value in copy.info.items() if word != _UPLOADED}
            manifest = sealed(load_manifest(copy.path / MANIFEST) | {"info": info, "upload": copy.digest})
            for name in manifest["files"]:
                self._bucket.upload(copy.path / name, _file_name(manifest, name))
            name, content = _manifest_name(kind, key), _bytes(manifest)
            if not self._bucket.create(name, content):
                if entry := self.get(kind, key):
                    _log.warning("%s/%s was made twice: another machine had finished it first", kind, key)
                    self.annotate(kind, key, **{TIMES_MADE: entry.info.get(TIMES_MADE, 1) + 1})
                    return replace(entry, made=copy.made, duplicate=copy.made)
                self._bucket.write(name, content)  # in place of a damaged one
            self._cache.annotate(kind, key, **{_UPLOADED: True})
        return entry_of(copy.path, manifest, made=copy.made)

    @contextmanager
    def _transferring(self, kind: str, key: str) -> Iterator[None]:
        """While this lasts, no other process of this machine brings or uploads the same entry."""
        folder = self.root / ".transfers"
        with os_errors_as_store_error(self.root, "the cache cannot be written"):
            folder.mkdir(exist_ok=True)
        with FileLock(folder / f"{kind}.{key}.lock", is_singleton=True):  # of a process, so that it may be taken twice
            yield

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            _log.warning(text)


class _DamageError(Exception):
    """The bucket does not hold what a manifest says; the end of a sentence."""


def cache_folder(address: str) -> Path:
    """The folder of copies of a store's entries: below `CHAINTUNE_CACHE`, else below the user's folder for caches."""
    shared = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    top = Path(os.environ.get("CHAINTUNE_CACHE") or Path(shared) / "chaintune")
    readable = re.sub(r"[^0-9A-Za-z]+", "-", address).strip("-")[:60]
    return top.expanduser().absolute() / f"{readable}-{sha256(address.encode()).hexdigest()[:8]}"


def _manifest_name(kind: str, key: str) -> str:
    return f"{checked_name(kind, 'kind')}/{checked_name(key, 'key')}/{MANIFEST}"


def _file_name(manifest: Manifest, name: str) -> str:
    """The name of a file of an entry in the bucket; without an upload as in a folder that was copied there."""
    parts = (manifest["kind"], manifest["key"], manifest.get("upload"), name)
    return "/".join(part for part in parts if part)


def _bytes(manifest: Manifest) -> bytes:
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
