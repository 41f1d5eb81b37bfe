"""Multiple choice: the measurement of every choice's log-probability, and the item metrics that read it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chaintune.records.examples import Example
from chaintune.records.margins import SCALED_MARGIN, log_margins, scaled_margins
from chaintune.records.measurements import MEASUREMENT_SCHEMA, Measurement
from chaintune.records.metrics import ItemMetric

Metric = Literal["accuracy", "balanced_accuracy", "accuracy_per_token", "accuracy_per_byte"]
BALANCED = "balanced_accuracy"

CHOICE = "choice"
# In nats. Two choices nearer to each other than arithmetic in fp32 can tell are a tie, and the first of them is
# preferred, so that no answer hangs on the order in which numbers were added up.
TIE = 1e-4

MEASURED = pa.schema(
    [
        *MEASUREMENT_SCHEMA,
        pa.field("log_probabilities", pa.list_(pa.float64())),
        pa.field("tokens", pa.list_(pa.int32())),
        pa.field("bytes", pa.list_(pa.int32())),
    ]
)
# What scores of choices say beyond scores of any kind; `choice_logprobs` are natural-log sums over a choice's tokens.
CHOICE_SCHEMA = pa.schema(
    [
        ("gold", pa.int32()),
        ("choice_logprobs", pa.list_(pa.float64())),
        ("choice_tokens", pa.list_(pa.int32())),
        ("choice_bytes", pa.list_(pa.int32())),
        ("choice_roles", pa.list_(pa.string())),
        ("prediction", pa.int32()),
        ("correct", pa.bool_()),
    ]
)
_LENGTHS: Mapping[str, str] = {"accuracy_per_token": "choice_tokens", "accuracy_per_byte": "choice_bytes"}


def choice_measurement(
    examples: Sequence[Example],
    logprobs: Sequence[Sequence[float]],
    tokens: Sequence[Sequence[int]],
    provenance: Mapping[str, str] | None = None,
) -> Measurement:
    """The measurement of examples with choices.

    Args:
        examples: in any order.
        logprobs: log-probability of each choice of each example, in nats.
        tokens: how many tokens each log-probability sums over.
        provenance: what made it.
    """
    sizes = [[len(choice.strip().encode()) for choice in example.choices.texts] for example in examples]
    sums, counts = [[float(value) for value in row] for row in logprobs], [list(row) for row in tokens]
    return Measurement.of(CHOICE, MEASURED, examples, [sums, counts, sizes], provenance)


def preferred(logprobs: Sequence[float]) -> int:
    """Index of the choice with the largest log-probability, the first one on a tie.

    Example:
        >>> preferred([-2.0, -1.00001, -1.0])
        1
    """
    return int(np.argmax(np.asarray(logprobs) >= max(logprobs) - TIE))


def is_tie(logprobs: Sequence[float]) -> bool:
    """Whether no choice is preferred to any other, as where a log-probability is no number.

    Example:
        >>> is_tie([-1.00001, -1.0]), is_tie([-2.0, -1.0]), is_tie([float("nan"), -1.0])
        (True, False, True)
    """
    least = max(logprobs, default=0.0) - TIE
    return len(logprobs) > 1 and (any(map(math.isnan, logprobs)) or all(value >= least for value in logprobs))


def predictions(table: pa.Table, metric: str) -> NDArray[np.int64]:
    """The choice of each row that an item metric prefers: the likeliest, in all or by length; the first on a tie.

    Args:
        table: with the columns of `CHOICE_SCHEMA`.
        metric: `accuracy`, or by the lengths of the choices in tokens or UTF-8 bytes.

    Shape: `[E]`.
    """
    best, rows, starts, _ = _best(table, metric)
    first = np.unique(rows, return_index=True)[1]
    return np.asarray(best[first] - starts[rows[first]], dtype=np.int64)


def all_tied(table: pa.Table, metric: str) -> NDArray[np.bool_]:
    """Whether an item metric prefers no choice of a row to any other, so that the first one means nothing.

    Args:
        table: with the columns of `CHOICE_SCHEMA`.
        metric: as for predictions.

    Shape: `[E]`.
    """
    _, rows, _, counts = _best(table, metric)
    return np.asarray((np.bincount(rows, minlength=len(counts)) == counts) & (counts > 1))


def _best(table: pa.Table, metric: str) -> tuple[NDArray[np.int64], ...]:
    """The best choices of all rows, flat; the row of each; where each row's choices begin, and how many they are."""
    choices = table.column("choice_logprobs").combine_chunks()
    counts = choices.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.cumsum(counts) - counts
    if not len(counts):
        return counts, counts, starts, counts
    values = choices.flatten().to_numpy(zero_copy_only=False)
    if metric in _LENGTHS:
        values = values / table.column(_LENGTHS[metric]).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    best = np.flatnonzero(values >= np.repeat(np.maximum.reduceat(values, starts), counts) - TIE)
    return best, np.repeat(np.arange(len(counts)), counts)[best], starts, counts


