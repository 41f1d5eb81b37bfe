"""The manifest of an entry of a store: its files with their digests, its kind and key, its maker's notes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from chaintune.files.reading import sha256_of
from chaintune.records import canonical_digest

FORMAT = 1
_FILE = {"bytes": int, "mtime_ns": int, "sha256": str}
MANIFEST = "manifest.json"
TIMES_MADE = "times_made"  # noted where machines that did not know of each other made the same entry


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished entry of the store.

    Attributes:
        path: the folder on this machine.
        info: what its maker noted about it (tokens, seconds, ...).
        digest: of its files' names and contents.
        made: this call made it; False when it was there already.
        duplicate: this call made it, and another machine had finished it first.
    """

    kind: str
    key: str
    path: Path
    created_at: str
    size_bytes: int
    info: Mapping[str, Any]
    digest: str = ""
    made: bool = field(default=False, compare=False)
    duplicate: bool = field(default=False, compare=False)


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and digest of every file under a folder, the manifest apart."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / MANIFEST]
    return {path.relative_to(folder).as_posix(): _fingerprint(path) for path in paths}


def _fingerprint(path: Path) -> dict[str, Any]:
    facts = path.stat()
    return {"bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns, "sha256": sha256_of(path)}


def digest_of(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Digest of the names and contents of an entry's files."""
    return canonical_digest({name: file["sha256"] for name, file in files.items()})[:12]


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with a digest of itself, so that a change of it shows too."""
    body = {name: value for name, value in manifest.items() if name != "digest"}
    return body | {"digest": canonical_digest(body)}


def load_manifest(path: Path) -> Any:
    """The content of a manifest; None where there is none, or no JSON."""
    try:
        return parse_manifest(path.read_bytes())
    except FileNotFoundError:
        return None


def parse_manifest(content: bytes) -> Any:
    """JSON as a value; None where it is none."""
    try:
        return json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def damage_of(folder: Path, manifest: Any, *, deep: bool) -> str:
    """The damage of an entry; empty when it is whole.

    `deep` reads every byte; else only those of files that were written to since, as git does.
    """
    if trouble := trouble_of(manifest, folder.parent.name, folder.name):
        return trouble
    for name, expected in manifest["files"].items():
        try:
            if _is_changed(folder / name, expected, deep=deep):
                return f"the bytes of {name} were changed"
        except (FileNotFoundError, IsADirectoryError):  # another process may drop the entry at any moment
            return f"{name} is missing"
    return ""


def _is_changed(path: Path, expected: Mapping[str, Any], *, deep: bool) -> bool:
    facts = path.stat()
    doubtful = deep or facts.st_mtime_ns != expected["mtime_ns"]
    return bool(facts.st_size != expected["bytes"] or (doubtful and sha256_of(path) != expected["sha256"]))


def trouble_of(manifest: Any, kind: str, key: str) -> str:
    """The fault of a manifest, which any program may have written; empty when it has none."""
    if not isinstance(manifest, dict):
        return f"{MANIFEST} is no JSON object"
    if not {"format", "kind", "key", "created_at", "info", "files", "digest"} <= manifest.keys():
        return f"{MANIFEST} is not complete"
    if manifest["digest"] != sealed(manifest)["digest"]:
        return f"{MANIFEST} was changed"
    if manifest["format"] != FORMAT:
        return f"it has format {manifest['format']}, not {FORMAT}"
    if (manifest["kind"], manifest["key"]) != (kind, key):
        return "it was moved here from another key"
    if not isinstance(manifest["created_at"], str):
        return f"{MANIFEST} does not tell when it was made"
    if not isinstance(manifest["info"], dict) or not isinstance(manifest["files"], dict):
        return f"{MANIFEST} names no files or no notes"
    for name, file in manifest["files"].items():
        if not is_plain(name) or name == MANIFEST:
            return f"{MANIFEST} names {name!r}, which is no name below the entry"
        if not isinstance(file, dict) or {word: type(file.get(word)) for word in _FILE} != _FILE:
            return f"{MANIFEST} does not hold size, time and digest of {name}"
    if manifest.get("upload") not in (None, digest_of(manifest["files"])):
        return f"{MANIFEST} names another upload than that of its files"
    return ""


def is_plain(name: str) -> bool:
    """Whether a name is a path that stays below where it begins, on any system."""
    parts = name.split("/")
    return name.isprintable() and not set(name) & set('\\:*?"<>|') and not {"", ".", ".."} & set(parts)


def entry_of(folder: Path, manifest: Mapping[str, Any], *, made: bool = False) -> Entry:
    """The entry in a folder, by its manifest."""
    size = sum(file["bytes"] for file in manifest["files"].values())
    info = MappingProxyType(dict(manifest["info"]))
    digest = digest_of(manifest["files"])
    return Entry(folder.parent.name, folder.name, folder, manifest["created_at"], size, info, digest, made)
