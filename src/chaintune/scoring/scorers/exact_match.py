"""Exact match: whether the whole answer is the right one."""

from collections.abc import Sequence

from chaintune.records import Example
from chaintune.scoring.scorers.references import ReferenceSpec, alike, no_right_answer, right_answers
from chaintune.scoring.scorers.scorer import EMPTY, Scorer, Verdict


class ExactMatch(ReferenceSpec):
    """Which differences between two texts count as none."""

    ignore_case: bool = True
    ignore_punctuation: bool = True
    ignore_blanks: bool = True


def judge(examples: Sequence[Example], texts: Sequence[str], settings: ExactMatch) -> list[Verdict]:
    """Whether each text is one of its example's right answers."""
    return [_verdict(example, text, settings) for example, text in zip(examples, texts, strict=True)]


def _verdict(example: Example, text: str, settings: ExactMatch) -> Verdict:
    if missing := no_right_answer(example, settings):
        return Verdict(None, missing_reason=f"the example {missing}")
    if not text.strip():
        return Verdict(0.0, EMPTY)
    right = [_alike(answer, settings) for answer in right_answers(example, settings.column)]
    own = _alike(text, settings)
    is_right = own in right
    return Verdict(float(is_right), "right" if is_right else "wrong", answer=text.strip())


def _alike(text: str, settings: ExactMatch) -> str:
    return alike(
        text, case=settings.ignore_case, punctuation=settings.ignore_punctuation, blanks=settings.ignore_blanks
    )


SCORER = Scorer(
    name="exact_match",
    settings=ExactMatch,
    judge=judge,
    limits=(
        "Tells whether the whole answer is the right one, word for word. It cannot tell a right answer inside a "
        "sentence, or in other words: a model that says more than it was asked is wrong. Case, punctuation and blanks "
        "say nothing unless a setting lets them, so that `C++` and `C` are alike."
    ),
    outcomes=("right", "wrong", EMPTY),
    doubtful=(EMPTY,),
    refuses=no_right_answer,
)
