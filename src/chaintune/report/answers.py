"""How examples were answered, in cells and words: chance, and the commonest answer beside the commonest right one."""

import math
from collections.abc import Iterable, Sequence

from chaintune.records import Answers, ResultRow
from chaintune.records.scales import PERCENT, levels_in
from chaintune.report.labels import listed, one_line

CHANCE_HEADER = ("chance", "commonest gold")
ANSWERS_HEADER = (*CHANCE_HEADER, "commonest answer")
UNKNOWN = "none"


def chance_cells(answers: Answers, unit: str) -> tuple[str, str]:
    """The cells of `CHANCE_HEADER`."""
    chance = UNKNOWN if math.isnan(answers.chance) else levels_in(unit).number(answers.chance)
    return chance, _share(answers.gold_label, answers.gold_label_share)


def answers_cells(sides: Sequence[Answers], unit: str) -> tuple[str, str, str]:
    """The cells of `ANSWERS_HEADER`: of one checkpoint, or of two with a comma between their commonest answers."""
    shares = [_share(side.answer, side.answer_share) for side in sides]
    return (*chance_cells(sides[0], unit), ", ".join(shares) if any(shares) else "")


def is_known(answers: Iterable[Answers]) -> bool:
    """Whether there is anything to tell of chance or answers."""
    return any(one.gold_label or one.answer or not math.isnan(one.chance) for one in answers)


def chance_line(rows: Sequence[tuple[str, Answers]], unit: str) -> str:
    """A sentence on chance, the commonest right answer, and the commonest answer of each checkpoint."""
    chance, gold = chance_cells(rows[0][1], unit)
    answers = [f"{_share(own.answer, own.answer_share)} {name}" for name, own in rows if own.answer]
    unknown = "No chance level is known, so none blocks a verdict"
    if rows[0][1].gold_label:  # labels are known, but fewer than two of them count
        unknown = "There is no chance level, as fewer than two labels count"
    parts = [f"Chance: {chance}" if chance != UNKNOWN else unknown]
    parts += [f"commonest gold: {gold}"] if gold else []
    parts += [f"commonest answer: {', '.join(answers)}"] if answers else []
    return "; ".join(parts) + "."


def remarks(name: str, answers: Answers) -> list[str]:
    """Sentences on answers by rote, and on examples that were not answered."""
    texts = [answers.rote_text()] if answers.is_rote else []
    texts += [answers.silent_text()] if answers.silent else []
    return [f"{name} {text}." for text in texts]


# A part of a reason -> what it is called in a list of groups.
_KINDS = {
    "do not tell what it would do": "too many answers that say nothing",
    "above chance": "not shown above chance before",
    "without a score": "some examples without a score",
}


def without_loss(rows: Iterable[ResultRow]) -> str:
    """A sentence on the groups whose scores cannot show a loss, each kind with its reason; empty where all can."""
    lost: dict[str, list[str]] = {}
    for row in rows:
        if row.verdict_reason:
            kinds = (kind for text, kind in _KINDS.items() if text in row.verdict_reason)
            lost.setdefault(next(kinds, "hardly answered"), []).append(row.group)
    parts = [f"{listed(groups)} ({kind})" for kind, groups in lost.items()]
    return f"No loss can be shown of {' and of '.join(parts)}." if parts else ""


def _share(name: str, share: float) -> str:
    return f"{one_line(name)} {PERCENT.number(share)}" if name else ""
