"""The exception tree, and what sentences are made of: the nearest valid word, what to install, text from data.

Every error that a user can cause is a `ChaintuneError`; the command line turns it into one
sentence and exit code 2. Anything else is a bug and keeps its traceback.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec

# Control characters, those that turn the direction of writing, ends of lines that only some know, halves of pairs.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# What a CI job obeys when it is printed: `::error::` of GitHub, `##[...]`, `##vso[...]` and `##teamcity[...]`.
_AT_LINE_START = re.compile(r"(?m)^([^\S\n]*)::")
_ANYWHERE = re.compile(r"##(?=\[|vso\[|teamcity\[)")
# The end says what to do.
_LONGEST_MESSAGE, _END_OF_MESSAGE = 8000, 1500
_END_OF_LINE = re.compile(r"\n(?!  )")


class ChaintuneError(Exception):
    """Base of every error that chaintune raises on purpose."""


class ConfigError(ChaintuneError, ValueError):
    """A study file, policy, option or argument holds an invalid value."""


class DataError(ChaintuneError, ValueError):
    """A task's data is missing, malformed, or too small for what was asked."""


class ModelError(ChaintuneError, OSError):
    """A model cannot be found, loaded or used as asked."""


class BrokenModelError(ModelError):
    """What a model says is no number."""


class StageError(ChaintuneError, RuntimeError):
    """A stage of training failed; its descendants cannot run, others can."""


class StoreError(ChaintuneError, OSError):
    """The store cannot be read or written."""


class ClusterError(ChaintuneError, ConnectionError):
    """The cluster that a run computes on is gone."""


class MissingPackageError(ChaintuneError, ImportError):
    """A package that is no part of chaintune's core is not installed."""


def visible(text: str) -> str:
    r"""Text from data, without anything that a terminal or a CI job would obey: `\u001b`. JSON stays the same value.

    Example:
        >>> print(visible("::error::"))
        \u003a:error::
    """
    text = _UNSEEN.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)
    return _ANYWHERE.sub(r"\\u0023#", _AT_LINE_START.sub(r"\1\\u003a:", text))


def message(text: object) -> str:
    """A message as it is printed: `visible`, without the middle where data made it long, and no line but its own.

    Lines of its own begin with two blanks.
    """
    return visible(_END_OF_LINE.sub(r"\\u000a", without_middle(str(text))))


def without_middle(text: str) -> str:
    """A text, without its middle where it is longer than a message may be."""
    if len(text) <= _LONGEST_MESSAGE:
        return text
    return f"{text[: _LONGEST_MESSAGE - _END_OF_MESSAGE]} ... {text[-_END_OF_MESSAGE:]}"


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


def number_of(count: int, one: str, several: str = "") -> str:
    """A count and what it is of.

    Args:
        count: of them.
        one: what one is called, with its verb where it has one.
        several: what several are; by default the same with an `s`.

    Example:
        >>> number_of(1, "row"), number_of(1200, "row"), number_of(2, "row is", "rows are")
        ('1 row', '1,200 rows', '2 rows are')
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def nearest(word: object, known: Iterable[str], *, limit: int = 12) -> str:
    """The end of an error sentence: the likeliest meant name, then the valid ones.

    Args:
        word: what was written; where that is no text, as text.
        known: every valid name.
        limit: how many names to list before "and N more".

    Example:
        >>> nearest("bqq", ["csqa", "bbq"])
        "did you mean 'bbq'? Valid: bbq, csqa"
        >>> nearest("kind", ["id", "meta.kind"])
        "did you mean 'meta.kind'? Valid: id, meta.kind"
    """
    word, names = str(word), sorted(set(known))
    close = get_close_matches(word, names, n=len(names) or 1, cutoff=0.0)
    ordered = close + [name for name in names if name not in close]
    listed = ", ".join(ordered[:limit])
    if len(ordered) > limit:
        listed += f", and {len(ordered) - limit} more"
    inner = [name for name in ordered if name.rpartition(".")[2] == word]
    meant = inner or get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean '{meant[0]}'? Valid: {listed}" if meant else f"valid: {listed}"
