"""Regex: whether a regular expression matches the answer, and what it matches is what was expected."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from chaintune.records import Example
from chaintune.scoring.scorers.references import ReferenceSpec, no_right_answer, right_answers
from chaintune.scoring.scorers.scorer import EMPTY, Scorer, Verdict


def _as_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression of Python's: {error}") from error
    return pattern


class Regex(ReferenceSpec):
    """What is looked for, and what it is compared with.

    Attributes:
        pattern: of Python's `re`, found anywhere in the answer.
        group: of the pattern, by number or name, that is compared; by default the first, else the whole match.
        match: which of several matches is compared.
        expected: text that the group has to be; None where a match is enough.
        reference: compare the group with the right answer.
        ignore_case: take capital and small letters for alike.
    """

    pattern: Annotated[str, Field(min_length=1), AfterValidator(_as_pattern)]
    group: int | str | None = None
    match: Literal["first", "last"] = "first"
    expected: str | None = None
    reference: bool = False
    ignore_case: bool = False

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        compiled = re.compile(self.pattern)
        known = [*range(compiled.groups + 1), *compiled.groupindex]
        if self.group is not None and self.group not in known:
            raise ValueError(f"its pattern has no group {self.group!r}; it has {', '.join(map(str, known))}")
        if self.reference and self.expected is not None:
            raise ValueError("'expected' and 'reference' are both given; the match is compared with one of them")
        return self


def judge(examples: Sequence[Example], texts: Sequence[str], settings: Regex) -> list[Verdict]:
    """Whether the pattern matches each text, and matches what is expected."""
    pattern = re.compile(settings.pattern, re.IGNORECASE if settings.ignore_case else 0)
    return [_verdict(example, text, pattern, settings) for example, text in zip(examples, texts, strict=True)]


def _refuses(example: Example, settings: Regex) -> str:
    return no_right_answer(example, settings) if settings.reference else ""


def _verdict(example: Example, text: str, pattern: re.Pattern[str], settings: Regex) -> Verdict:
    if missing := _refuses(example, settings):
        return Verdict(None, missing_reason=f"the example {missing}")
    matches = list(pattern.finditer(text))
    if not matches:
        return Verdict(0.0, "no match" if text.strip() else EMPTY)
    match = matches[0 if settings.match == "first" else -1]
    group = settings.group if settings.group is not None else min(1, pattern.groups)
    answer = (match[group] or "").strip()
    expected = right_answers(example, settings.column) if settings.reference else (settings.expected,)
    is_right = expected == (None,) or any(_same(answer, str(one), settings) for one in expected)
    return Verdict(float(is_right), "right" if is_right else "wrong", match[0], answer=answer)


def _same(answer: str, expected: str, settings: Regex) -> bool:
    expected = expected.strip()
    return answer.casefold() == expected.casefold() if settings.ignore_case else answer == expected


SCORER = Scorer(
    name="regex",
    settings=Regex,
    judge=judge,
    limits=(
        "Tells what its pattern tells, and nothing else: a pattern that was made for the answers of one model may miss "
        "those of another, also of the same model after tuning. Look at the answers of both sides before you believe a "
        "difference. A pattern with nested repetitions can take very long on a long answer."
    ),
    outcomes=("right", "wrong", "no match", EMPTY),
    doubtful=(EMPTY,),
    refuses=_refuses,
)
