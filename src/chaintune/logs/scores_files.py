"""Score files of chaintune: one Parquet file a task."""

from pathlib import Path

from chaintune.errors import ConfigError, DataError
from chaintune.logs.log import Log, Wanted
from chaintune.records import Scores


def read(path: Path, wanted: Wanted) -> list[Log]:
    """Every score file of a folder, or the one that is named.

    Raises:
        ConfigError: an option that only other logs have.
        DataError: a file cannot be read.
    """
    if wanted.cluster or wanted.columns or wanted.filter or wanted.scale != (0.0, 1.0):
        raise ConfigError(f"{path}: score files of chaintune have columns, clusters and scale of their own; name none")
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: the folder holds no score file (*.parquet)")
    return [log_of(Scores.read(file), str(file)) for file in files]


def log_of(scores: Scores, where: str) -> Log:
    """Scores of chaintune as a log."""
    version = scores.provenance.get("task_version", "")
    facts = {"task version": version} if version else {}
    return Log(scores, where, facts, content=scores.provenance.get("test_digest", ""), fields=scores.dimensions)
