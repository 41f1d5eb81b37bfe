"""What was chosen in a task of choices of lm-evaluation-harness, and what is right."""

from collections.abc import Iterator, Sequence
from typing import Any

from chaintune.files.columns import Columns
from chaintune.files.rows import Row
from chaintune.logs.details import CHANCE, repeat
from chaintune.records.examples import LABEL

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
    """The columns with answers, labels and chance, and which column of a score file each is of.

    A choice is called by its text where all examples offer the same ones, else by its place. Where what is right does
    not follow from them as the log scores it, nothing is added.

    Args:
        columns: those of `choice_fields` and the metric's.
        metric: by which a choice is preferred, one of `METRICS`.
    """
    rows = list(_rows(columns))
    chosen = [_best(values, texts if metric == _BY_LENGTH else []) for values, texts, _ in rows]
    gold = [_gold(target, texts) for _, texts, target in rows]
    scores = columns.values[metric]
    if not all(
        place is not None and one is not None and (place == one) == (value == 1)
        for place, one, value in zip(chosen, gold, scores, strict=True)
    ):
        return columns, {}
    offers = {tuple(texts) for _, texts, _ in rows}
    named = offers.pop() if len(offers) == 1 else ()
    by_text = all(named) and len(set(named)) == len(rows[0][0])
    made: dict[str, Sequence[Any]] = {
        "answer": [named[place] if by_text else str(place) for place in chosen if place is not None],
        LABEL: [named[place] if by_text else str(place) for place in gold if place is not None],
        CHANCE: [1 / len(values) for values, _, _ in rows],
    }
    if not repeat(made[LABEL]):
        del made[LABEL]
    known = {f"{_MADE}{name}": column for name, column in made.items()}
    return Columns({**columns.values, **known}, columns.place), {name: f"{_MADE}{name}" for name in made}


def _rows(columns: Columns) -> Iterator[tuple[list[Any], list[str], Any]]:
    """Log-probabilities, texts of the choices and target of each example."""
    known = columns.values
    fields = [known[name] for name in _texts(len(known)) if name in known]
    listed = known.get(ARGUMENTS, [None] * len(known[ANSWERS]))
    for answers, target, requests, *texts in zip(known[ANSWERS], known[_TARGET], listed, *fields, strict=True):
        values = [value[0] if _is_likelihood(value) else None for value in answers or ()]
        # Up to 0.4.2 the requests are a list of prompt and continuation.
        own = [request[-1] for request in requests if request] if isinstance(requests, list) else texts
        yield values, [text.strip() if isinstance(text, str) else "" for text in own[: len(values)]], target


def _best(values: Sequence[Any], texts: Sequence[str]) -> int | None:
    """The place of the highest log-probability, over the length of its text where texts are given."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        return None
    if texts:
        numbers = [number / max(len(text), 1) for number, text in zip(numbers, texts, strict=False)]
    return max(range(len(numbers)), key=numbers.__getitem__) if numbers else None


def _gold(target: Any, texts: Sequence[str]) -> int | None:
    if isinstance(target, str) and target.strip() in texts:
        return texts.index(target.strip())
    if isinstance(target, str) and target.strip().isdecimal():
        target = int(target)
    return target if isinstance(target, int) else None


def _texts(count: int) -> list[str]:
    return [f"{ARGUMENTS}.gen_args_{place}.arg_1" for place in range(count)]


def _is_likelihood(answer: Any) -> bool:
    """Whether an answer is a log-probability, and whether the choice is the likeliest text."""
    return isinstance(answer, list) and len(answer) == 2
