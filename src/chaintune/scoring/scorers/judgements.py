"""What a scorer's model said of the texts of a measurement: which questions it is asked, and the record of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from chaintune.config.validation import Spec
from chaintune.errors import DataError
from chaintune.records import Example, Measurement, canonical_digest
from chaintune.records.generation import Keep
from chaintune.records.measurements import MEASUREMENT_SCHEMA
from chaintune.scoring.scorers.scorer import Asks, OpenModel, Scorer, Verdict

_VERDICT = ("score", "outcome", "evidence", "missing_reason", "answer")
# `question` is the digest of what the model got to see of a text.
JUDGED = pa.schema(
    [
        *MEASUREMENT_SCHEMA,
        ("text", pa.string()),
        ("score", pa.float64()),
        *((name, pa.string()) for name in _VERDICT[1:]),
        ("question", pa.string()),
    ]
)
# Verdicts of a language model, and of a classifier, that are kept together while the rest is asked for.
_KEPT_TOGETHER, _CLASSIFIED_TOGETHER = 64, 1024


def asks_of(scorer: Scorer) -> Asks:
    """How a scorer asks its model."""
    assert scorer.asks is not None  # noqa: S101 - asked of scorers with a model only
    return scorer.asks


def reads_probabilities(settings: Spec) -> bool:
    """Whether the settings of a scorer ask for the probabilities of verdicts, of a model behind a server too."""
    return getattr(settings, "read", "") == "probabilities"


def judge_digest(scorer: Scorer, settings: Spec, model: Sequence[Any]) -> str:
    """Digest of everything that determines a verdict beside the question.

    Args:
        scorer: that asks.
        settings: of the scorer; by which name they call the model is no part of it.
        model: what determines the model's answers.
    """
    nameless = settings.model_copy(update={"model": ""}) if "model" in type(settings).model_fields else settings
    return canonical_digest([scorer.digest(nameless), list(model)])


def questions_digest(scorer: Scorer, settings: Spec, examples: Sequence[Example]) -> str:
    """Digest of what the model gets to see of examples beside the texts; independent of their order."""
    ordered = sorted(examples, key=lambda example: example.id)
    return canonical_digest([[one.id, asks_of(scorer).question(one, "-", settings)] for one in ordered])


def judgement(
    texts: Measurement,
    examples: Sequence[Example],
    scorer: Scorer,
    settings: Spec,
    *,
    name: str,
    model: OpenModel,
    known: Mapping[str, Verdict],
    keep: Keep,
    on_judged: Callable[[int, int], None],
) -> Measurement:
    """The verdict of every text, those of equal questions asked once.

    Args:
        texts: that a checkpoint wrote.
        examples: of these texts, in any order.
        scorer: whose model is asked.
        settings: of the scorer.
        name: of the measurement that comes out.
        model: open.
        known: digest of a question -> its verdict, from earlier judgements by the same judge.
        keep: keeps some verdicts while the rest is asked for; what it is given is data that JSON can hold.
        on_judged: called with the numbers of different questions that have a verdict, and that there are.

    Raises:
        DataError: the texts are of other examples, or the scorer gives no verdict for each.
        ModelError: the model cannot be asked.
    """
    by_id = {example.id: example for example in examples}
    columns = texts.table.select(["example_id", "sample", "text"]).to_pydict()
    if strange := next((one for one in columns["example_id"] if one not in by_id), None):
        raise DataError(f"scorer '{scorer.name}': there are texts of example '{strange}', which the task does not have")
    asks = asks_of(scorer)
    asked = [
        asks.question(by_id[one], text, settings)
        for one, text in zip(columns["example_id"], columns["text"], strict=True)
    ]
    digests = [canonical_digest(question) for question in asked]
    different = dict(zip(digests, asked, strict=True))
    verdicts = {digest: known[digest] for digest in different if digest in known}
    told = len(verdicts)
    missing = [digest for digest in different if digest not in known]
    model = replace(model, keep=keep) if model.is_served else model
    at_once = _CLASSIFIED_TOGETHER if asks.is_classifier else _KEPT_TOGETHER
    for start in range(0, len(missing), at_once):
        part = missing[start : start + at_once]
        tell = partial(_tell, on_judged, told, len(different))
        ask = partial(_plain_verdicts, scorer, model, [different[digest] for digest in part], settings, tell)
        kept = keep(canonical_digest(part), ask)
        verdicts |= {digest: Verdict(*values) for digest, values in zip(part, kept, strict=True)}
        told += len(part)
        on_judged(told, len(different))
    rows = [verdicts[digest] for digest in digests]
    columns |= {name: [getattr(one, name) for one in rows] for name in _VERDICT} | {"question": digests}
    table = pa.Table.from_pydict({field.name: columns[field.name] for field in JUDGED}, schema=JUDGED)
    return Measurement(name, table, texts.provenance).sorted()


def verdicts_of(measurement: Measurement) -> dict[str, Verdict]:
    """Digest of each question -> its verdict, of a judgement that is there."""
    columns = measurement.table.select(["question", *_VERDICT]).to_pydict()
    rows = zip(columns["question"], zip(*(columns[name] for name in _VERDICT), strict=True), strict=True)
    return {question: Verdict(*values) for question, values in rows}


def _tell(on_judged: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    on_judged(before + done, total)


def _plain_verdicts(
    scorer: Scorer, model: OpenModel, questions: Sequence[str], settings: Spec, on_judged: Callable[[int], None]
) -> list[list[Any]]:
    verdicts = asks_of(scorer).ask(model, questions, settings, on_judged=on_judged)
    if len(verdicts) != len(questions):
        raise DataError(f"scorer '{scorer.name}': {len(verdicts)} verdicts of {len(questions)} texts")
    if wrong := next((one for one in verdicts if one.score is not None and not 0 <= one.score <= 1), None):
        raise DataError(f"scorer '{scorer.name}': score {wrong.score}, expected a number from 0 to 1")
    return [[getattr(one, name) for name in _VERDICT] for one in verdicts]
