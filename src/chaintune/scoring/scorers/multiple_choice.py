"""Multiple choice: which of the choices a free answer gives, by its letter or by its text."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from chaintune.config.validation import Spec
from chaintune.records import Choices, Example
from chaintune.scoring.scorers.references import alike, standing
from chaintune.scoring.scorers.scorer import EMPTY, Scorer, Verdict

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OPEN, _CLOSE = r"[\s*_`\"'“‘(\[]*", r"[*_`\"'”’]*"
# The first kind gives an answer, the second may only speak of one; then it has to be the only one.
_GIVES = (
    r"(?i:\b(?:answer|(?:correct|right|best)\s+(?:choice|option))\b(?:\s+(?:choice|option))?"
    r"\s*(?:\bis\b|\bwould be\b|[:=])+)"
)
_NAMES = r"(?i:\b(?:option|choice|answer|choose|pick|select)\b)"
_GIVEN_TEXT = re.compile(rf"{_GIVES}(?P<rest>[^\n]+)")
_END = r"(?![\w'’])"
# `A` and `I` may be words: `Answer: A man`.
_NO_WORD = rf"{_END}(?!(?<=[AI])\s+(?!(?:because|since|as|and|which)\b)[a-z])"


class MultipleChoice(Spec):
    """How a choice is read out of an answer.

    Attributes:
        letters: that name the choices in the prompt, one each, in their order.
        read_texts: take the text of a choice for it as well.
    """

    letters: Annotated[str, Field(min_length=2)] = _LETTERS
    read_texts: bool = True


def judge(examples: Sequence[Example], texts: Sequence[str], settings: MultipleChoice) -> list[Verdict]:
    """Whether each text gives the right choice of its example."""
    return [_verdict(example, text, settings) for example, text in zip(examples, texts, strict=True)]


def read_choice(text: str, choices: Sequence[str], *, letters: str = _LETTERS, read_texts: bool = True) -> int | None:
    """The position of the choice that an answer gives; None where it gives none, or several.

    It is the letter at the beginning (`B`, `(B) ...`, `B. ...`), else the last letter or text behind words such as
    `the answer is`, else the only choice that is named by its letter, or whose text stands in the answer.

    Args:
        text: of an answer.
        choices: their texts.
        letters: that name the choices, in their order.
        read_texts: take the text of a choice for it as well.

    Example:
        >>> [read_choice(text, ["the boy", "the girl"]) for text in ("(B) the girl", "It was the boy.", "Either.")]
        [1, 0, None]
    """
    named = letters[: len(choices)]
    letter = next(_letters(text.strip(), named), "")
    if letter:
        return named.index(letter)
    if not read_texts:
        return None
    plain = [alike(choice) for choice in choices]
    given = [match["rest"] for match in reversed(list(_GIVEN_TEXT.finditer(text)))]
    return next((place for part in [*given, text] if (place := _only_text(alike(part), plain)) is not None), None)


def _letters(text: str, named: str) -> Iterator[str]:
    """Letters that may be the answer, the likeliest first."""
    one = f"([{re.escape(named)}])"
    if beginning := re.match(rf"{_OPEN}{one}{_CLOSE}(?:[).\]:,]|\s*(?:\n|$)|\s+[-–—]\s)", text):
        yield beginning[1]
    if alone := re.fullmatch(rf"{_OPEN}{one}{_CLOSE}[).\]:]*{_CLOSE}", text, re.IGNORECASE):
        yield next(letter for letter in named if letter.casefold() == alone[1].casefold())
    if given := re.findall(rf"{_GIVES}(?:\s*(?:option|choice))?{_OPEN}{one}{_NO_WORD}", text):
        yield given[-1]
    if len(names := set(re.findall(rf"{_NAMES}{_OPEN}{one}{_END}", text))) == 1:
        yield names.pop()


def _only_text(text: str, choices: Sequence[str]) -> int | None:
    """The position of the only choice that a text holds; a choice inside another one that it holds is not meant."""
    held = [choice for choice in choices if choice and standing(choice, text)]
    meant = [choice for choice in held if not any(choice != other and standing(choice, other) for other in held)]
    return choices.index(meant[0]) if len(set(meant)) == 1 else None


def _refuses(example: Example, settings: MultipleChoice) -> str:
    if not isinstance(example.target, Choices) or not example.target.has_right_answer:
        return "has no choices of which one is right"
    if len(settings.letters) < (n := len(example.target.texts)):
        return f"has {n} choices, and 'letters' names {len(settings.letters)}"
    return ""


def _verdict(example: Example, text: str, settings: MultipleChoice) -> Verdict:
    if missing := _refuses(example, settings):
        return Verdict(None, missing_reason=f"the example {missing}")
    choices = example.choices
    place = read_choice(text, choices.texts, letters=settings.letters, read_texts=settings.read_texts)
    if place is None:
        return Verdict(0.0, "no choice" if text.strip() else EMPTY)
    is_right = place == choices.gold
    return Verdict(
        float(is_right), "right" if is_right else "wrong", choices.texts[place].strip(), answer=settings.letters[place]
    )


def _chance(example: Example, _settings: MultipleChoice) -> float | None:
    return 1 / len(example.target.texts) if isinstance(example.target, Choices) else None


SCORER = Scorer(
    name="multiple_choice",
    settings=MultipleChoice,
    judge=judge,
    limits=(
        "Tells which choice an answer gives: by the letter that it begins with, by words such as `the answer is (B)`, "
        "or by the text of the only choice that stands in it. It cannot tell a choice in other words, nor one that is "
        "ruled out (`not the girl`). An answer that names no choice, or several, counts as wrong, so a model that only "
        "stops to give letters loses score as well: the outcome `no choice` counts these."
    ),
    chance=_chance,
    outcomes=("right", "wrong", "no choice", EMPTY),
    doubtful=(EMPTY,),
    refuses=_refuses,
)
