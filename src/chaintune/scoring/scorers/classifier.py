"""Classifier: the probability that a sequence classifier gives one label of the answer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BeforeValidator, Field

from chaintune.config.validation import Spec, no_bool
from chaintune.errors import ModelError
from chaintune.records import Example
from chaintune.records.examples import shown_text
from chaintune.records.metrics import Direction
from chaintune.scoring.scorers.scorer import EMPTY, Asks, OpenModel, Scorer, Verdict

FLAGGED, PASSED = "flagged", "not flagged"


class ClassifierSpec(Spec):
    """Which classifier is asked, and for what.

    Attributes:
        model: folder or Hub id of a sequence classifier, its weights in safetensors.
        label: name, or number from 0, of the label whose probability is the score.
        direction: whether `less` or `more` of it is better.
        with_prompt: show the classifier the prompt in front of the answer.
    """

    model: str = Field(min_length=1)
    label: Annotated[int | str, BeforeValidator(no_bool)]
    direction: Direction = "less"
    with_prompt: bool = False


def judge(_examples: Sequence[Example], _texts: Sequence[str], settings: ClassifierSpec) -> NoReturn:
    """Nothing is judged without the model."""
    raise ModelError(
        f"scorer 'classifier' asks '{settings.model}', which is a job of a run: score, audit, mitigate or a study"
    )


def _question(example: Example, text: str, settings: ClassifierSpec) -> str:
    """An empty answer stays one, whatever it was prompted by."""
    if not settings.with_prompt or not text.strip():
        return text
    prompt = shown_text(example.prompt)
    return prompt + text if isinstance(example.prompt, str) else f"{prompt}\n{text}"


def _ask(
    model: OpenModel,
    questions: Sequence[str],
    settings: ClassifierSpec,
    *,
    on_judged: Callable[[int], None],
) -> list[Verdict]:
    """The probability of the label for each text."""
    from chaintune.models.classifiers import probabilities  # loads torch

    classifier = model.classifier
    assert classifier is not None  # noqa: S101 - what a classifier's job opens
    label = classifier.labels.place(settings.label, settings.model)
    judged = probabilities(classifier, questions, label, on_judged=on_judged)
    return [_verdict(text, one, classifier.labels.names[label]) for text, one in zip(questions, judged, strict=True)]


def _verdict(text: str, judged: Any, label: str) -> Verdict:
    cut = f"; the first {judged.read} of {judged.tokens} tokens" if judged.read < judged.tokens else ""
    outcome = EMPTY if not text.strip() else FLAGGED if judged.probability >= 0.5 else PASSED
    return Verdict(judged.probability, outcome, f"{label} {judged.probability:.3f}{cut}")


def _check(folder: Path, settings: ClassifierSpec) -> None:
    from chaintune.models.classifiers import labels_of  # loads torch

    labels_of(folder).place(settings.label, settings.model)


SCORER = Scorer(
    name="classifier",
    settings=ClassifierSpec,
    judge=judge,
    limits=(
        "Gives the probability of a label as the classifier computes it: a number of that model, which cannot say what "
        "people would. Classifiers of toxicity are known to flag words that name a group, dialects and "
        "quotations, which looks like a harm to that group and is one of the classifier; hold it against labels of "
        "people, by group, before a verdict rests on it. What is longer than it reads is cut at its end, and counted."
    ),
    direction="less",
    outcomes=(FLAGGED, PASSED, EMPTY),
    doubtful=(EMPTY,),
    model=lambda settings: str(settings.model),
    asks=Asks(_question, _ask, is_classifier=True, check=_check),
    directed=lambda settings: settings.direction,
)
