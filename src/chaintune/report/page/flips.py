"""Items that flipped between two checkpoints: right then wrong, or wrong then right; of graded scores, fell or rose."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chaintune.records import Choices, Example, Preference, Reference, Scores
from chaintune.records.amounts import is_share
from chaintune.records.examples import shown_text
from chaintune.records.preference import DIFFERENCE

# Together with figures and libraries these keep the largest page well under 20 MB.
MOST_FLIPS = 3_000
MOST_TEXT_BYTES = 10_000_000
_LONGEST_PROMPT, _LONGEST_CHOICE = 1_600, 300
_PREFERENCE = ("chosen_log_probability", "rejected_log_probability")
_LENGTHS = {"accuracy_per_token": "choice_tokens", "accuracy_per_byte": "choice_bytes"}

Texts = Mapping[str, Mapping[str, Example]]


@dataclass(frozen=True, slots=True)
class Step:
    """Two checkpoints on the same examples, in the same order.

    Attributes:
        name: what happened between them.
        before, after: scores sorted by example.
    """

    name: str
    before: Scores
    after: Scores


@dataclass(frozen=True, slots=True)
class _Flips:
    """The items that flipped in a step: their number, and the rows of those that come first in a sample."""

    name: str
    task: str
    metric: str
    unit: str
    forgot: int
    learned: int
    before: pa.Table
    after: pa.Table
    lost: list[bool]

    def first(self, share: int) -> Iterable[tuple[dict[str, Any], dict[str, Any], bool]]:
        """Both sides of the first of them, and whether they were forgotten."""
        before, after = (side.slice(0, share).to_pylist() for side in (self.before, self.after))
        return zip(before, after, self.lost[:share], strict=True)


def step_name(task: str, start: str, end: str) -> str:
    """What happened between two checkpoints: the task, and their names where they have any."""
    return f"{task}: from {start} to {end}" if end else task


def examples_data(
    steps: Iterable[Step],
    texts: Texts,
    *,
    metric: str | None = None,
    most: int = MOST_FLIPS,
    most_text_bytes: int = MOST_TEXT_BYTES,
) -> dict[str, Any]:
    """The page's list of flipped examples as plain data; empty when nothing flipped.

    Where more flipped than are shown, each step gives an equal share, and of a step those examples whose hashed ids
    come first: the same ones at every build, and the same in every step.

    Args:
        steps: what is compared.
        texts: task -> example id -> example, for what can be read; without it ids and numbers are all there is.
        metric: that scores an example, where its scores can be had by it; else their own.
        most: examples shown, counted once for each step in which they flipped.
        most_text_bytes: of the examples' texts; those that come after have none.
    """
    order = _Order()
    every = [_flips(step, metric, most, order) for step in steps]
    shares = _shares([flips.forgot + flips.learned for flips in every], most)
    items = _Items(texts, most_text_bytes)
    shown = [
        {
            "step": number,
            "item": items.place(flips.task, before),
            "forgot": lost,
            "before": _answers(before, flips.metric),
            "after": _answers(after, flips.metric),
        }
        for number, (flips, share) in enumerate(zip(every, shares, strict=True))
        for before, after, lost in flips.first(share)
    ]
    summaries = [
        {"name": one.name, "task": one.task, "unit": one.unit}
        | {"forgot": one.forgot, "learned": one.learned, "shown": share}
        for one, share in zip(every, shares, strict=True)
    ]
    return {"steps": summaries, "items": items.listed, "flips": shown} if shown else {}


class _Items:
    """Examples that are shown, each once, with their texts as far as those are known and there is room."""

    def __init__(self, texts: Texts, most_text_bytes: int) -> None:
        self.listed: list[dict[str, Any]] = []
        self._texts = texts
        self._places: dict[tuple[str, str], int] = {}
        self._left = most_text_bytes

    def place(self, task: str, row: Mapping[str, Any]) -> int:
        """The example's index in the list, to which a new one is added."""
        key = (task, row["example_id"])
        if key not in self._places:
            self._places[key] = len(self.listed)
            self.listed.append(self._item(task, row) | self._text(task, row))
        return self._places[key]

    @staticmethod
    def _item(task: str, row: Mapping[str, Any]) -> dict[str, Any]:
        names = {dimension: list(groups) for dimension, groups in row["groups"] or ()}
        gold = 0 if _PREFERENCE[0] in row else row.get("gold")
        return {"id": row["example_id"], "task": task, "gold": gold, "groups": names}

    def _text(self, task: str, row: Mapping[str, Any]) -> dict[str, Any]:
        example = self._texts.get(task, {}).get(row["example_id"])
        if example is None:
            return {}
        text: dict[str, Any] = {"prompt": _cut(_asked(example), _LONGEST_PROMPT)}
        if isinstance(example.target, Choices):
            if len(example.target.texts) != len(row.get("choice_logprobs") or ()):
                return {}
            text["choices"] = [_cut(choice.strip(), _LONGEST_CHOICE) for choice in example.target.texts]
        elif isinstance(example.target, Preference) and _PREFERENCE[0] in row:
            text["choices"] = ["chosen", "rejected"]
        self._left -= weight(text)
        return text if self._left >= 0 else {}


