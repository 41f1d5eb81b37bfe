"""Commands of the user's that are started: a process group that ends with this process, and the end of its log."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from chaintune.scoring.backends.server import KEY

# Around the command a shell waits for the end of its input: it comes when chaintune ends, also by a kill without
# warning, and takes the whole process group along. Asked to end, the shell stays until the command has, and the one
# that waits whatever becomes of it.
_WATCHED = (
    'trap : TERM; exec 3<&0; (trap "" TERM; read -r _ <&3; kill -KILL 0) & /bin/sh -c "$0" </dev/null 3<&-; exit $?'
)
_SECONDS_TO_END = 10.0
_LINES_SHOWN, _MOST_SHOWN = 5, 600
_MOST_READ_BYTES = 2**16
_SIGNALLED = 128
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x20-\x7e\u00a0-\uffff]")


@contextmanager
def started(
    command: str, folder: Path, output: IO[bytes], *, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends, with all that it started, at the end of this context, or with this process.

    It sees the variables of this process, but for the key for servers, and those of `environment`.

    Raises:
        OSError: it cannot be started.
    """
    process = subprocess.Popen(  # noqa: S603 - the user's own command, which runs only where they say so
        ["/bin/sh", "-c", _WATCHED, command],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != KEY} | dict(environment or {}),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        try:
            if process.poll() is None:
                _signal(process, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_SECONDS_TO_END)
        finally:  # also where the wait is broken off
            _signal(process, signal.SIGKILL)  # what it left behind
            process.communicate()


def failure(status: int) -> str:
    """How a command ended, as the end of a sentence."""
    number = -status if status < 0 else status - _SIGNALLED
    with suppress(ValueError):
        return f"was ended by {signal.Signals(number).name}"
    return f"ended with exit status {status}"


def last_lines(log: Path) -> str:
    """The end of a log as the end of a sentence."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _MOST_READ_BYTES))
        text = file.read().decode(errors="replace").replace("\r", "\n")
    lines = [line for part in text.split("\n") if (line := _CONTROL.sub("", part).strip())][-_LINES_SHOWN:]
    return f"the last lines of its log: {' | '.join(lines)[-_MOST_SHOWN:]}" if lines else "its log is empty"


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
