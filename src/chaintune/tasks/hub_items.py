"""A data set on the Hugging Face Hub as a task of the user's own -> examples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError
from chaintune.files.reading import READERS, files_digest, read_rows, suffix_of
from chaintune.files.rows import Row
from chaintune.records import Example
from chaintune.tasks.definition import GENERATED, Pool, TaskData
from chaintune.tasks.hub import HubError, fetch
from chaintune.tasks.hub_splits import Layout, read_layout
from chaintune.tasks.items import Items, by_split, dimensions_of, read_items, split_names
from chaintune.tasks.left_out import note_left_out, without_repeats

VERSION = "hub-1"


def read_hub(task: str, options: Mapping[str, Any]) -> TaskData:
    """The data of a task from a Hub data set.

    Rows that repeat another, or that are tested too, are left out and counted: data of others cannot be mended.

    Args:
        task: its name, for messages.
        options: `hub`, and of those of `DataOptions` `config` (else the only or the default one), `split` (else the
            only one) and `columns`.

    Raises:
        ConfigError: the arguments do not go together.
        DataError: there is no such data set, configuration or split, or a row cannot be used.
    """
    offered, config, columns = read_layout(options["hub"]), options.get("config"), options.get("columns", {})
    where = f"Hub data set {offered.repo}"
    names = split_names(where, options.get("split"), list(offered.splits(config)))
    rows, source = _rows(offered, config, names)
    left_out: Counter[str] = Counter()
    read = {
        part: read_items(
            own,
            columns,
            f"{where}, split '{names[part]}'",
            left_out,
            unusable=options.get("unusable", "error"),
            generated=options.get(GENERATED, False),
        )
        for part, own in rows.items()
    }
    train, test = _parts(where, read, split_named=bool(isinstance(columns, Mapping) and columns.get("split")))
    if test is not None:
        test = without_repeats(test, left_out)
    train = without_repeats(train, left_out, tested=test or ())
    notes = [note for one in read.values() for note in one.notes]
    source += note_left_out(task, left_out, sum(len(own) for own in rows.values()), notes)
    dimensions = dimensions_of(next(iter(read.values())).columns, [*train, *(test or ())], where)
    return TaskData(Pool(train, test, source), VERSION, dimensions, offered.licence or "not stated")


def _rows(offered: Layout, config: str | None, names: Mapping[str, str]) -> tuple[dict[str, list[Row]], str]:
    splits = offered.splits(config)
    patterns = [pattern for split in names.values() for pattern in splits[split]]
    try:
        folder, commit = fetch(offered.repo, patterns, revision=offered.revision)
    except HubError as error:
        raise DataError(str(error)) from error
    files = {part: _files(folder, splits[split]) for part, split in names.items()}
    for part, paths in files.items():
        if not paths:
            raise DataError(
                f"Hub data set {offered.repo}: split '{names[part]}' has no files {' or '.join(splits[names[part]])} "
                f"that end in {', '.join(READERS)}"
            )
    rows = {part: [row for path in paths for row in read_rows(path)] for part, paths in files.items()}
    named = ", ".join(f"{part} is {split}" if part != "all" else split for part, split in names.items())
    of_config = f"config {config}, " if config else ""
    digest = files_digest([path for paths in files.values() for path in paths])
    return rows, f"Hub data set {offered.repo}, {of_config}{named}, revision {commit} (sha256 {digest})"


def _files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    matches = {path for pattern in patterns for path in folder.glob(pattern)}
    return sorted(path for path in matches if path.is_file() and suffix_of(path))


def _parts(
    where: str, read: Mapping[str, Items], *, split_named: bool
) -> tuple[Sequence[Example], Sequence[Example] | None]:
    """What is taught and tested; a column that happens to be called `split` counts only when it is named."""
    if "all" in read:
        return by_split(read["all"].rows, read["all"].examples, read["all"].columns.split if split_named else "")
    if split_named:
        column = read["train"].columns.split
        raise ConfigError(f"{where}: column '{column}' holds the split, so name one split, not two")
    return read["train"].examples, read["test"].examples
