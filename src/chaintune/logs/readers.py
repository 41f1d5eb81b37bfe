"""Readers of logs by name, and which one a file asks for."""

from codecs import BOM_UTF8
from collections.abc import Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Protocol, cast

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.lines import SUFFIXES, parsed, rows_of
from chaintune.logs.log import Log, Wanted, of_tasks

READERS: Mapping[str, str] = {
    "chaintune": "chaintune.logs.scores_files",
    "inspect": "chaintune.logs.inspect_logs",
    "lm-eval": "chaintune.logs.lm_eval",
    "table": "chaintune.logs.tables",
}


_FIRST_BYTES, _NAMED = 1024, 5
_RESULTS = "results_*.json"
_NO_SAMPLES = "{}: results of lm-eval without its samples; run it with --log_samples and compare samples_*.jsonl"


class Reader(Protocol):
    """A module of this room that reads one kind of log."""

    def read(self, path: Path, wanted: Wanted) -> list[Log]:
        """Every task of a file or folder.

        Raises:
            ChaintuneError: it cannot be read as this kind.
        """
        ...


def read_log(path: Path, wanted: Wanted) -> Mapping[str, Log]:
    """Every task of a log, by name.

    Args:
        path: a file or a folder.
        wanted: what to read of it.

    Raises:
        ConfigError: a reader, field or task that does not exist.
        DataError: the log cannot be read.
    """
    name = wanted.reader or reader_of(path)
    if name not in READERS:
        raise ConfigError(f"reader '{name}': {nearest(name, READERS)}")
    if wanted.filter is not None and name != "lm-eval":
        raise ConfigError(f"{path}: only logs of lm-eval have filters; name none")
    logs = cast("Reader", import_module(READERS[name])).read(path, wanted)
    found: dict[str, Log] = {}
    for log in logs:
        task = log.scores.task
        if task in found:
            raise DataError(
                f"{path}: task '{task}' is in {found[task].where} and in {log.where}; name one of the files"
            )
        found[task] = log
    return of_tasks(found, wanted.tasks, str(path))


def reader_of(path: Path) -> str:
    """The name of the reader for a file or folder.

    Raises:
        DataError: there is no such file, or none that a reader knows.
    """
    if path.is_dir():
        return _reader_of_folder(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file or folder")
    if path.suffix.lower() == ".parquet":
        return "chaintune" if _has_choices(path) else "table"
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        first = next(islice(rows_of(path), 1), None)
        return "lm-eval" if first and {"doc_id", "filtered_resps"} <= set(first[1]) else "table"
    if path.match(_RESULTS):
        raise DataError(_NO_SAMPLES.format(path))
    if path.suffix.lower() == ".eval" or (path.suffix.lower() == ".json" and _is_log_of_inspect(path)):
        return "inspect"
    if path.suffix.lower() in SUFFIXES:
        return "table"
    raise DataError(
        f"{path}: expected a file that ends in {', '.join(SUFFIXES)}, .eval, or a folder; "
        "write other logs as a table with the columns id and score"
    )


def _reader_of_folder(path: Path) -> str:
    if any(path.rglob("samples_*.jsonl")):
        return "lm-eval"
    if any(path.glob("*.parquet")):
        return "chaintune"
    if any(path.rglob(_RESULTS)):
        raise DataError(_NO_SAMPLES.format(path))
    if any(path.rglob("*.eval")) or any(path.rglob("*.json")):
        return "inspect"
    raise DataError(
        f"{path}: the folder holds neither samples_*.jsonl of lm-eval, logs of Inspect, nor score files of chaintune"
    )


def _is_log_of_inspect(path: Path) -> bool:
    """Whether a JSON file is a log of Inspect and not a list of rows.

    Raises:
        DataError: it is a mapping of something else.
    """
    try:
        with path.open("rb") as file:
            first = file.read(_FIRST_BYTES).removeprefix(BOM_UTF8).lstrip()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not first.startswith(b"{") or b'"eval"' in first:
        return first.startswith(b"{")
    names = list(parsed(path.read_bytes(), str(path)))
    if "eval" not in names:
        named = ", ".join(map(repr, names[:_NAMED])) or "nothing"
        raise DataError(
            f"{path}: expected a log of Inspect, a mapping with 'eval', or a list of rows with id and score; "
            f"got a mapping with {named}"
        )
    return True


def _has_choices(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return "choice_logprobs" in pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error
