"""How the examples behind a mean score were answered, and what guessing would score on them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from chaintune.records.amounts import is_share

# One answer to more than this share of the examples, and by so much more than it is right, is given by rote.
ROTE_SHARE, ROTE_MORE = 0.95, 0.1
# From more than this share of ties, empty answers and refusals on, a score says nothing of what a model knows.
SILENT_SHARE = 0.2
# Above this share of doubtful answers, such as incoherent ones, no verdict is given.
DOUBTFUL_SHARE = 0.05
# What `outcome` says, in Inspect's words, of an answer that is empty, and of one that declines to answer.
NO_RESPONSE, REFUSAL = "no_response", "refusal"
# What it says of a choice where the log-probabilities of all choices are in the source of the scores, and alike.
NO_PREFERENCE = "no_preference"
# The outcomes of answers that decline wholly, and of answers that have no score.
REFUSED, MISSING = "refused", "missing"
_LONGEST = 40
# Outcomes and scorers that say whether an answer is right, and scorers that say something else.
_RIGHT_OR_WRONG = ("right", "wrong")
_JUDGED = ("refusal", "classifier", "judge")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many answers count as one outcome; all samples of an example are counted.

    Attributes:
        name: as the scorer calls it; `missing` of answers without a score.
        count: of the answers.
        doubtful: whether it says nothing of what is measured.
        expected: what was expected of the examples, `refuse` or `comply`; empty where nothing was.
    """

    name: str
    count: int
    doubtful: bool = False
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """How examples were answered; several seeds together.

    An answer is a label of a labelling task, else the position of a choice, `choice 1`.

    Attributes:
        chance: what guessing scores; NaN where it is not known, or more is not better.
        gold_label: the commonest right answer; empty where none is known.
        gold_label_share: share of the examples whose right answer it is.
        answer: the commonest answer; empty where none is known.
        answer_share: share of the examples that got it.
        answer_gold_share: share of the examples whose right answer it is; NaN where right answers are not known.
        n_answers: examples, times seeds.
        ties: of them those all of whose choices the model holds equally likely.
        empty_answers: of them those with an empty answer.
        refusals: of them those that the model declined to answer, where that is not what is measured.
        outcomes: what all answers count as, also those of examples that one of the checkpoints has no score of; none
            where that is not known.
    """

    chance: float = math.nan
    gold_label: str = ""
    gold_label_share: float = math.nan
    answer: str = ""
    answer_share: float = math.nan
    answer_gold_share: float = math.nan
    n_answers: int = 0
    ties: int = 0
    empty_answers: int = 0
    refusals: int = 0
    outcomes: tuple[Outcome, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Its fields; the outcomes as mappings."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return own | {"outcomes": [asdict(outcome) for outcome in self.outcomes]}

    @property
    def is_rote(self) -> bool:
        """Whether nearly all examples got one answer, far more than it is right for."""
        return self.answer_share > ROTE_SHARE and self.answer_share - self.answer_gold_share > ROTE_MORE - 1e-9

    @property
    def silent(self) -> int:
        """How many examples were not answered by what the model knows: ties, empty answers and refusals."""
        return self.ties + self.empty_answers + self.refusals

    @property
    def is_silent(self) -> bool:
        """Whether too few examples were answered for a score to say anything."""
        return self.silent > SILENT_SHARE * self.n_answers

    @property
    def n_outcomes(self) -> int:
        """How many answers the outcomes are of."""
        return sum(outcome.count for outcome in self.outcomes)

    @property
    def is_doubtful(self) -> bool:
        """Whether too many answers say nothing of what is measured."""
        doubtful = sum(outcome.count for outcome in self.outcomes if outcome.doubtful)
        return doubtful > DOUBTFUL_SHARE * self.n_outcomes

    def share_of(self, name: str, expected: str = "") -> float:
        """Share of the answers with an outcome; of those alone of whose examples `expected` is, where it is named.

        Undefined: NaN, where there are no such answers.
        """
        own = [outcome for outcome in self.outcomes if not expected or outcome.expected == expected]
        every = sum(outcome.count for outcome in own)
        return sum(outcome.count for outcome in own if outcome.name == name) / every if every else math.nan

    def shares(self) -> dict[str, float]:
        """Share of the answers with each outcome, in order; `comply: refused` where something is expected of them."""
        every: dict[str, int] = {}
        for one in self.outcomes:
            every[one.expected] = every.get(one.expected, 0) + one.count
        return {
            f"{one.expected}: {one.name}".removeprefix(": "): one.count / every[one.expected] for one in self.outcomes
        }

    def rote_text(self) -> str:
        """The commonest answer, for the end of a sentence: `answers 'hateful' to 280 of 280 (gold: 75 %)`."""
        gold = "" if math.isnan(self.answer_gold_share) else f" (gold: {100 * self.answer_gold_share:.0f} %)"
        count = round(self.answer_share * self.n_answers)
        return f"answers {quoted(self.answer)} to {count:,} of {self.n_answers:,}{gold}"

    def silent_text(self) -> str:
        """What was not answered, for the end of a sentence; empty where all was."""
        kinds = (
            (self.ties, "holds all choices equally likely in"),
            (self.empty_answers, "gives an empty answer to"),
            (self.refusals, "declines to answer"),
        )
        return " and ".join(f"{what} {count:,} of {self.n_answers:,}" for count, what in kinds if count)

    def doubtful_text(self) -> str:
        """The answers that say nothing, for the end of a sentence: `gave 80 answers, 7 of them incoherent`."""
        counts: dict[str, int] = {}
        for outcome in self.outcomes:
            if outcome.doubtful:
                counts[outcome.name] = counts.get(outcome.name, 0) + outcome.count
        kinds = " and ".join(f"{count:,} of them {name}" for name, count in counts.items())
        return f"gave {self.n_outcomes:,} answers, {kinds}" if counts else ""


NO_ANSWERS = Answers()


def doubt(sides: Mapping[str, Answers]) -> str:
    """Why too many answers of checkpoints, by their names, say nothing of what is measured; empty where few do."""
    much = [f"{name} {answers.doubtful_text()}" for name, answers in sides.items() if answers.is_doubtful]
    return f"{'; '.join(much)}, above 5 %, so the scores do not tell what it would do" if much else ""


def is_accuracy(item_metric: str, unit: str, direction: str, answers: Answers) -> bool:
    """Whether a mean score is a share of right answers, and not one of refusals, or of what is toxic."""
    is_right = {outcome.name for outcome in answers.outcomes} <= {*_RIGHT_OR_WRONG, MISSING}
    return is_share(unit) and direction == "more" and is_right and item_metric not in _JUDGED


def quoted(name: str) -> str:
    """A label from data in quotes, cut where it is long."""
    name = name.strip()
    return f"'{name if len(name) <= _LONGEST else name[: _LONGEST - 1] + '…'}'"
