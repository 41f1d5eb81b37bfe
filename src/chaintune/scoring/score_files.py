"""Files of scores, which `chaintune compare` reads."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError
from chaintune.files import atomic
from chaintune.files.disk import os_errors_as_store_error
from chaintune.files.names import file_names
from chaintune.files.reading import as_written, check_shape, read_json
from chaintune.records import Scores


def write_scores(scores: Mapping[str, Scores], out: Path) -> dict[str, Path]:
    """Write score files that `chaintune compare` reads, each whole or not at all; task -> its file.

    Args:
        scores: task -> scores of one model.
        out: a `.parquet` file for one task, or a folder that gets a file a task.

    Raises:
        ConfigError: several tasks are to go into one file, or the folder holds scores of another model.
        StoreError: it cannot be written.
    """
    paths = score_paths(scores, out)
    if out not in paths.values():
        _check_folder(out, scores)
    with os_errors_as_store_error(out.parent, "the scores cannot be written"):
        for task, path in paths.items():
            with atomic.atomic_write(path) as partial:
                scores[task].write(partial)
    return paths


def score_paths(tasks: Iterable[str], out: Path) -> dict[str, Path]:
    """The file for the scores of each task.

    Args:
        tasks: their names.
        out: a `.parquet` file for one task, or a folder.

    Raises:
        ConfigError: several tasks are to go into one file.
    """
    names = list(tasks)
    if out.suffix != ".parquet":
        return {task: out / file for task, file in zip(names, file_names(names, ".parquet"), strict=True)}
    if len(names) > 1:
        raise ConfigError(f"{out}: one file holds the scores of one task, not of {len(names)}; name a folder")
    return dict.fromkeys(names, out)


def indexed_scores(folder: Path) -> Mapping[tuple[str, str], Path]:
    """Key of a checkpoint and task -> its scores of the test examples, of a study's run, as far as they are there.

    Args:
        folder: of the run.

    Raises:
        DataError: the index of its scores is damaged.
    """
    path = folder / "scores" / "index.json"
    if not path.is_file():
        return {}
    with as_written(path):
        index: dict[str, dict[str, Any]] = read_json(path)
        check_shape(index, {"*": {"task": str, "split": str}})
        return {
            (node.get("checkpoint", ""), node["task"]): path.parent / name
            for name, node in index.items()
            if node["split"] == "test" and node.get("deciding", True)
            if Path(name).name == name and (path.parent / name).is_file()
        }


def _check_folder(folder: Path, scores: Mapping[str, Scores]) -> None:
    """Scores of two models side by side would be compared as if they were of one."""
    ours = {one.provenance.get("checkpoint") for one in scores.values()}
    for path in sorted(folder.glob("*.parquet")):
        theirs = Scores.read(path).provenance
        if theirs.get("checkpoint") not in ours:
            name = theirs.get("model", "another model")
            raise ConfigError(f"{folder}: {path.name} there is of {name}; name another folder, or remove it")
