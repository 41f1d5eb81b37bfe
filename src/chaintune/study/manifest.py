"""What an entry of a store says of itself: its files with their digests, who it is, what its maker noted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from types import MappingProxyType
from typing import Any

from chaintune.records import canonical_digest

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished entry of the store.

    Attributes:
        path: the folder.
        info: what its maker told about it (tokens, seconds, ...).
        made: this call made it; False when it was there already.
    """

    kind: str
    key: str
    path: Path
    created_at: str
    size_bytes: int
    info: Mapping[str, Any]
    made: bool = field(default=False, compare=False)


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and digest of every file under a folder, the manifest apart."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / MANIFEST]
    return {path.relative_to(folder).as_posix(): _fingerprint(path) for path in paths}


def _fingerprint(path: Path) -> dict[str, Any]:
    facts = path.stat()
    return {"bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns, "sha256": sha256_of(path)}


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with a digest of itself, so that a change of it shows too."""
    body = {name: value for name, value in manifest.items() if name != "digest"}
    return body | {"digest": canonical_digest(body)}


def load(path: Path) -> Any:
    """The content of a manifest; None where there is none, or no JSON."""
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return None


def parse(content: bytes) -> Any:
    """JSON as a value; None where it is none."""
    try:
        return json.loads(content, parse_constant=_refuse)
    except ValueError:
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def damage_of(folder: Path, manifest: Any, *, deep: bool) -> str:
    """What is wrong with an entry, empty when nothing is.

    `deep` reads every byte; else only those of files that were written to since, as git does.
    """
    if trouble := trouble_of(manifest, folder.parent.name, folder.name):
        return trouble
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        facts = path.stat()
        doubtful = deep or facts.st_mtime_ns != expected["mtime_ns"]
        if facts.st_size != expected["bytes"] or (doubtful and sha256_of(path) != expected["sha256"]):
            return f"the bytes of {name} were changed"
    return ""


def trouble_of(manifest: Any, kind: str, key: str) -> str:
    """What is wrong with a manifest itself, empty when nothing is."""
    if not isinstance(manifest, dict):
        return f"{MANIFEST} is no JSON object"
    if manifest.get("digest") != sealed(manifest)["digest"]:
        return f"{MANIFEST} was changed"
    if manifest["format"] != FORMAT:
        return f"it has format {manifest['format']}, not {FORMAT}"
    if (manifest["kind"], manifest["key"]) != (kind, key):
        return "it was moved here from another key"
    return ""


def entry_of(folder: Path, manifest: Mapping[str, Any], *, made: bool = False) -> Entry:
    """What a manifest tells of the entry in a folder."""
    size = sum(file["bytes"] for file in manifest["files"].values())
    info = MappingProxyType(dict(manifest["info"]))
    return Entry(folder.parent.name, folder.name, folder, manifest["created_at"], size, info, made)
