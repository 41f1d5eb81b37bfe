"""What an answer is held against: the right answers of an example, and when two texts are alike."""

import re
import unicodedata
from typing import Any

from chaintune.config.validation import Spec
from chaintune.records import Choices, Example, Reference
from chaintune.records.examples import Text

ANSWER = "answer"
# Signs that belong to a number before which they stand.
_PUNCTUATION = re.compile(r"[^\w\s](?<![-+.,])|_|[-+.,](?!\d)")

# Scripts that put no blanks between words: there is no end of a word to be found in them.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_LETTER = rf"[^\W{_UNSPACED}]"
# A place where no word goes on.
_EDGE = rf"(?:(?<!{_LETTER})|(?!{_LETTER}))"
_QUOTES = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}


class ReferenceSpec(Spec):
    """Where right answers are looked for.

    Attributes:
        column: of the data; empty is the example's target, else its column `answer`.
    """

    column: str = ""


def right_answers(example: Example, column: str = "") -> tuple[str, ...]:
    """The texts that are right: the reference answer, or the right choice, or a column of the example; none if unknown.

    Args:
        example: that is answered.
        column: of the example to take; empty is the example's target, else its column `answer`.
    """
    match example.target:
        case Reference(text) if not column:
            return (_last_turn(text).strip(),)
        case Choices() as choices if not column and choices.has_right_answer:
            return (choices.gold_text.strip(),)
    value = example.extra.get(column or ANSWER)
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(text for one in values if one is not None and (text := _written(one).strip()))


def no_right_answer(example: Example, settings: ReferenceSpec) -> str:
    """Why an example has no right answer; empty where it has one."""
    if right_answers(example, settings.column):
        return ""
    if settings.column:
        return f"has nothing in column '{settings.column}'"
    return "has no right answer: no reference, no right choice, and no column 'answer'"


def alike(text: str, *, case: bool = True, punctuation: bool = True, blanks: bool = True) -> str:
    """A text such that two that count as alike are equal.

    Args:
        text: as it was written.
        case: take capital and small letters for alike.
        punctuation: leave out signs, except those of a number, such as the point of `3.5`.
        blanks: take any row of blanks for one, and none at the ends.

    Example:
        >>> alike("  It's **Paris**. "), alike("-3.5"), alike("(b)")
        ('its paris', '-3.5', 'b')
    """
    text = unicodedata.normalize("NFKC", text)
    text = text.casefold() if case else text
    text = _PUNCTUATION.sub("", text) if punctuation else text
    return " ".join(text.split()) if blanks else text


def standing(words: str, text: str, *, ignore_case: bool = True, whole_words: bool = True) -> str:
    """Words as they stand in a text, with any blanks between them; empty where they do not.

    Args:
        words: that are looked for.
        text: to look in.
        ignore_case: take capital and small letters for alike.
        whole_words: do not find `he` in `the`.

    Example:
        >>> standing("don't  know", "I DON’T know."), standing("he", "the")
        ("DON'T know", '')
    """
    edge = _EDGE if whole_words else ""
    pattern = edge + r"\s+".join(map(re.escape, _plain(words).split())) + edge
    found = re.search(pattern, _plain(text), re.IGNORECASE if ignore_case else 0)
    return found[0] if found else ""


def _plain(text: str) -> str:
    """With straight apostrophes and quotes, and the usual form of each sign."""
    return unicodedata.normalize("NFKC", text).translate(_QUOTES)


def _written(value: Any) -> str:
    return "true" if value is True else "false" if value is False else str(value)


def _last_turn(text: Text) -> str:
    return text if isinstance(text, str) else text[-1].content if text else ""
