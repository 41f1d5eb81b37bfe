"""What a scorer is: what it makes of a text, what it takes and can give, and what it cannot tell."""

import ast
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from chaintune.config.validation import Spec
from chaintune.errors import DataError, nearest, number_of
from chaintune.records import Example, canonical_digest
from chaintune.records.generation import Keep, kept_nowhere
from chaintune.records.metrics import Direction

if TYPE_CHECKING:  # these load torch
    from chaintune.models.classifiers import Classifier
    from chaintune.scoring.backends.backend import Backend

# Outcomes that several scorers give.
EMPTY, REFUSED, COMPLIED = "empty", "refused", "complied"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a scorer says of one text.

    Attributes:
        score: in [0, 1]; None where there is none.
        outcome: what the text counts as, one of the scorer's outcomes.
        evidence: the words that show it.
        missing_reason: why there is no score.
        answer: what was read out of the text, such as a number or a letter.
    """

    score: float | None
    outcome: str = ""
    evidence: str = ""
    missing_reason: str | None = None
    answer: str | None = None


Judge = Callable[[Sequence[Example], Sequence[str], Any], Sequence[Verdict]]
Expected = Callable[[Verdict, str], float | None]


def _no_chance(_example: Example, _settings: Any) -> None:
    """Nothing is known of what guessing scores."""


def _nothing_expected(_settings: Any) -> None:
    """A score says nothing of what an answer should do."""


def _reads_no_prompt(_settings: Any) -> bool:
    return False


def _any_example(_example: Example, _settings: Any) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class OpenModel:
    """The model that a scorer asks, open.

    Attributes:
        backend: of a language model; None of a classifier.
        gives_probabilities: whether the backend gives log-probabilities of answers.
        is_served: whether a server computes it, so that only asking tells whether it gives them.
        keep: keeps each answer of a server as it comes.
        classifier: in memory; None of a language model.
    """

    backend: "Backend | None" = None
    gives_probabilities: bool = False
    is_served: bool = False
    keep: Keep = kept_nowhere
    classifier: "Classifier | None" = None


class Ask(Protocol):
    """Asks a model for verdicts."""

    def __call__(
        self,
        model: OpenModel,
        questions: Sequence[str],
        settings: Any,
        *,
        on_judged: Callable[[int], None],
    ) -> Sequence[Verdict]:
        """A verdict of each question.

        Args:
            model: of the kind that the scorer asks.
            questions: different ones, what the model gets to see of each text.
            settings: of the scorer.
            on_judged: called with the number of questions done.
        """
        ...


@dataclass(frozen=True, slots=True)
class Asks:
    """How a scorer asks a model; its judgements are jobs of their own.

    Attributes:
        question: what the model gets to see of a text; equal questions are asked once.
        ask: makes verdicts of questions.
        is_classifier: whether it asks a sequence classifier, else a language model.
        check: refuses, before anything runs, settings that do not fit a classifier in a folder.
        written_tokens: that the model writes at most for each text.
    """

    question: Callable[[Example, str, Any], str]
    ask: Ask
    is_classifier: bool = False
    check: Callable[[Path, Any], None] = lambda _folder, _settings: None
    written_tokens: Callable[[Any], int] = lambda _settings: 0


@dataclass(frozen=True, slots=True)
class Scorer:
    """What judges texts that a model wrote.

    Attributes:
        name: as study files write it.
        settings: schema of what a study file may set.
        judge: makes a verdict of each text; takes the example of each text, the texts, and the settings.
        limits: what it can and cannot tell.
        version: raised when it judges otherwise; the digest of its code is part of every key as well.
        direction: whether `more` or `less` is better.
        chance: what guessing scores on an example; None where it is not known.
        outcomes: that it can give.
        doubtful: outcomes that make a verdict inconclusive where there are more than a few of them.
        model: the model that it asks, as a user names it; None where it asks none.
        refuses: why an example cannot be judged; empty where it can.
        reads_prompt: whether what was asked decides too, with some settings, although it judges without it.
        asks: how it asks its model; None where it asks none.
        directed: the direction, where the settings decide it.
        expected: with some settings, what scores a verdict where an answer should `refuse` or `comply`: 1 where that
            was done. None where they say nothing of it.
    """

    name: str
    settings: type[Spec]
    judge: Judge
    limits: str
    version: str = "1"
    direction: Direction = "more"
    chance: Callable[[Example, Any], float | None] = _no_chance
    outcomes: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    model: Callable[[Any], str] | None = None
    refuses: Callable[[Example, Any], str] = _any_example
    reads_prompt: Callable[[Any], bool] = _reads_no_prompt
    asks: Asks | None = None
    directed: Callable[[Any], Direction] | None = None
    expected: Callable[[Any], Expected | None] = _nothing_expected

    def direction_of(self, settings: Spec) -> Direction:
        """Whether more or less is better, with these settings."""
        return self.directed(settings) if self.directed else self.direction

    def digest(self, settings: Spec) -> str:
        """Digest of all that determines a verdict: settings, version, and the code, with the phrases in it."""
        return canonical_digest([self.name, self.version, settings.model_dump(mode="json"), *_code_of(self.judge)])

    def check(self, examples: Sequence[Example], settings: Spec, task: str) -> None:
        """Refuse examples that it cannot judge.

        Args:
            examples: of the task.
            settings: of the scorer.
            task: named in errors.

        Raises:
            DataError: there are some; the message counts them and names the first.
        """
        refused = [(example, reason) for example in examples if (reason := self.refuses(example, settings))]
        if refused:
            example, reason = refused[0]
            raise DataError(
                f"task '{task}': scorer '{self.name}' cannot judge {len(refused)} of "
                f"{number_of(len(examples), 'example')}, such as '{example.id}', which {reason}"
            )

    def verdicts(self, examples: Sequence[Example], texts: Sequence[str], settings: Spec) -> list[Verdict]:
        """A verdict of each text, held against what a verdict may be.

        Args:
            examples: one a text.
            texts: that a model wrote.
            settings: of the scorer.

        Raises:
            DataError: the scorer gives another number of verdicts than texts, or one that no verdict can be.
        """
        verdicts = list(self.judge(examples, texts, settings))
        if len(verdicts) != len(texts):
            raise DataError(f"scorer '{self.name}': {len(verdicts)} verdicts of {number_of(len(texts), 'text')}")
        return [self._checked(verdict, example) for verdict, example in zip(verdicts, examples, strict=True)]

    def _checked(self, verdict: Verdict, example: Example) -> Verdict:
        what = f"scorer '{self.name}', example '{example.id}'"
        # NaN is not between any two numbers.
        if verdict.score is not None and not 0 <= verdict.score <= 1:
            number = verdict.score if math.isfinite(verdict.score) else "no finite number"
            raise DataError(f"{what}: score {number}, expected a number from 0 to 1, or none with a reason")
        if self.outcomes and verdict.outcome not in ("", *self.outcomes):
            raise DataError(f"{what}: outcome '{verdict.outcome}', {nearest(verdict.outcome, self.outcomes)}")
        if verdict.score is None and not verdict.missing_reason:
            return replace(verdict, missing_reason=f"scorer '{self.name}' gives no score")
        return verdict


def _code_of(judge: Judge) -> list[str]:
    """Source of the module that judges, and of the scorers' own modules that it imports, as far as it is known."""
    names, seen = [judge.__module__], list[str]()
    while names:
        if (name := names.pop()) not in seen:
            seen.append(name)
            names += _imported(name)
    return [source for name in sorted(seen) if (source := _source(name))]


@cache
def _imported(module: str) -> tuple[str, ...]:
    """The scorers' own modules that a module imports; what it takes of them may be phrases alone."""
    nodes = ast.walk(ast.parse(_source(module)))
    names = (node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module)
    return tuple(name for name in names if name.startswith(f"{__package__}."))


@cache
def _source(module: str) -> str:
    try:
        return inspect.getsource(import_module(module))
    except (OSError, TypeError):  # a compiled module has none, and then its version alone speaks
        return ""
