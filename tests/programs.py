"""Programs in processes of their own. On Linux they are forked from one that has loaded torch already."""

import gc
import logging
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn, Protocol

_SECONDS_BETWEEN_LOOKS = 0.01


@dataclass(frozen=True)
class Program:
    """A process that was started.

    Attributes:
        pid: of the process.
        poll: its exit code, None while it runs; minus the signal that ended it.
        printed: the file that takes its stdout.
        said: the file that takes its stderr.
    """

    pid: int
    poll: Callable[[], int | None]
    printed: Path
    said: Path

    @property
    def out(self) -> str:
        """What it wrote to stdout."""
        return self.printed.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        """What it wrote to stderr."""
        return self.said.read_text(encoding="utf-8")

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        while (code := self.poll()) is None:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return code

    def wait_until(self, reached: Callable[[], object]) -> None:
        """Wait until it has come to a point, before its end."""
        while not reached():
            assert self.poll() is None, f"the process ended before it came to the point\n{self.err}"
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def kill(self) -> None:
        """End it without warning, and wait for that."""
        if self.poll() is None:
            os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            self.wait()


class Start(Protocol):
    """Starts `python COMMAND` in a folder, with more environment variables; it ends with the tests at the latest.

    What is started `anew` has loaded nothing before, as Ray needs it.
    """

    def __call__(
        self, *command: str, folder: Path | None = ..., environment: Mapping[str, str] = ..., anew: bool = ...
    ) -> Program: ...


class ForkServer:
    """A process, forked before any test runs, that forks one for each program."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        with warnings.catch_warnings():
            # Of threads of libraries that wait for work, which Python 3.12 warns of.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if not self._pid:
            self._connection.close()
            _serve(theirs)
        theirs.close()

    def end(self) -> None:
        """End the process."""
        self._connection.close()
        os.waitpid(self._pid, 0)

    def start(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], files: Sequence[Path]
    ) -> tuple[int, Callable[[], int | None]]:
        """The process id of a new program, and what tells its exit code."""
        pid = self._ask((command, folder, environment, files))
        return pid, partial(self._poll, pid, [])

    def _poll(self, pid: int, codes: list[int]) -> int | None:
        if not codes and (code := self._ask(pid)) is not None:
            codes.append(code)
        return codes[0] if codes else None

    def _ask(self, question: Any) -> Any:
        self._connection.send(question)
        return self._connection.recv()


def start_program(
    server: ForkServer | None, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], written: Path
) -> Program:
    """Start `python COMMAND`, as in `-m MODULE ARGUMENTS` or `FILE ARGUMENTS`.

    Args:
        server: forks it; None starts it anew.
        command: what comes after `python`.
        folder: where it runs.
        environment: more of its environment variables.
        written: folder of the files that take what it writes.
    """
    files = [written / name for name in ("stdout", "stderr")]
    for path in files:
        path.touch()
    environment = os.environ | environment
    if server is not None:
        return Program(*server.start(command, folder, environment, files), *files)
    with files[0].open("wb") as out, files[1].open("wb") as err:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, *command], cwd=folder, env=environment, stdout=out, stderr=err
        )
    return Program(process.pid, process.poll, *files)


def _serve(connection: Connection) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore", DeprecationWarning)
    while True:
        try:
            question = connection.recv()
        except EOFError:
            os._exit(0)
        if isinstance(question, int):
            pid, status = os.waitpid(question, os.WNOHANG)
            connection.send(os.waitstatus_to_exitcode(status) if pid else None)
        elif pid := os.fork():
            connection.send(pid)
        else:
            connection.close()
            _run(*question)


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str], files: Sequence[Path]) -> NoReturn:
    """Be `python COMMAND`, as if nothing of pytest had been here."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(files, 1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    # closefd: a program that replaces them must not close the numbers that it then writes to.
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    logging.root.handlers.clear()
    warnings.resetwarnings()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code: Any = 0
    try:
        if command[0] == "-m":
            sys.argv = list(command[1:])
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(command)
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001 - as Python ends
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def ray_started(tries: int = 3) -> Any:
    """A new cluster of two cores of this machine.

    Ray waits 30 seconds for its own processes, which a busy machine may need longer for.
    """
    import ray

    how = {"num_cpus": 2, "include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    # Nothing holds the processes of a cluster that failed, which Ray ends with this one: Python warns that they run.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        try:
            return ray.init("local", **how)
        except Exception as error:
            if tries == 1 or "timed out during startup" not in str(error):
                raise
        gc.collect()
    ray.shutdown()
    return ray_started(tries - 1)
