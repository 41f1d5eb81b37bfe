"""The exception tree, and the sentences that name the nearest valid word, or what to install.

Every error that a user can cause is a `ChaintuneError`; the command line turns it into one
sentence and exit code 2. Anything else is a bug and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec


class ChaintuneError(Exception):
    """Base of every error that chaintune raises on purpose."""


class ConfigError(ChaintuneError, ValueError):
    """A study file, policy, option or argument holds an invalid value."""


class DataError(ChaintuneError, ValueError):
    """A task's data is missing, malformed, or too small for what was asked."""


class ModelError(ChaintuneError, OSError):
    """A model cannot be found, loaded or used as asked."""


class StageError(ChaintuneError, RuntimeError):
    """A stage of training failed; its descendants cannot run, others can."""


class StoreError(ChaintuneError, OSError):
    """The store cannot be read or written."""


class MissingPackageError(ChaintuneError, ImportError):
    """A package that is no part of chaintune's core is not installed."""


def require(purpose: str, *packages: str, extra: str = "") -> None:
    """Refuse to go on without some packages.

    Args:
        purpose: what needs them, as the beginning of a sentence in the plural.
        packages: by the names they are imported under.
        extra: of chaintune, which brings them; empty where they are installed by their own names.

    Raises:
        MissingPackageError: one of them is not installed.
    """
    missing = next((name for name in packages if find_spec(name) is None), None)
    if missing:
        asked = f"'chaintune[{extra}]'" if extra else missing
        raise MissingPackageError(
            f"{purpose} need {missing}, which is not installed; install it with: pip install {asked}"
        )


def nearest(word: str, known: Iterable[str], *, limit: int = 12) -> str:
    """The end of an error sentence: the likeliest meant name, then the valid ones.

    Args:
        word: what was written.
        known: every valid name.
        limit: how many names to list before "and N more".

    Example:
        >>> nearest("bqq", ["csqa", "bbq"])
        "did you mean 'bbq'? Valid: bbq, csqa"
    """
    names = sorted(set(known))
    close = get_close_matches(word, names, n=len(names) or 1, cutoff=0.0)
    ordered = close + [name for name in names if name not in close]
    listed = ", ".join(ordered[:limit])
    if len(ordered) > limit:
        listed += f", and {len(ordered) - limit} more"
    meant = get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean '{meant[0]}'? Valid: {listed}" if meant else f"valid: {listed}"
