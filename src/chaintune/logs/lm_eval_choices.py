"""What was chosen in a task of choices of lm-evaluation-harness, and what is right."""

from collections.abc import Sequence
from typing import Any

from chaintune.files.columns import Columns
from chaintune.files.rows import Row
from chaintune.logs.details import CHANCE, explain
from chaintune.records.answers import NO_PREFERENCE
from chaintune.records.choice import is_tie
from chaintune.records.examples import LABEL
from chaintune.records.margins import LOG_MARGIN, log_margin

ANSWERS, ARGUMENTS, _TARGET = "filtered_resps", "arguments", "target"
_BY_LENGTH = "acc_norm"
METRICS = ("acc", _BY_LENGTH)
# Begins what is no field of a row, as no name of one does.
_MADE = "\0"


def choice_fields(row: Row) -> list[str]:
    """The fields that say what was chosen; none where a row holds no log-probabilities of choices."""
    answers = row.get(ANSWERS)
    if not isinstance(answers, list) or len(answers) < 2 or not all(_is_likelihood(answer) for answer in answers):
        return []
    return [ANSWERS, _TARGET, *_texts(len(answers))]


def with_choices(columns: Columns, metric: str) -> tuple[Columns, dict[str, str]]:
    """The columns with answers, labels, ties, chance and margins, and which column of a score file each is of.

    A choice is called by its text where all examples offer the same ones, in whatever order, else by its place. Where
    what is right does not follow from them as the log scores it, ties alone are added.
    """
    answers, targets = columns.values[ANSWERS], columns.values[_TARGET]
    offers = list(zip(*_choices(columns), strict=True))
    by_length = metric == _BY_LENGTH
    numbers = [_numbers(own, offer if by_length else ()) for own, offer in zip(answers, offers, strict=True)]
    chosen: list[Any] = [own.index(max(own)) if own else None for own in numbers]
    made: dict[str, Sequence[Any]] = {"outcome": [NO_PREFERENCE if is_tie(own) else None for own in numbers]}
    gold: list[Any] = [
        one if type(one) is int else _gold(one, offer) for one, offer in zip(targets, offers, strict=True)
    ]
    if all(map(_explains, chosen, gold, answers, columns.values[metric])):
        by_text = _are_same(offers, answers)
        called = [offer if by_text else range(len(own)) for own, offer in zip(answers, offers, strict=True)]
        made["answer"] = [str(names[place]) for names, place in zip(called, chosen, strict=True)]
        made[CHANCE] = [1 / len(values) for values in answers]
        made[LOG_MARGIN] = [log_margin(_numbers(own, ()), place) for own, place in zip(answers, gold, strict=True)]
        labels = [str(names[place]) for names, place in zip(called, gold, strict=True)]
        if explain(columns.values[metric], labels, made["answer"]):
            made[LABEL] = labels
    known = {f"{_MADE}{name}": column for name, column in made.items()}
    return Columns({**columns.values, **known}, columns.place), {name: f"{_MADE}{name}" for name in made}


def _explains(chosen: int | None, gold: int | None, answers: Any, score: Any) -> bool:
    """Whether a score is 1 where what was chosen is right, and only there."""
    known = chosen is not None and gold is not None and 0 <= gold < len(answers)
    return known and (chosen == gold) == (score == 1)


def _are_same(offers: Sequence[Sequence[str]], answers: Sequence[Any]) -> bool:
    """Whether all examples offer the same texts, each once."""
    texts = set(offers[0])
    return all(texts) and all(
        set(offer) == texts and len(offer) == len(own) == len(texts) for offer, own in zip(offers, answers, strict=True)
    )


def _choices(columns: Columns) -> list[list[str]]:
    """The text of each choice, a column a choice, blank where an example has fewer."""
    known = columns.values
    fields = [known[name] for name in _texts(len(known)) if name in known]
    if ARGUMENTS in known:  # up to 0.4.2 the requests are a list of prompt and continuation
        listed = [requests if isinstance(requests, list) else [] for requests in known[ARGUMENTS]]
        fields = [[_continuation(requests, place) for requests in listed] for place in range(len(fields))]
    return [[text.strip() if isinstance(text, str) else "" for text in column] for column in fields]


def _continuation(requests: list[Any], place: int) -> Any:
    request = requests[place] if place < len(requests) else None
    return request[-1] if isinstance(request, list) and request else None


def _numbers(answers: Any, texts: Sequence[str]) -> list[float]:
    """The log-probabilities of choices, over the length of each text where texts are given; empty where one is none."""
    try:
        numbers = [float(answer[0]) for answer in answers]
    except (TypeError, ValueError, LookupError, OverflowError):
        return []
    return [number / max(len(text), 1) for number, text in zip(numbers, texts, strict=False)] if texts else numbers


def _gold(target: Any, texts: Sequence[str]) -> int | None:
    if isinstance(target, str) and target.strip() in texts:
        return texts.index(target.strip())
    return int(target) if isinstance(target, str) and target.strip().isdecimal() else None


def _texts(count: int) -> list[str]:
    return [f"{ARGUMENTS}.gen_args_{place}.arg_1" for place in range(count)]


def _is_likelihood(answer: Any) -> bool:
    """Whether an answer is a log-probability, and whether the choice is the likeliest text."""
    return isinstance(answer, list) and len(answer) == 2
