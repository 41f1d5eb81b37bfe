"""Score files of chaintune: one Parquet file a task."""

from pathlib import Path

from chaintune.errors import ConfigError, DataError
from chaintune.files.reading import parquet_columns, refuse_lfs_pointer
from chaintune.logs.facts import template_facts
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.records import SCORES_SCHEMA, Scores
from chaintune.records.audit import RENDERED
from chaintune.records.generation import GENERATION


def recognises(path: Path) -> bool:
    """Whether a path is Parquet with the columns of score files, or a folder of Parquet and of no other harness."""
    if path.is_dir():
        others = ("samples_*.jsonl", "details_*.parquet")
        return any(path.glob("*.parquet")) and not any(any(path.rglob(name)) for name in others)
    if path.suffix.lower() != ".parquet":
        return False
    columns = set(parquet_columns(path))
    return "choice_logprobs" in columns or columns.issuperset(SCORES_SCHEMA.names)


def read(path: Path, options: ReadOptions) -> list[Log]:
    """Every score file of a folder, or the one that is named.

    Raises:
        ConfigError: an option that only other logs have.
        DataError: a file cannot be read.
    """
    if options.cluster or options.columns or options.filter or options.scale != (0.0, 1.0):
        raise ConfigError(f"{path}: score files of chaintune have columns, clusters and scale of their own; name none")
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: the folder holds no score file (*.parquet)")
    for file in files:
        refuse_lfs_pointer(file, DataError)
    return [log_of(Scores.read(file), str(file)) for file in files]


def log_of(scores: Scores, where: str) -> Log:
    """Scores of chaintune as a log."""
    about = scores.provenance
    facts = {"task version": about["task_version"]} if about.get("task_version") else {}
    template = about.get("chat_template", "")  # that of a server is not known
    facts |= (
        {"chat": "off"} if about.get("chat") != RENDERED else template_facts(template) if template else {"chat": "on"}
    )
    facts |= {GENERATION: about[GENERATION]} if GENERATION in about else {}
    return Log(scores, where, facts, content=scores.provenance.get("test_digest", ""), fields=scores.dimensions)


READER = LogReader(recognises, read)
