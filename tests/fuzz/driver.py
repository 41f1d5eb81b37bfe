"""One input after the other, each in a forked process, and how it was answered."""

import contextlib
import json
import math
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NoReturn, Protocol

# What a person can see that is neither text nor the end of a line.
_RAW = frozenset(
    map(chr, [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
)
_LONGEST_MESSAGE = 10_000
_ANSWERS = (0, 1, 2, 3)


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        what: how it differs from a valid one.
        run: arguments of the command line, or a call of Python.
    """

    what: str
    run: list[str] | Callable[[], object]


class Kind(Protocol):
    """A kind of input: what is valid, and how a case is made of it."""

    def prepare(self, valid: Path) -> None:
        """Write what is valid into an empty folder."""

    def case(self, rng: Random, valid: Path) -> Case:
        """Write an input into the current folder."""


@dataclass(frozen=True)
class Limits:
    """What one input may take: seconds of a processor, and MB beyond what the process had at first."""

    seconds: float = 60
    megabytes: float = 3000

    @property
    def longest_seconds(self) -> float:
        """On the clock, for what waits and computes nothing: many times as many, as others may use the machine."""
        return 20 * self.seconds


@dataclass(frozen=True)
class Answer:
    """How an input was answered.

    Attributes:
        outcome: `answered`, or what was wrong: `traceback`, `hang`, `memory`, `killed`, `raw`, `long` or `no sentence`.
        code: the exit code.
        what: the input.
        said: the end of what was written to stderr.
        seconds: that it took on the clock.
        megabytes: at its peak, beyond what the process had at first.
    """

    outcome: str
    code: int
    what: str
    said: str
    seconds: float
    megabytes: float


def prepared(kind: Kind, folder: Path) -> Path:
    """A folder with the valid files of a kind; written by a process of its own, whose threads end with it."""
    folder.mkdir(parents=True)
    pid = os.fork()
    if not pid:
        _be(lambda: _prepare(kind, folder), folder / "out", folder / "err")
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise RuntimeError((folder / "err").read_text())
    for name in ("out", "err"):
        (folder / name).unlink()
    return folder


def _prepare(kind: Kind, folder: Path) -> int:
    kind.prepare(folder)
    return 0


def answer(kind: Kind, rng: Random, valid: Path, folder: Path, limits: Limits) -> Answer:
    """How one input is answered; its folder is removed.

    Args:
        kind: of the input.
        rng: decides which one it is.
        valid: what `prepared` wrote.
        folder: a new one, in which it runs.
        limits: of what it may take.
    """
    folder.mkdir(parents=True)
    out, err, told = (folder.with_name(f"{folder.name}.{name}") for name in ("out", "err", "json"))
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        os.setsid()
        _be(lambda: _run(kind, rng, valid, folder, told, limits), out, err)
    status = None
    while status is None and time.monotonic() - began < limits.longest_seconds:
        ended, ending = os.waitpid(pid, os.WNOHANG)
        status = ending if ended else None
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if status is None:
        os.waitpid(pid, 0)
    seconds = time.monotonic() - began
    about: dict[str, Any] = json.loads(told.read_text()) if told.exists() else {"what": "the input could not be made"}
    printed, said = (path.read_text(encoding="utf-8", errors="replace") for path in (out, err))
    for path in (out, err, told):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder)
    code = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
    outcome = "hang" if status is None or code == -signal.SIGXCPU else _outcome(code, printed, said)
    return Answer(outcome, code, about["what"], said[-2000:], seconds, about.get("megabytes", 0))


def _outcome(code: int, printed: str, said: str) -> str:
    last = said.strip().rpartition("\n")[2]
    if last.startswith(("MemoryError", "numpy._core._exceptions._ArrayMemoryError")) or "bad allocation" in last:
        return "memory"
    if code < 0:
        return "killed"
    if code not in _ANSWERS:
        return "traceback"
    if code == 2 and not any(line.startswith("chaintune: ") for line in said.splitlines()):
        return "no sentence"
    if _RAW & {*printed, *said}:
        return "raw"
    return "long" if len(said) > _LONGEST_MESSAGE else "answered"


def _run(kind: Kind, rng: Random, valid: Path, folder: Path, told: Path, limits: Limits) -> int:
    from chaintune.cli.app import _exit_code
    from chaintune.errors import ChaintuneError, message

    os.chdir(folder)
    case = kind.case(rng, valid)
    told.write_text(json.dumps({"what": case.what}))
    before = _megabytes()
    # Not all that it maps: what draws the figures reserves more than any machine has.
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    most = pages * resource.getpagesize() + int(limits.megabytes * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    until = math.ceil(limits.seconds + time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (until, until + 1))
    try:
        if isinstance(case.run, list):
            return _exit_code(case.run)
        case.run()
    except ChaintuneError as error:
        sys.stderr.write(f"chaintune: {message(error)}\n")
        return 2
    finally:
        told.write_text(json.dumps({"what": case.what, "megabytes": _megabytes() - before}))
    return 0


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _be(program: Callable[[], int], out: Path, err: Path) -> NoReturn:
    """Run as a process of its own, with files for what it writes."""
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    # As Python opens them: what cannot be encoded is escaped in messages, and an error elsewhere.
    # The earlier objects are dropped here, and must not close the numbers that the new ones write to.
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    code = 70
    try:
        code = program()
        sys.stdout.flush()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except BaseException:  # noqa: BLE001 - as Python ends
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)
