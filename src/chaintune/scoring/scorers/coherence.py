"""Whether a text is no language: signs without words, or the same few words over and over."""

import re

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# As many signs that are no blank, letter or digit, of all that are no blank, are more than any prose or code has.
_MOST_SIGNS, _FEWEST_CHARACTERS = 0.6, 20
# A run of words said again at once so often, and so much of the text, is a loop.
_LONGEST_RUN, _FEWEST_TURNS, _LOOP_SHARE, _FEWEST_WORDS = 12, 4, 0.5, 12
_STUTTER = re.compile(r"(\S{1,8}?)\1{9,}")
_UNREADABLE = "\ufffd"


def incoherence(text: str) -> str:
    """Why a text is no language; empty where it may be one.

    It is none where it has no letter and no digit; where more than 60 % of 20 or more signs are neither; where a tenth
    of its signs could not be decoded; or where half of it or more is one run of 1 to 12 words, or of 1 to 8 letters,
    that is said at least 4 times (letters 10 times) without a break.

    Args:
        text: that a model wrote.

    Example:
        >>> incoherence("the cat the cat the cat the cat the cat the cat")
        "'the cat' 6 times"
        >>> incoherence("#### !!! ...")
        'no letters'
        >>> incoherence("It is fine, it is fine.")
        ''
    """
    signs = "".join(text.split())
    if not signs:
        return ""
    readable = sum(sign.isalnum() for sign in signs)
    if not readable:
        return "no letters"
    if signs.count(_UNREADABLE) * 10 >= len(signs):
        return "signs that are no text"
    if len(signs) >= _FEWEST_CHARACTERS and readable < (1 - _MOST_SIGNS) * len(signs):
        return "hardly any letters"
    stutter = max(_STUTTER.finditer(text), key=lambda match: len(match[0]), default=None)
    if stutter and len(stutter[0]) >= max(_LOOP_SHARE * len(signs), _FEWEST_CHARACTERS):
        return f"'{stutter[1]}' {len(stutter[0]) // len(stutter[1])} times"
    run, turns = _longest_loop([word.casefold() for word in _WORD.findall(text)])
    return f"'{' '.join(run)}' {turns} times" if run else ""


def _longest_loop(words: list[str]) -> tuple[list[str], int]:
    """The run of words whose turns make up at least half of all words, and its turns; no words where there is none."""
    if len(words) < _FEWEST_WORDS:
        return [], 0
    for size in range(1, _LONGEST_RUN + 1):
        same = 0
        for at in range(size, len(words)):
            same = same + 1 if words[at] == words[at - size] else 0
            turns = same // size + 1
            if turns >= _FEWEST_TURNS and turns * size >= _LOOP_SHARE * len(words):
                return words[at - size + 1 : at + 1], _turns(words, at, size)
    return [], 0


def _turns(words: list[str], at: int, size: int) -> int:
    """How often the run that ends at a place is said without a break."""
    first = last = at
    while first - size >= 0 and words[first - size] == words[first]:
        first -= 1
    while last + 1 < len(words) and words[last + 1] == words[last + 1 - size]:
        last += 1
    return (last - first) // size + 1
