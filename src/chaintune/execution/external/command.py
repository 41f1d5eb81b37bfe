"""Runs the command of a stage that another program trains, in a folder and a process group of its own."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chaintune.errors import StageError
from chaintune.execution.hardware import environment_digest
from chaintune.files.reading import sha256_of
from chaintune.plan.nodes import External
from chaintune.study.external import ExternalStage

COMMAND_LOG = "command.log"
# Around the command a shell waits for the end of its input: it comes when chaintune ends, also by a kill without
# warning, and takes the whole process group along.
_WATCHED = 'exec 3<&0; (read -r _ <&3; kill -KILL 0) & /bin/sh -c "$0" </dev/null 3<&-; exit $?'
_SECONDS_TO_END = 10.0
_MOST_LOG_BYTES = 2**24
_LINES_SHOWN, _MOST_SHOWN = 5, 600
_SIGNALLED = 128
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x20-\x7e\u00a0-\uffff]")


def run_command(external: External, *, environment: Mapping[str, str], scratch: Path, log: Path) -> dict[str, Any]:
    """What is noted of a command that has ended well.

    It runs in a new folder that holds copies of the files that it declares, and nothing else.

    Args:
        external: with a command.
        environment: variables beside those of this process.
        scratch: an empty folder.
        log: file for what it writes to its outputs; of a long one the end is kept.

    Raises:
        StageError: a file has changed since the study was planned, or the command cannot be started, or fails.
    """
    stage, work, written = external.stage, scratch / "work", scratch / "log"
    work.mkdir()
    for name, digest in external.content:
        _copy(stage, name, digest, work)
    started = time.monotonic()
    try:
        with written.open("wb") as output, _started(stage.command, environment, work, output) as process:
            status = process.wait()
    except OSError as error:
        raise StageError(f"stage '{stage.label}': its command cannot be started ({error.strerror or error})") from error
    _keep_end(written, log)
    if status:
        raise StageError(f"stage '{stage.label}': its command {_failure(status)}; {_last_lines(log)}")
    return {
        "command": stage.command,
        "exit_status": status,
        "seconds": time.monotonic() - started,
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


@contextmanager
def _started(
    command: str, environment: Mapping[str, str], folder: Path, output: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends, with all that it started, at the end of this context."""
    process = subprocess.Popen(  # noqa: S603 - the user's own command, which runs only where they say so
        ["/bin/sh", "-c", _WATCHED, command],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_END)
        _signal(process, signal.SIGKILL)  # what it left behind
        process.communicate()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _keep_end(written: Path, log: Path) -> None:
    """Move a log to its place, without its beginning where it is long."""
    size = written.stat().st_size
    with written.open("rb") as source, log.open("wb") as target:
        source.seek(max(0, size - _MOST_LOG_BYTES))
        shutil.copyfileobj(source, target)


def _failure(status: int) -> str:
    number = -status if status < 0 else status - _SIGNALLED
    with suppress(ValueError):
        return f"was ended by {signal.Signals(number).name}"
    return f"ended with exit status {status}"


def _last_lines(log: Path) -> str:
    """The end of a log as the end of a sentence."""
    text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    lines = [line for part in text.split("\n") if (line := _CONTROL.sub("", part).strip())][-_LINES_SHOWN:]
    return f"the last lines of its log: {' | '.join(lines)[-_MOST_SHOWN:]}" if lines else "its log is empty"
