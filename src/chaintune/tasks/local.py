"""A user's own multiple-choice items, of a file or a table in memory -> examples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from chaintune.errors import ConfigError, DataError, number_of
from chaintune.files.frames import KINDS, parts_in
from chaintune.files.reading import files_digest, read_rows, user_path
from chaintune.files.rows import Row
from chaintune.records import Example
from chaintune.tasks.definition import GENERATED, Pool, TaskData
from chaintune.tasks.items import Items, by_split, dimensions_of, each_once, read_items, split_names
from chaintune.tasks.left_out import note_left_out

VERSION = "local-1"


def read_local(task: str, options: Mapping[str, Any]) -> TaskData:
    """The data of a task from a user's own file or table.

    Args:
        task: its name, for messages.
        options: `path` or `rows`, and of those of `DataOptions` `test_path`, `split`, `columns` and `unusable`.

    Raises:
        ConfigError: the arguments do not go together.
        DataError: the data, or a row of it, cannot be used.
    """
    rows, where, source = _rows(options)
    by_part: dict[str, list[Row]] = {}
    for row in rows:
        by_part.setdefault(row.part, []).append(row)
    if "split" in options and list(by_part) == [""]:
        raise ConfigError(f"{where}: holds one list of rows, so it takes no 'split'; a column is named under 'columns'")
    names = split_names(where, options.get("split"), list(by_part))
    own = {part: by_part[name] for part, name in names.items()}
    if "test_path" in options:
        if "train" in own:
            raise ConfigError(f"{where}: holds the splits {', '.join(by_part)}, so give no test_path beside it")
        test_path = user_path(options["test_path"])
        own = {"train": own["all"], "test": read_rows(test_path)}
        where += f" and {test_path}"
        source += f", tested on {test_path} (sha256 {files_digest([test_path])})"
    left_out: Counter[str] = Counter()
    read = {part: _part(part_rows, options, where, left_out) for part, part_rows in own.items()}
    columns = next(iter(read.values())).columns
    if "all" in read:
        train, test = by_split(read["all"].rows, read["all"].examples, columns.split)
    elif columns.split:
        raise ConfigError(f"{where}: column '{columns.split}' holds the split, so give no test_path beside it")
    else:
        train, test = read["train"].examples, read["test"].examples
        _check_ids_apart(train, test, where)
    dimensions = dimensions_of(columns, [*train, *(test or ())], where)
    notes = [note for one in read.values() for note in one.notes]
    source += note_left_out(task, left_out, sum(map(len, own.values())), notes)
    return TaskData(Pool(train, test, source), VERSION, dimensions, mendable=True)


def _rows(options: Mapping[str, Any]) -> tuple[list[Row], str, str]:
    """Every row, what to call the data, and where it comes from."""
    if "rows" not in options:
        path = user_path(options["path"])
        return read_rows(path), str(path), f"{path} (sha256 {files_digest([path])})"
    if "path" in options:
        raise ConfigError("rows: the data is given, so give no path beside it")
    table, where = options["rows"], f"rows ({type(options['rows']).__name__})"
    rows = parts_in(table, where)
    if rows is None:
        raise ConfigError(f"rows: expected {KINDS}, got {type(table).__name__}")
    if not rows:
        raise DataError(f"{where}: the table holds no rows")
    return rows, where, f"{number_of(len(rows), 'row')} of a {type(table).__name__}"


def _part(rows: Sequence[Row], options: Mapping[str, Any], where: str, left_out: Counter[str]) -> Items:
    """The items of one part, each once."""
    unusable, generated = options.get("unusable", "error"), options.get(GENERATED, False)
    read = read_items(rows, options.get("columns", {}), where, left_out, unusable=unusable, generated=generated)
    return each_once(read, left_out, unusable=options.get("unusable", "error"))


def _check_ids_apart(train: Sequence[Example], test: Sequence[Example], where: str) -> None:
    if shared := sorted({example.id for example in train} & {example.id for example in test}):
        many = number_of(len(shared), "id is", "ids are")
        raise DataError(
            f"{where}: train and test share rows: {many} in both, such as '{shared[0]}', and what was "
            "taught cannot be tested; give the test other rows with ids of their own, or one part alone, which is then "
            "split by cluster"
        )