def answered(table: pa.Table, metric: str) -> dict[str, Any]:
    """The columns that follow from which choice is preferred.

    Args:
        table: with the columns of `CHOICE_SCHEMA` but the last two.
        metric: by which a choice is preferred.
    """
    chosen = predictions(table, metric)
    right = chosen == table.column("gold").to_numpy()
    scored = {"score": right.astype(np.float64), "missing_reason": [None] * len(right)}
    scored = scaled_margins(log_margins(table)) if metric == SCALED_MARGIN else scored
    roles = table.column("choice_roles").to_pylist()
    played = [row[place] if row and place < len(row) else None for row, place in zip(roles, chosen, strict=True)]
    return {
        "prediction": chosen,
        "correct": right,
        "answer": _answers(table, chosen),
        "outcome": played,
        **scored,
    }


def _answers(table: pa.Table, chosen: NDArray[np.int64]) -> list[str | None]:
    """The label of each answer where examples have one, as far as it is known; else the place of the choice."""
    labels = table.column("label").to_pylist() if "label" in table.schema.names else [None]
    if None in labels:
        return [str(place) for place in chosen]
    gold, names = table.column("gold").to_pylist(), sorted(set(labels))
    at = set(zip(gold, labels, strict=True))
    known = dict(at) if len(dict(at)) == len(at) else {}
    right = [label if g == place else None for label, g, place in zip(labels, gold, chosen, strict=True)]
    other = {name: names[1 - k] for k, name in enumerate(names)} if len(names) == 2 else {}
    return [
        own or known.get(int(place)) or other.get(label)
        for own, place, label in zip(right, chosen, labels, strict=True)
    ]


def chances(sizes: Sequence[int | None], labels: Sequence[str | None], metric: str) -> list[float | None]:
    """What guessing scores on each example.

    Args:
        sizes: how many choices each example offers; None where none of them is right.
        labels: of the examples of a labelling task, else None.
        metric: where labels are known, the mean over them is one part each, and accuracy that of the commonest; of a
            scaled margin it is not known.
    """
    if metric == SCALED_MARGIN:
        return [None] * len(labels)
    known = Counter(label for label in labels if label is not None)
    if not known:
        return [None if size is None else 1 / size for size in sizes]
    share = 1 / len(known) if metric == BALANCED else max(known.values()) / known.total()
    return [share] * len(labels)


def _score(metric: str, measurement: Measurement, examples: Sequence[Example]) -> dict[str, Any]:
    measured, targets = measurement.table, [example.choices for example in examples]
    columns: dict[str, Any] = {
        "gold": pa.array([target.gold for target in targets], pa.int32()),
        "choice_logprobs": measured.column("log_probabilities"),
        "choice_tokens": measured.column("tokens"),
        "choice_bytes": measured.column("bytes"),
        "choice_roles": pa.array([list(target.roles) for target in targets], pa.list_(pa.string())),
    }
    labels = [example.label for example in examples]
    columns |= answered(pa.table(columns), metric)
    if None not in labels:
        chosen = zip(targets, columns["prediction"], strict=True)
        columns["answer"] = [target.labels[place] for target, place in chosen]
    sizes = [len(target.texts) if target.has_right_answer else None for target in targets]
    return columns | {"chance": chances(sizes, labels, metric), "label": labels}


CHOICE_METRICS: Mapping[str, ItemMetric] = {
    name: ItemMetric(name, CHOICE, average="balanced" if name == BALANCED else "mean", score=partial(_score, name))
    for name in get_args(Metric)
} | {SCALED_MARGIN: ItemMetric(SCALED_MARGIN, CHOICE, unit="scaled margin", score=partial(_score, SCALED_MARGIN))}
