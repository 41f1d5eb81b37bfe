"""Waits out trouble that passes: a store that does not answer for a while."""

import errno
import logging
import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

from chaintune.errors import ChaintuneError, ConfigError, StoreError

VARIABLE = "CHAINTUNE_STORE_PATIENCE"
USUAL_SECONDS = 120.0

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 5.0
# What no waiting changes. Everything else that a file system says may be the network's fault.
_LASTING = frozenset(
    getattr(errno, name)
    for name in (
        *("EACCES", "EDQUOT", "EINVAL", "EISDIR", "ELOOP", "ENAMETOOLONG", "ENOSPC", "ENOSYS"),
        *("ENOTDIR", "ENOTEMPTY", "EPERM", "EROFS"),
    )
    if hasattr(errno, name)
)
_LASTING_WORDS = ("credential", "auth", "param", "denied", "forbidden", "permission")
_BUSY = (408, 429)
_log = logging.getLogger(__name__)
T = TypeVar("T")


def asked_seconds() -> float:
    """`CHAINTUNE_STORE_PATIENCE`, else two minutes.

    Raises:
        ConfigError: it is no number of seconds.
    """
    text = os.environ.get(VARIABLE) or str(USUAL_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigError(f"{VARIABLE}: expected seconds, 0 or more, got {text!r}")
    return seconds


class Patience:
    """How long a store may be silent before a call gives up."""

    def __init__(self, address: str, seconds: float) -> None:
        self._address, self.seconds = address, seconds

    def wait_out(self, work: Callable[[], T], trouble: str) -> T:
        """What `work` returns, called again and again while trouble lasts that may pass.

        Args:
            work: calls a file system, and may be called twice.
            trouble: what did not work, as the end of a sentence.

        Raises:
            FileNotFoundError, FileExistsError: as `work` raised it.
            StoreError: the trouble lasts.
        """
        started, wait = time.monotonic(), _FIRST_WAIT_SECONDS
        while True:
            try:
                return work()
            except Exception as error:
                waited = time.monotonic() - started
                if answer := self._answer(error, waited, trouble):
                    raise answer from error
                if not _is_of_storage(error):
                    raise
                if wait == _FIRST_WAIT_SECONDS:
                    _log.warning("%s: %s (%s); trying again for %.0f s", self._address, trouble, error, self.seconds)
            time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads processes, guards nothing
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def _answer(self, error: Exception, waited: float, trouble: str) -> Exception | None:
        """What to raise in place of an error; None where it is not ours to say, or where waiting may help."""
        if not _is_of_storage(error):
            return None
        if not passes(error):
            return StoreError(f"{self._address}: {trouble} ({_words(error)})")
        if waited < self.seconds:
            return None
        return StoreError(
            f"{self._address}: {trouble}, for {waited:.0f} s now ({_words(error)}); what is finished is kept: "
            f"run again when the store answers, or wait longer with {VARIABLE}"
        )


def passes(error: Exception) -> bool:
    """Whether trouble with a store may be over in a while."""
    if isinstance(error, PermissionError | ValueError | NotImplementedError):
        return False
    if isinstance(error, OSError):
        return error.errno not in _LASTING
    status = getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status in _BUSY
    return not any(word in type(error).__name__.lower() for word in _LASTING_WORDS)


def _is_of_storage(error: Exception) -> bool:
    """Whether a file system speaks, and not a mistake in this code; clients have exceptions of their own."""
    if isinstance(error, FileNotFoundError | FileExistsError | ChaintuneError):
        return False
    if isinstance(error, OSError | ValueError | NotImplementedError):
        return True
    return type(error).__module__.partition(".")[0] not in {"builtins", "chaintune"}


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
