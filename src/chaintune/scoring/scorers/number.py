"""Number: whether the last number of the answer is the right one."""

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from chaintune.config.validation import Real
from chaintune.records import Example
from chaintune.scoring.scorers.references import ReferenceSpec, no_right_answer, right_answers
from chaintune.scoring.scorers.scorer import EMPTY, Scorer, Verdict

# Behind the first the answer stands in GSM8K, inside the second in MATH.
_MARK = re.compile(r"####([^\n]*)")
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\}){0,200})\}")
_AS_PLAIN = (
    (re.compile("[\u2212\u2011]"), "-"),
    (re.compile("[\u00bc-\u00be\u2150-\u215e]"), lambda sign: " " + unicodedata.normalize("NFKC", sign[0])),
    (re.compile("\u2044"), "/"),
    (re.compile(r"\\[dt]?frac\s*\{\s*([^{}]{1,40}?)\s*\}\s*\{\s*([^{}]{1,40}?)\s*\}"), r"\1/\2"),
    # Blanks of a fixed or narrow width that part thousands, and TeX's.
    (re.compile(r"(?<=\d)(?:[\u00a0\u2009\u202f]|\\[,!;]|\{,\})(?=\d{3}(?!\d))"), ""),
    (re.compile(r"(?<=\d)\s*(?:[x×*·]|\\times|\\cdot)\s*10\s*\^\s*\{?\s*([-+]?\d{1,3})\s*\}?"), r"e\1"),
)


def _pattern(thousands: str, point: str) -> re.Pattern[str]:
    """Of a number, or a fraction of two with a whole number before it or not, and its sign.

    A digit that follows a letter is part of a word (`CO2`), one that follows `^` or `_` of a formula (`m^2`).
    """
    whole = rf"(?:\d{{1,3}}(?:{thousands}\d{{3}})+(?!\d)|\d+)"
    number = rf"(?:{whole}(?:{point}\d+)?|(?<![\d.,]){point}\d+)(?:[eE][-+]?\d{{1,3}}(?!\d))?"
    sign = r"(?P<sign>(?<![\w.)\]])[-+](?=\\?[$€£¥]?\s?[.,]?\d))?"
    start = r"(?<![\dA-Za-z\u00c0-\u024f_^])(?<![\^_]\{)"
    units = r"(?:(?P<units>\d+)\s+(?=\d+\s?/\s?\d))?"
    return re.compile(
        rf"{sign}(?:\\?[$€£¥]\s?)?{start}{units}(?P<top>{number})(?:\s?/\s?(?P<bottom>{number})(?![/\d]))?"
    )


_PATTERNS = {"point": _pattern(",", r"\."), "comma": _pattern(r"\.", ",")}
_SEPARATORS = {"point": str.maketrans("", "", ","), "comma": str.maketrans(",", ".", ".")}


class Number(ReferenceSpec):
    """Which number is read, and how far it may be from the right one.

    Attributes:
        tolerance: greatest difference that counts as none.
        relative_tolerance: the same as a share of the right number.
        match: which number of the answer is read where nothing marks one.
        decimal: sign before decimals; the other one parts thousands.
    """

    tolerance: Annotated[Real, Field(ge=0)] = 0.0
    relative_tolerance: Annotated[Real, Field(ge=0)] = 0.0
    match: Literal["first", "last"] = "last"
    decimal: Literal["point", "comma"] = "point"


def judge(examples: Sequence[Example], texts: Sequence[str], settings: Number) -> list[Verdict]:
    """Whether the number of each text is that of one of its example's right answers."""
    return [_verdict(example, text, settings) for example, text in zip(examples, texts, strict=True)]


def read_number(text: str, *, first: bool = False, decimal: str = "point") -> tuple[float, str] | None:
    r"""The number that a text gives as its answer, and how it is written; None where there is none.

    It is the number behind the last `####`, else the last in the last `\boxed{}`, else the last of all.

    Args:
        text: of an answer.
        first: take the first of all, where nothing marks one.
        decimal: `point` or `comma`, the sign before decimals.

    Example:
        >>> read_number("So 2 x 600 = $1,200.50.")
        (1200.5, '$1,200.50')
        >>> read_number("#### 42\nThat is 7 weeks."), read_number("none")
        ((42.0, '42'), None)
    """
    for pattern, form in _AS_PLAIN:
        text = pattern.sub(form, text)
    for part, place in ((_MARK.findall(text), 0), (_BOXED.findall(text), -1), ([text], 0 if first else -1)):
        if part and (numbers := list(_numbers(part[-1], decimal))):
            return numbers[place]
    return None


def _numbers(text: str, decimal: str) -> Iterator[tuple[float, str]]:
    for match in _PATTERNS[decimal].finditer(text):
        units, top, bottom = (
            float(part.translate(_SEPARATORS[decimal])) if part else None
            for part in match.group("units", "top", "bottom")
        )
        value = top or 0.0
        if bottom is not None:
            in_date = text[: match.start()].endswith("/")
            value = bottom if in_date else value / bottom if bottom else math.nan
        value = (units or 0.0) + value
        if math.isfinite(value):
            yield (-value if match["sign"] == "-" else value), match[0].strip()


def _verdict(example: Example, text: str, settings: Number) -> Verdict:
    right = [one[0] for answer in right_answers(example, settings.column) if (one := read_number(answer))]
    if not right:
        return Verdict(None, missing_reason=f"the example {_refuses(example, settings)}")
    own = read_number(text, first=settings.match == "first", decimal=settings.decimal)
    if own is None:
        return Verdict(0.0, "no number" if text.strip() else EMPTY)
    is_right = any(
        math.isclose(own[0], value, rel_tol=0, abs_tol=settings.tolerance + settings.relative_tolerance * abs(value))
        for value in right
    )
    return Verdict(float(is_right), "right" if is_right else "wrong", own[1], answer=f"{own[0]:.15g}")


def _refuses(example: Example, settings: Number) -> str:
    answers = right_answers(example, settings.column)
    if answers and not any(map(read_number, answers)):
        return f"has no number in its right answer, '{answers[0][:40]}'"
    return no_right_answer(example, settings)


SCORER = Scorer(
    name="number",
    settings=Number,
    judge=judge,
    limits=(
        "Tells whether the last number of the answer, or the one behind `####` or inside `\\boxed{}`, is the last of "
        "the right answer. It cannot tell whether the way there is right, reads no numbers in words (`twelve`), "
        "converts no units, takes `5 %` for 5, and is misled by numbers that come after the result."
    ),
    outcomes=("right", "wrong", "no number", EMPTY),
    doubtful=(EMPTY,),
    refuses=_refuses,
)
