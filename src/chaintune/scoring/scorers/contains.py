"""Contains: whether given texts, or the right answer, stand in the answer."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from chaintune.config.validation import as_names
from chaintune.records import Example
from chaintune.scoring.scorers.references import ReferenceSpec, no_right_answer, right_answers, standing
from chaintune.scoring.scorers.scorer import EMPTY, Scorer, Verdict

Texts = Annotated[tuple[Annotated[str, Field(pattern=r"\S")], ...], BeforeValidator(as_names)]


class Contains(ReferenceSpec):
    """What has to stand in an answer; the right answer where neither `any` nor `all` is given.

    Attributes:
        any: texts of which one is enough.
        all: texts that all have to be there.
        ignore_case: take capital and small letters for alike.
        whole_words: `he` does not stand in `the`.
    """

    any: Texts = ()
    all: Texts = ()
    ignore_case: bool = True
    whole_words: bool = True


def judge(examples: Sequence[Example], texts: Sequence[str], settings: Contains) -> list[Verdict]:
    """Whether each text holds what it has to."""
    return [_verdict(example, text, settings) for example, text in zip(examples, texts, strict=True)]


def _refuses(example: Example, settings: Contains) -> str:
    return "" if settings.any or settings.all else no_right_answer(example, settings)


def _verdict(example: Example, text: str, settings: Contains) -> Verdict:
    if missing := _refuses(example, settings):
        return Verdict(None, missing_reason=f"the example {missing}")
    if not text.strip():
        return Verdict(0.0, EMPTY)
    has_texts = bool(settings.any or settings.all)
    some = settings.any if has_texts else right_answers(example, settings.column)
    how = {"ignore_case": settings.ignore_case, "whole_words": settings.whole_words}
    there = [standing(words, text, **how) for words in some]
    needed = [standing(words, text, **how) for words in settings.all]
    shown = [words for words in (*there, *needed) if words]
    is_right = all(needed) and (any(there) or not some)
    return Verdict(float(is_right), "right" if is_right else "wrong", " · ".join(dict.fromkeys(shown)))


SCORER = Scorer(
    name="contains",
    settings=Contains,
    judge=judge,
    limits=(
        "Tells whether words stand in the answer, with any blanks between them. It cannot tell what is said of them: "
        "`not Paris` holds `Paris`, and an answer that lists everything holds the right answer too. Other forms of a "
        "word (`cats` for `cat`) do not count as it."
    ),
    outcomes=("right", "wrong", EMPTY),
    doubtful=(EMPTY,),
    refuses=_refuses,
)
