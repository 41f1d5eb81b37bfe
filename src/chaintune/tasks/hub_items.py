"""A data set on the Hugging Face Hub as a task of the user's own -> examples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.reading import READERS, files_digest, read_rows
from chaintune.files.rows import Row
from chaintune.records import Example
from chaintune.tasks.columns import ColumnNames, resolve_columns
from chaintune.tasks.definition import Pool, TaskData
from chaintune.tasks.hub import HubError, fetch
from chaintune.tasks.hub_splits import Layout, read_layout
from chaintune.tasks.items import SPLITS, by_split, dimensions_of, examples_of
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
    names = _split_names(where, options.get("split"), list(offered.splits(config)))
    rows, source = _rows(offered, config, names)
    resolved = {part: _columns(own, columns, f"{where}, split '{names[part]}'") for part, own in rows.items()}
    examples = {part: examples_of(own, resolved[part]) for part, own in rows.items()}
    left_out: Counter[str] = Counter()
    train, test = _parts(where, rows, examples, resolved)
    if test is not None:
        test = without_repeats(test, left_out)
    train = without_repeats(train, left_out, tested=test or ())
    source += note_left_out(task, left_out, sum(len(own) for own in rows.values()))
    dimensions = dimensions_of(next(iter(resolved.values())), [*train, *(test or ())], where)
    return TaskData(Pool(train, test, source), VERSION, dimensions, offered.licence or "not stated")


def _columns(rows: Sequence[Row], columns: Mapping[str, Any], where: str) -> ColumnNames:
    """As for a file, but a column that happens to be called `split` counts only when it is named."""
    resolved = resolve_columns(rows, columns, where)
    return resolved if columns.get("split") else replace(resolved, split="")


def _split_names(where: str, split: str | Mapping[str, str] | None, there: Sequence[str]) -> dict[str, str]:
    """`train` and `test`, or `all`, -> the split of the data set that is read as such."""
    if split is None:
        if len(there) > 1:
            raise DataError(
                f"{where} has the splits {', '.join(there)}; name one as 'split', to be cut by cluster, "
                f"or two: 'split: {{train: {there[0]}, test: {there[-1]}}}'"
            )
        return {"all": there[0]}
    if isinstance(split, Mapping) and set(split) != set(SPLITS):
        raise ConfigError(f"split: expected one name, or one for each of train and test, got {dict(split)}")
    names = {"all": split} if isinstance(split, str) else dict(split)
    for name in names.values():
        if name not in there:
            raise DataError(f"{where}: no split '{name}'; {nearest(name, there)}")
    return names


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
    return sorted(path for path in matches if path.is_file() and path.suffix.lower() in READERS)


def _parts(
    where: str,
    rows: Mapping[str, list[Row]],
    examples: Mapping[str, list[Example]],
    columns: Mapping[str, ColumnNames],
) -> tuple[Sequence[Example], Sequence[Example] | None]:
    if "all" in rows:
        return by_split(rows["all"], examples["all"], columns["all"].split)
    if column := columns["train"].split:
        raise ConfigError(f"{where}: column '{column}' holds the split, so name one split, not two")
    return examples["train"], examples["test"]
