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
from chaintune.tasks.columns import Columns
from chaintune.tasks.definition import Pool
from chaintune.tasks.hub import HubError, fetch
from chaintune.tasks.hub_splits import Layout, layout
from chaintune.tasks.items import SPLITS, by_split, columns_of, dimensions_of, examples_of
from chaintune.tasks.left_out import told, without_repeats

VERSION = "hub-1"


def read_hub(
    task: str, repo: str, *, config: str | None, split: str | Mapping[str, str] | None, columns: Mapping[str, Any]
) -> tuple[Pool, tuple[str, ...], str]:
    """The examples of a Hub data set, the dimensions that they bear groups of, and its licence.

    Rows that repeat another, or that are tested too, are left out and counted: data of others cannot be mended.

    Args:
        task: its name, for messages.
        repo: `owner/name` on the Hub.
        config: its configuration; None is the only or the default one.
        split: a split that is cut by cluster, or `train` and `test` -> split; None is the only one.
        columns: as `columns.resolve_columns` takes them.

    Raises:
        ConfigError: the arguments do not go together.
        DataError: there is no such data set, configuration or split, or a row cannot be used.
    """
    offered = layout(repo)
    where = f"Hub data set {repo}"
    wanted = _wanted(where, split, list(offered.splits(config)))
    rows, source = _rows(offered, config, wanted)
    found = {part: _columns(own, columns, f"{where}, split '{wanted[part]}'") for part, own in rows.items()}
    examples = {part: examples_of(own, found[part]) for part, own in rows.items()}
    left_out: Counter[str] = Counter()
    train, test = _parts(where, rows, examples, found)
    if test is not None:
        test = without_repeats(test, left_out)
    train = without_repeats(train, left_out, tested=test or ())
    source += told(task, left_out, sum(len(own) for own in rows.values()))
    dimensions = dimensions_of(next(iter(found.values())), [*train, *(test or ())], where)
    return Pool(train, test, source), dimensions, offered.licence


def _columns(rows: Sequence[Row], columns: Mapping[str, Any], where: str) -> Columns:
    """As for a file, but a column that happens to be called `split` counts only when it is named."""
    found = columns_of(rows, columns, where)
    return found if columns.get("split") else replace(found, split="")


def _wanted(where: str, split: str | Mapping[str, str] | None, there: Sequence[str]) -> dict[str, str]:
    """What is read as `train` and `test`, or as `all`."""
    if split is None:
        if len(there) > 1:
            raise DataError(
                f"{where} has the splits {', '.join(there)}; name one as 'split', to be cut by cluster, "
                f"or two: 'split: {{train: {there[0]}, test: {there[-1]}}}'"
            )
        return {"all": there[0]}
    if isinstance(split, Mapping) and set(split) != set(SPLITS):
        raise ConfigError(f"split: expected one name, or one for each of train and test, got {dict(split)}")
    wanted = {"all": split} if isinstance(split, str) else dict(split)
    for name in wanted.values():
        if name not in there:
            raise DataError(f"{where}: no split '{name}'; {nearest(name, there)}")
    return wanted


def _rows(offered: Layout, config: str | None, wanted: Mapping[str, str]) -> tuple[dict[str, list[Row]], str]:
    splits = offered.splits(config)
    patterns = [pattern for split in wanted.values() for pattern in splits[split]]
    try:
        folder, commit = fetch(offered.repo, patterns, revision=offered.revision)
    except HubError as error:
        raise DataError(str(error)) from error
    files = {part: _files(folder, splits[split]) for part, split in wanted.items()}
    for part, paths in files.items():
        if not paths:
            raise DataError(
                f"Hub data set {offered.repo}: split '{wanted[part]}' has no files {' or '.join(splits[wanted[part]])} "
                f"that end in {', '.join(READERS)}"
            )
    rows = {part: [row for path in paths for row in read_rows(path)] for part, paths in files.items()}
    named = ", ".join(f"{part} is {split}" if part != "all" else split for part, split in wanted.items())
    of_config = f"config {config}, " if config else ""
    digest = files_digest([path for paths in files.values() for path in paths])
    return rows, f"Hub data set {offered.repo}, {of_config}{named}, revision {commit} (sha256 {digest})"


def _files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    return sorted(path for path in found if path.is_file() and path.suffix.lower() in READERS)


def _parts(
    where: str,
    rows: Mapping[str, list[Row]],
    examples: Mapping[str, list[Example]],
    columns: Mapping[str, Columns],
) -> tuple[Sequence[Example], Sequence[Example] | None]:
    if "all" in rows:
        return by_split(rows["all"], examples["all"], columns["all"].split)
    if told_by := columns["train"].split:
        raise ConfigError(f"{where}: column '{told_by}' tells the split, so name one split, not two")
    return examples["train"], examples["test"]
