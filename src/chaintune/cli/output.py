"""What the command line writes to stdout and stderr, and the exit code where nobody can read it."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EMFILE, ENFILE, ENOENT, ENOSPC, EPIPE
from typing import TextIO

import typer

from chaintune.errors import StoreError, message, visible, without_middle
from chaintune.files.disk import EXHAUSTED, errno_of, words_of

# As a shell reports a program that a closed pipe has ended.
CLOSED_PIPE = 141
_NOT_WRITTEN = 2
_UNWRITTEN = "the output cannot be written to stdout"
_FILES = "raise the number of files that a process may open (ulimit -n 4096), then run again; "
_KEPT = "what is finished is kept, and the same command goes on where it stopped"
_FEW_FILES = 16
_REMEDIES = {EMFILE: _FILES, ENFILE: _FILES, ENOSPC: "free some space, then run again; "}


def echo(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Print text, of which any part may come from data.

    Raises:
        StoreError: stdout cannot be written.
    """
    with printing():
        typer.echo(visible(text), nl=nl, err=err)


@contextmanager
def printing() -> Iterator[None]:
    """Raise an error of stdout as `StoreError`; that of a closed pipe stays what it is."""
    try:
        yield
    except OSError as error:
        if is_closed_pipe(error):
            raise
        raise StoreError(f"{_UNWRITTEN} ({words_of(error)})") from error


def complain(text: object) -> None:
    """Print a message to stderr; where that cannot be written, the exit code alone has to tell."""
    with suppress(OSError, ValueError):  # a full disk, or a stream that was closed
        print(f"chaintune: {message(text)}", file=sys.stderr)  # noqa: T201


def complain_of_bug(error: BaseException) -> None:
    """Print the traceback of a bug to stderr."""
    with suppress(OSError, ValueError):
        print(visible("".join(traceback.format_exception(error))), file=sys.stderr, end="")  # noqa: T201


def machine_error(error: BaseException) -> str:
    """The sentence for an error of the operating system that nobody foresaw, in its own words; empty for any other."""
    number = errno_of(error)
    if number is None and _is_out_of_files():  # libraries say then that anything else went wrong
        return f"{os.strerror(EMFILE)}; {_FILES}{_KEPT}"
    if number is None or not (isinstance(error, OSError) or number in EXHAUSTED):
        return ""
    remedy = _REMEDIES.get(number, "")
    if number == ENOENT and not _current_folder_is_there():
        return "the current folder is gone; go to another one, then run again"
    return f"{words_of(error)}; {remedy}{_KEPT}"


def _is_out_of_files() -> bool:
    """Whether this process can open hardly any further file."""
    opened: list[int] = []
    try:
        while len(opened) < _FEW_FILES:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return True
    finally:
        for number in opened:
            os.close(number)
    return False


def _current_folder_is_there() -> bool:
    try:
        return os.path.isdir(os.getcwd())  # noqa: PTH112, PTH109
    except OSError:
        return False


class MessageFormatter(logging.Formatter):
    """Log records as messages."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record; a library's may have lines of its own."""
        text = super().format(record)
        return message(text) if record.name.startswith("chaintune") else visible(without_middle(text))


class FirstOfWarnings(logging.Filter):
    """Lets the warnings of libraries pass once each; Python forgets what it warned of where one is silenced."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is no such warning, or a new one."""
        text = record.getMessage() if record.name == "py.warnings" else ""
        is_new = text not in self._texts
        self._texts.update([text] if text else [])
        return is_new


def open_closed_streams() -> None:
    """Have something stand where stdin, stdout and stderr were closed, or the next file would take their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def is_closed_pipe(error: BaseException | None) -> bool:
    """Whether an error, or one that was caught before it, says that a pipe has no reader; typer and rich exit by 1."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == EPIPE:
            return True
        error = error.__context__
    return False


def written(code: int) -> int:
    """The exit code, when everything that was printed has left this process.

    Of a closed pipe it is 141, which is no verdict. Where stdout cannot be written otherwise it is 2, as of every file
    that cannot be written; where stderr cannot, it stays what it is.
    """
    for name in ("stdout", "stderr"):
        stream: TextIO = getattr(sys, name)
        stream = getattr(stream, "wrapped", stream)  # typer puts one around it that is silent of closed pipes
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            if is_closed_pipe(error):
                code = CLOSED_PIPE
            elif name == "stdout" and code != _NOT_WRITTEN:
                complain(f"{_UNWRITTEN} ({words_of(error)})")
                code = max(code, _NOT_WRITTEN)
            _drop(stream)
    return code


def _drop(stream: TextIO) -> None:
    """Have what a stream still holds go nowhere, or Python would complain of it at its end, with a code of its own."""
    with suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stream.fileno())
        os.close(devnull)
