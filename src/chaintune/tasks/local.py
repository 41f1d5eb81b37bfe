"""A user's own file of multiple-choice items -> examples."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError
from chaintune.files.reading import files_digest, read_rows
from chaintune.files.rows import Row, raise_problems
from chaintune.records import Example
from chaintune.tasks.columns import ColumnNames, resolve_columns
from chaintune.tasks.definition import Pool, TaskData
from chaintune.tasks.items import by_split, dimensions_of, examples_of

VERSION = "local-1"


def read_local(_name: str, options: Mapping[str, Any]) -> TaskData:
    """The data of a task from a user's own file.

    Args:
        options: `path`, and of those of `DataOptions` `test_path` and `columns`.

    Raises:
        ConfigError: the arguments do not go together.
        DataError: the file, or a row of it, cannot be used.
    """
    path, columns = Path(options["path"]), options.get("columns", {})
    rows, resolved = _read(path, columns)
    source = f"{path} (sha256 {files_digest([path])})"
    examples = _examples(rows, resolved)
    if "test_path" not in options:
        train, test = by_split(rows, examples, resolved.split)
        return TaskData(Pool(train, test, source), VERSION, dimensions_of(resolved, examples, str(path)))
    if resolved.split:
        raise ConfigError(f"{path}: column '{resolved.split}' holds the split, so give no test_path beside it")
    test_path = Path(options["test_path"])
    test = _examples(*_read(test_path, columns))
    if shared := sorted({example.id for example in examples} & {example.id for example in test}):
        raise DataError(
            f"{path} and {test_path} share rows: {len(shared):,} ids are in both, such as '{shared[0]}', and what was "
            "taught cannot be tested; give test_path other rows with ids of their own, or leave it out to have one "
            "file split by cluster"
        )
    source += f", tested on {test_path} (sha256 {files_digest([test_path])})"
    dimensions = dimensions_of(resolved, [*examples, *test], str(path))
    return TaskData(Pool(examples, test, source), VERSION, dimensions)


def _read(path: Path, columns: Mapping[str, Any]) -> tuple[list[Row], ColumnNames]:
    rows = read_rows(path)
    return rows, resolve_columns(rows, columns, str(path))


def _examples(rows: Sequence[Row], columns: ColumnNames) -> list[Example]:
    """The example of each row; a file of one's own can be mended, so rows that repeat another are an error."""
    examples = examples_of(rows, columns)
    first: dict[str, str] = {}
    problems = []
    for row, example in zip(rows, examples, strict=True):
        if example.id not in first:
            first[example.id] = row.where
        elif columns.id:
            problems.append(f"{row.where}: id '{example.id}' is taken by {first[example.id]}; every row needs its own")
        else:
            problems.append(
                f"{row.where}: same prompt and choices as {first[example.id]}; remove one, or tell them apart by an id"
            )
    raise_problems(problems)
    return examples
