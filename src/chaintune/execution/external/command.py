"""Runs the command of a stage that another program trains, in a folder and a process group of its own."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaintune.errors import StageError
from chaintune.execution.commands import failure, last_lines, started
from chaintune.execution.hardware import environment_digest
from chaintune.files.reading import sha256_of
from chaintune.plan.nodes import External
from chaintune.study.external import ExternalStage

COMMAND_LOG = "command.log"
_MOST_LOG_BYTES = 2**24


def run_command(external: External, *, environment: Mapping[str, str], scratch: Path, log: Path) -> dict[str, Any]:
    """What is noted of a command that has ended well; of a long output the end is kept in its log.

    It runs in a new folder that holds copies of the files that it declares, and nothing else.

    Raises:
        StageError: a file has changed since the study was planned, or the command cannot be started, or fails.
    """
    stage, work, written = external.stage, scratch / "work", scratch / "log"
    work.mkdir()
    for name, digest in external.content:
        _copy(stage, name, digest, work)
    begun = time.monotonic()
    try:
        with written.open("wb") as output, started(stage.command, work, output, environment=environment) as process:
            status = process.wait()
    except OSError as error:
        raise StageError(f"stage '{stage.label}': its command cannot be started ({error.strerror or error})") from error
    _keep_end(written, log)
    if status:
        raise StageError(f"stage '{stage.label}': its command {failure(status)}; {last_lines(log)}")
    return {
        "command": stage.command,
        "exit_status": status,
        "seconds": time.monotonic() - begun,
        "environment": environment_digest(),
    }


def _copy(stage: ExternalStage, name: str, digest: str, work: Path) -> None:
    source, target = Path(stage.folder) / name, work / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copy2(source, target)
        changed = sha256_of(target) != digest
    except OSError as error:
        raise StageError(f"stage '{stage.label}': {source} cannot be read ({error.strerror or error})") from error
    if changed:
        raise StageError(
            f"stage '{stage.label}': {source} is not the file that the study was planned with; run the study again, on "
            "machines that see the same file"
        )


def _keep_end(written: Path, log: Path) -> None:
    """Move a log to its place, without its beginning where it is long."""
    size = written.stat().st_size
    with written.open("rb") as source, log.open("wb") as target:
        source.seek(max(0, size - _MOST_LOG_BYTES))
        shutil.copyfileobj(source, target)
