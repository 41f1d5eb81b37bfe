"""Readers of logs by name, and which one reads a file or folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaintune.errors import ConfigError, DataError
from chaintune.files.reading import READERS as SUFFIXES
from chaintune.logs.log import Log, of_tasks
from chaintune.logs.options import ReadOptions
from chaintune.registry import Registry


@dataclass(frozen=True)
class LogReader:
    """One kind of log.

    Attributes:
        recognises: whether a file or folder is of this kind.
        read: every task of a file or folder, which need not be one that `recognises` knows; raises a `ChaintuneError`
            where it cannot be read.
        has_filters: whether the option `filter` means something to it.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], Sequence[Log]]
    has_filters: bool = False


# Of several that recognise a file the first one reads it.
READERS = Registry(
    "log reader",
    "chaintune.log_readers",
    LogReader,
    {
        "chaintune": "chaintune.logs.scores_files:READER",
        "lighteval": "chaintune.logs.lighteval:READER",
        "lm-eval": "chaintune.logs.lm_eval:READER",
        "helm": "chaintune.logs.helm:READER",
        "every-eval-ever": "chaintune.logs.every_eval_ever:READER",
        "openai-evals": "chaintune.logs.openai_evals:READER",
        "opencompass": "chaintune.logs.opencompass:READER",
        "promptfoo": "chaintune.logs.promptfoo:READER",
        "deepeval": "chaintune.logs.deepeval:READER",
        "inspect": "chaintune.logs.inspect_logs:READER",
        "table": "chaintune.logs.tables:READER",
    },
)


def read_log(path: Path, options: ReadOptions) -> Mapping[str, Log]:
    """Every task of a log, which is a file or a folder, by name.

    Raises:
        ConfigError: a reader, field or task that does not exist.
        DataError: the log cannot be read.
    """
    name = options.reader or reader_of(path)
    reader = READERS.get(name)
    if options.filter is not None and not reader.has_filters:
        raise ConfigError(f"{path}: a log of {name} has no filters; name none")
    tasks: dict[str, Log] = {}
    for log in reader.read(path, options):
        task = log.scores.task
        if task in tasks:
            raise DataError(
                f"{path}: task '{task}' is in {tasks[task].where} and in {log.where}; name one of the files"
            )
        tasks[task] = log
    return of_tasks(tasks, options.tasks, str(path))


def reader_of(path: Path) -> str:
    """The name of the first reader that recognises a file or folder.

    Raises:
        DataError: there is no such file, or none that a reader recognises.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    for name in READERS.names:
        if READERS.get(name).recognises(path):
            return name
    if path.is_dir():
        raise DataError(
            f"{path}: the folder holds no log that any reader recognises ({', '.join(READERS.names)}); name a file, or "
            "write its scores as a table with the columns id and score"
        )
    raise DataError(
        f"{path}: expected a file that ends in {', '.join(SUFFIXES)}, .eval, or a folder; "
        "write other logs as a table with the columns id and score"
    )
