"""The store behind a URL.

URL/<kind>/<key>/manifest.json       written last; an entry without it does not exist
URL/<kind>/<key>/<upload>/<file>     what the manifest's `upload` names; any other upload was cut off
URL/.claims/<kind>/<key>.json        somebody makes, rebuilds or drops this entry
URL/.leases/<id>.json                somebody will read these keys

Entries are made in, and read from, a folder of this machine, the cache, which is a store of its own.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from chaintune.files import atomic
from chaintune.files.disk import os_errors_as_store_error
from chaintune.store.lease import Lease
from chaintune.store.manifest import (
    MANIFEST,
    Entry,
    damage_of,
    entry_of,
    load,
    parse,
    sealed,
    sha256_of,
    trouble_from_afar,
)
from chaintune.store.remote.claim import Claims, Pulse
from chaintune.store.remote.connect import connect
from chaintune.store.remote.lease import RemoteLease, is_leased
from chaintune.store.store import LEASES, Make, Store, checked_name, is_name

STALE_SECONDS = 24 * 3600.0
HELD = (".claims", ".leases", ".clock")

_UPLOAD = re.compile(r"[0-9a-f]{12}")
_AT_ONCE = 16
Manifest = Mapping[str, Any]


class RemoteStore(Store):
    """Finished work behind a URL, with the methods and the meaning of `Store`.

    `get` and `get_or_make` bring an entry's files into the cache; the paths that `peek` and `entries` tell are where
    they lie if they were brought before.
    """

    def __init__(self, url: str) -> None:
        self._bucket = connect(url)
        super().__init__(cache_folder(self.address))
        self._cache_id = self._identity()
        self._pulse = Pulse(self._bucket)
        self._claims = Claims(self._bucket, self._pulse, self._cache_id)

    @property
    def address(self) -> str:
        """What `open_store` opens this store by, on another machine too."""
        return self._bucket.address

    def has(self, kind: str, key: str) -> bool:
        """Whether a finished entry is there; its bytes are not checked."""
        return self._bucket.size(self._manifest_name(kind, key)) is not None

    def peek(self, kind: str, key: str) -> Entry | None:
        """The finished entry; None where there is none. Sizes are checked, no file is brought here."""
        manifest = self._sound_manifest(kind, key)
        if manifest is None or any(self._missing(manifest, name) for name in manifest["files"]):
            return None
        return entry_of(self._folder(kind, key), manifest)

    def read(self, kind: str, key: str, name: str) -> bytes | None:
        """One file of a finished entry, without the others; None where there is none, or where its bytes changed."""
        manifest = self._sound_manifest(kind, key) or {}
        told = manifest.get("files", {}).get(name)
        content = self._bucket.read(_file_name(manifest, name)) if told else None
        return content if content is not None and sha256(content).hexdigest() == told["sha256"] else None

    def damage(self, kind: str, key: str) -> str:
        """What is wrong with an entry, every byte of it read; empty when nothing is."""
        manifest = parse(self._bucket.read(self._manifest_name(kind, key)) or b"")
        if trouble := _trouble(manifest, kind, key):
            return trouble
        for name, told in manifest["files"].items():
            digest = self._bucket.digest(_file_name(manifest, name))
            if digest != told["sha256"]:
                return f"{name} is missing" if digest is None else f"the bytes of {name} were changed"
        return ""

    def kinds(self) -> list[str]:
        """The kinds of entries that are there, sorted."""
        return [name for name in self._bucket.folders() if is_name(name)]

    def keys(self, kind: str) -> list[str]:
        """The keys of a kind, sorted, of damaged entries too."""
        found = [name for name in self._bucket.folders(checked_name(kind, "kind")) if is_name(name)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            there = list(pool.map(lambda key: self.has(kind, key), found))
        return [key for key, is_there in zip(found, there, strict=True) if is_there]

    def entries(self, kind: str) -> Iterator[Entry]:
        """Every finished entry of a kind, sorted by key; bytes are not checked."""
        found = [name for name in self._bucket.folders(checked_name(kind, "kind")) if is_name(name)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            manifests = list(pool.map(lambda key: self._sound_manifest(kind, key), found))
        for key, manifest in zip(found, manifests, strict=True):
            if manifest:
                yield entry_of(self._folder(kind, key), manifest)

    @contextmanager
    def lease(self, keys: Iterable[str]) -> Iterator[Lease]:
        """A note to processes everywhere that this one will read the entries of these keys."""
        lease = RemoteLease(self.root / LEASES, keys, bucket=self._bucket, pulse=self._pulse, cache_id=self._cache_id)
        with os_errors_as_store_error(self.root, "the cache cannot be written"), self._leases_still():
            lease.take()
        try:
            yield lease
        finally:
            lease.end()

    def annotate(self, kind: str, key: str, **info: Any) -> None:
        """Change what is noted about an entry; its files stay as they are."""
        with self._locked(kind, key):
            if manifest := self._sound_manifest(kind, key):
                noted = {**manifest, "info": manifest["info"] | info}
                self._bucket.write(self._manifest_name(kind, key), _bytes(sealed(noted)))

    def sweep(self) -> None:
        """Remove uploads that were cut off a day ago, what the dead held, and copies of entries that are gone."""
        super().sweep()
        for folder in HELD:
            for name in list(self._bucket.objects(folder)):
                if (self._bucket.age_seconds(name) or 0.0) > STALE_SECONDS:
                    self._bucket.remove(name)
        for kind in self.kinds():
            for key in self._bucket.folders(kind):
                if is_name(key):
                    self._sweep_uploads(kind, key, (self._sound_manifest(kind, key) or {}).get("upload"))
        for copy in self.root.glob(f"*/*/{MANIFEST}"):
            kind, key = copy.parent.parent.name, copy.parent.name
            if is_name(kind) and is_name(key) and (load(copy) or {}).get("upload") and not self.has(kind, key):
                atomic.remove_atomically(copy.parent)

    def _manifest_name(self, kind: str, key: str) -> str:
        return f"{checked_name(kind, 'kind')}/{checked_name(key, 'key')}/{MANIFEST}"

    def _sound_manifest(self, kind: str, key: str) -> Manifest | None:
        manifest = parse(self._bucket.read(self._manifest_name(kind, key)) or b"")
        return None if _trouble(manifest, kind, key) else manifest

    def _missing(self, manifest: Manifest, name: str) -> bool:
        return bool(self._bucket.size(_file_name(manifest, name)) != manifest["files"][name]["bytes"])

    def _is_leased(self, key: str) -> bool:
        return is_leased(self._bucket, key, local=self.root / LEASES, cache_id=self._cache_id)

    def _remove(self, kind: str, key: str) -> None:
        self._bucket.remove(self._manifest_name(kind, key))
        self._bucket.remove_all(f"{kind}/{key}")
        with self._cache_locked(kind, key):
            super()._remove(kind, key)

    @contextmanager
    def _locked(self, kind: str, key: str) -> Iterator[None]:
        with super()._locked(kind, key), self._claims.held(kind, key):
            yield

    @contextmanager
    def _cache_locked(self, kind: str, key: str) -> Iterator[Path]:
        """The place where a copy of an entry is written before it appears in the cache, held by one process."""
        place = self._fetching / f"{kind}.{key}"
        with os_errors_as_store_error(self.root, "the cache cannot be written"):
            self._fetching.mkdir(exist_ok=True)
        with FileLock(place.with_name(f"{place.name}.lock")):
            shutil.rmtree(place, ignore_errors=True)  # of a download that was killed
            try:
                yield place
            finally:
                shutil.rmtree(place, ignore_errors=True)

    @property
    def _fetching(self) -> Path:
        return self.root / ".fetching"

    def _read(self, kind: str, key: str) -> Entry | None:
        """The entry, its files brought here; they may be gone when another process replaces or drops it meanwhile."""
        name, trouble, content = self._manifest_name(kind, key), "", self._bucket.read(f"{kind}/{key}/{MANIFEST}")
        while content is not None:
            manifest = parse(content)
            trouble = _trouble(manifest, kind, key) or self._bring(manifest, content)
            if not trouble:
                self._verified.add((kind, key))
                return entry_of(self._folder(kind, key), manifest)
            content, before = self._bucket.read(name), content
            if content == before:
                self._warn(f"store entry {self.address}/{kind}/{key} is damaged ({trouble}); it will be rebuilt")
                return None
        return None

    def _bring(self, manifest: Manifest, content: bytes) -> str:
        """Make the cache hold what a manifest tells; what is wrong with the store's files, empty when nothing is."""
        kind, key = manifest["kind"], manifest["key"]
        folder = self._folder(kind, key)
        with os_errors_as_store_error(self.root, "the cache cannot be written"), self._cache_locked(kind, key) as place:
            copy = self._sound_copy(kind, key)
            if copy is None or copy["files"] != manifest["files"]:
                return self._fetch(manifest, content, place)
            if copy != manifest:  # only the notes changed
                atomic.write_bytes(folder / MANIFEST, content, durable=False)
        return ""

    def _sound_copy(self, kind: str, key: str) -> Manifest | None:
        """The manifest of an entry in the cache, its bytes checked at the first look of this process."""
        folder = self._folder(kind, key)
        copy = load(folder / MANIFEST)
        return None if damage_of(folder, copy, deep=(kind, key) not in self._verified) else copy

    def _fetch(self, manifest: Manifest, content: bytes, place: Path) -> str:
        folder = self._folder(manifest["kind"], manifest["key"])
        place.mkdir()
        for name, told in manifest["files"].items():
            path = place / name
            if not self._bucket.download(_file_name(manifest, name), path):
                return f"{name} is missing"
            if path.stat().st_size != told["bytes"] or sha256_of(path) != told["sha256"]:
                return f"the bytes of {name} were changed"
            os.utime(path, ns=(told["mtime_ns"], told["mtime_ns"]))
        (place / MANIFEST).write_bytes(content)
        atomic.remove_atomically(folder)
        folder.parent.mkdir(exist_ok=True)
        place.rename(folder)  # not pushed to the disk: a copy is checked when a process first reads it
        return ""

    def _make(self, kind: str, key: str, make: Make) -> Entry:
        """An entry of the cache, made now unless it was left over, uploaded."""
        folder = self._folder(kind, key)
        if copy := self._sound_copy(kind, key):  # its upload failed, or another machine dropped the entry
            self._verified.add((kind, key))
            entry = entry_of(folder, copy)
        else:
            entry = super()._make(kind, key, make)
        return self._upload(entry, load(folder / MANIFEST))

    def _upload(self, entry: Entry, manifest: dict[str, Any]) -> Entry:
        kind, key, folder = entry.kind, entry.key, entry.path
        manifest = sealed(manifest | {"upload": uuid4().hex[:12]})
        for name in manifest["files"]:
            self._bucket.upload(folder / name, _file_name(manifest, name))
        content = _bytes(manifest)
        if not self._bucket.create(self._manifest_name(kind, key), content):
            if other := self._read(kind, key):  # made elsewhere meanwhile, equal in all that the key determines
                self._bucket.remove_all(f"{kind}/{key}/{manifest['upload']}")
                return replace(other, made=entry.made)
            self._bucket.write(self._manifest_name(kind, key), content)
        with os_errors_as_store_error(self.root, "the cache cannot be written"), self._cache_locked(kind, key):
            atomic.write_bytes(folder / MANIFEST, content, durable=False)
        self._sweep_uploads(kind, key, manifest["upload"])
        return entry

    def _publish(self, partial: Path, folder: Path) -> None:
        with self._cache_locked(folder.parent.name, folder.name):
            atomic.remove_atomically(folder)
            super()._publish(partial, folder)

    def _sweep_uploads(self, kind: str, key: str, named: str | None) -> None:
        """Remove uploads of an entry that its manifest does not name and that nothing was added to for a day."""
        for upload in self._bucket.folders(f"{kind}/{key}"):
            if _UPLOAD.fullmatch(upload) and upload != named:
                files = list(self._bucket.objects(f"{kind}/{key}/{upload}"))
                ages = [age for name in files if (age := self._bucket.age_seconds(name)) is not None]
                if min(ages, default=0.0) > STALE_SECONDS:
                    self._bucket.remove_all(f"{kind}/{key}/{upload}")

    def _sweep(self) -> None:
        super()._sweep()
        for place in [path for path in self._fetching.glob("*") if path.is_dir()]:
            with suppress(Timeout), FileLock(place.with_name(f"{place.name}.lock"), blocking=False):
                shutil.rmtree(place, ignore_errors=True)

    def _identity(self) -> str:
        """A word that tells this cache from any other."""
        path = self.root / ".identity"
        with os_errors_as_store_error(self.root, "the cache cannot be written"), FileLock(path.with_suffix(".lock")):
            if not path.exists():
                atomic.write_bytes(path, uuid4().hex.encode())
            return path.read_text(encoding="ascii")


def cache_folder(address: str) -> Path:
    """Where copies of a store's entries lie: below `CHAINTUNE_CACHE`, else below the user's folder for caches."""
    asked = os.environ.get("CHAINTUNE_CACHE")
    usual = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    top = Path(asked) if asked else Path(usual) / "chaintune"
    readable = re.sub(r"[^0-9A-Za-z]+", "-", address).strip("-")[:60]
    return top.expanduser().absolute() / f"{readable}-{sha256(address.encode()).hexdigest()[:8]}"


def _trouble(manifest: Any, kind: str, key: str) -> str:
    if trouble := trouble_from_afar(manifest, kind, key):
        return trouble
    upload = manifest.get("upload")
    return "" if upload is None or _UPLOAD.fullmatch(str(upload)) else f"{MANIFEST} names no upload"


def _file_name(manifest: Manifest, name: str) -> str:
    """Where a file of an entry lies. Without an upload beside the manifest, as in a folder that was copied there."""
    parts = (manifest["kind"], manifest["key"], manifest.get("upload"), name)
    return "/".join(part for part in parts if part)


def _bytes(manifest: Manifest) -> bytes:
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