class _Order:
    """Ranks of a table's examples by their hashed ids, cached for tables of the same examples."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[pa.ChunkedArray, NDArray[np.int64]]] = {}

    def of(self, scores: Scores) -> NDArray[np.int64]:
        """Rank of each row. Shape: `[E]`."""
        ids = scores.table.column("example_id")
        known = self._known.get(scores.task)
        if known and known[0].equals(ids):
            return known[1]
        digests = [sha256(name.encode("utf-8", "replace")).digest() for name in ids.to_pylist()]
        ranks = np.empty(len(digests), dtype=np.int64)
        ranks[sorted(range(len(digests)), key=digests.__getitem__)] = np.arange(len(digests))
        self._known[scores.task] = (ids, ranks)
        return ranks


def _asked(example: Example) -> str:
    """The prompt, and the answers that it is held against where they are no choices."""
    match example.target:
        case Reference(text):
            answers = [f"reference: {shown_text(text)}"]
        case Preference(chosen, rejected):
            answers = [f"chosen: {shown_text(chosen)}", f"rejected: {shown_text(rejected)}"]
        case _:
            answers = []
    return "\n\n".join(filter(None, [shown_text(example.prompt), *answers]))


def _flips(step: Step, metric: str | None, most: int, order: _Order) -> _Flips:
    sides = [side.by(metric) if metric in side.metrics else side for side in (step.before, step.after)]
    before, after = (side.item_scores() for side in sides)
    if sides[0].metric.direction == "less":
        before, after = -before, -after
    rows = np.flatnonzero(before != after)
    first = rows[np.argsort(order.of(step.before)[rows])][:most]
    return _Flips(
        step.name,
        step.before.task,
        sides[0].metric.name,
        "" if is_share(sides[0].metric.unit) else sides[0].metric.unit,
        forgot=int((before > after).sum()),
        learned=int((before < after).sum()),
        before=step.before.table.take(first),
        after=step.after.table.take(first),
        lost=(before > after)[first].tolist(),
    )


def _shares(counts: Sequence[int], most: int) -> list[int]:
    """The number shown of each: all of them up to the limit, else as equal shares as the counts allow.

    Example:
        >>> _shares([5, 100, 100], 65)
        [5, 30, 30]
    """
    shares, left = [0] * len(counts), most
    for done, place in enumerate(sorted(range(len(counts)), key=counts.__getitem__)):
        shares[place] = min(counts[place], left // (len(counts) - done))
        left -= shares[place]
    return shares


def _logprobs(row: Mapping[str, Any]) -> list[float]:
    """Log-probabilities of the choices, or of the chosen and the rejected answer; none where they are not known."""
    pair = [row[name] for name in _PREFERENCE if row.get(name) is not None]
    return pair if len(pair) == len(_PREFERENCE) else list(row.get("choice_logprobs") or ())


def _answers(row: Mapping[str, Any], metric: str) -> list[float]:
    """Probability of each choice or answer among them, by the lengths that the metric goes by; else the score alone."""
    if not (known := _logprobs(row)) or metric == DIFFERENCE:
        return [round(float(row["score"]), 3)]
    logprobs = np.asarray(known, dtype=np.float64)
    if metric in _LENGTHS:
        logprobs = logprobs / np.asarray(row[_LENGTHS[metric]], dtype=np.float64)
    if not np.isfinite(logprobs.max()):  # none of them is possible
        logprobs = np.zeros_like(logprobs)
    weights = np.exp(logprobs - logprobs.max())
    return [round(float(value), 3) for value in weights / weights.sum()]


def _cut(text: str, longest: int) -> str:
    """The text, or its beginning and its end, as questions tend to come last."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} [{len(text) - 2 * half:,} characters left out] {text[-half:]}"


def as_script(value: Any) -> str:
    """JSON that can stand inside a script element: no end tag, comment or line separator can be in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def weight(value: Any) -> int:
    """Bytes of a value's JSON as it stands in the page."""
    return len(as_script(value).encode("utf-8", "replace"))
