"""Items that flipped between two checkpoints: right then wrong, or wrong then right; of graded scores, fell or rose."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from chaintune.records import Example, ItemScores, Metric, Scores

# Together with the libraries these keep the largest page well under 20 MB.
MOST_FLIPS = 3_000
_LONGEST_PROMPT, _LONGEST_CHOICE = 1_600, 300
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
    before: Scores | ItemScores
    after: Scores | ItemScores


@dataclass(frozen=True, slots=True)
class _Flips:
    """What flipped in a step: counts of all, and rows of those that come first in any sample."""

    name: str
    task: str
    forgot: int
    learned: int
    first: list[dict[str, Any]]


def examples_data(
    steps: Iterable[Step], texts: Texts, *, metric: Metric = "accuracy", most: int = MOST_FLIPS
) -> dict[str, Any]:
    """What the page's list of examples is made from, as plain data; empty when nothing flipped.

    Where more flipped than are shown, each step gives an equal share, and of a step those examples whose hashed ids
    come first: the same ones at every build, and the same in every step.

    Args:
        steps: what is compared.
        texts: task -> example id -> example, for what can be read; without it ids and numbers are all there is.
        metric: by which an answer counts as right.
        most: examples shown, counted once for each step in which they flipped.
    """
    found = [_flips(step, metric, most) for step in steps]
    shares = _shares([flips.forgot + flips.learned for flips in found], most)
    places: dict[tuple[str, str], int] = {}
    items: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for number, (flips, share) in enumerate(zip(found, shares, strict=True)):
        for flip in flips.first[:share]:
            row = flip["row"]
            key = (flips.task, row["example_id"])
            if key not in places:
                places[key] = len(items)
                items.append(_item(row, flips.task, texts.get(flips.task, {}).get(row["example_id"])))
            shown.append({"step": number, "item": places[key]} | {k: v for k, v in flip.items() if k != "row"})
    told = [_told(flips, share) for flips, share in zip(found, shares, strict=True)]
    return {"steps": told, "items": items, "flips": shown} if shown else {}


def _flips(step: Step, metric: Metric, most: int) -> _Flips:
    before, after = (
        side.item_scores(metric) if isinstance(side, Scores) else side.item_scores()
        for side in (step.before, step.after)
    )
    rows = np.flatnonzero(before != after)
    ids = step.before.table.column("example_id").take(rows).to_pylist() if len(rows) else []
    order = sorted(range(len(rows)), key=lambda place: sha256(ids[place].encode()).digest())
    forgot = before > after
    first = rows[np.asarray(order[:most], dtype=np.int64)]
    both = zip(*(side.table.take(first).to_pylist() for side in (step.before, step.after)), strict=True)
    flips = [
        {"row": one, "forgot": bool(forgot[row]), "before": _answers(one, metric), "after": _answers(other, metric)}
        for row, (one, other) in zip(first, both, strict=True)
    ]
    return _Flips(step.name, step.before.task, int(forgot.sum()), int((before < after).sum()), flips)


def _shares(counts: Sequence[int], most: int) -> list[int]:
    """How many of each are shown: all where there is room, else as equal shares as the counts allow.

    Example:
        >>> _shares([5, 100, 100], 65)
        [5, 30, 30]
    """
    shares, left = [0] * len(counts), most
    for done, place in enumerate(sorted(range(len(counts)), key=counts.__getitem__)):
        shares[place] = min(counts[place], left // (len(counts) - done))
        left -= shares[place]
    return shares


def _told(flips: _Flips, share: int) -> dict[str, Any]:
    return {
        "name": flips.name, "task": flips.task, "forgot": flips.forgot, "learned": flips.learned, "shown": share,
    }  # fmt: skip


def _answers(row: Mapping[str, Any], metric: Metric) -> list[float]:
    """Probability of each choice among the choices, by the lengths that the metric goes by; else the score alone."""
    if "score" in row:
        return [round(float(row["score"]), 3)]
    logprobs = np.asarray(row["choice_logprobs"], dtype=np.float64)
    if metric in _LENGTHS:
        logprobs = logprobs / np.asarray(row[_LENGTHS[metric]], dtype=np.float64)
    weights = np.exp(logprobs - logprobs.max())
    return [round(float(value), 3) for value in weights / weights.sum()]


def _item(row: Mapping[str, Any], task: str, example: Example | None) -> dict[str, Any]:
    """An example as far as it is known: its text only where the task's data is at hand."""
    names = {dimension: list(groups) for dimension, groups in row["groups"] or ()}
    item = {"id": row["example_id"], "task": task, "gold": row.get("gold"), "groups": names, "cluster": row["cluster"]}
    if example is not None and len(example.choices) == len(row.get("choice_logprobs") or ()):
        item["prompt"] = _cut(example.prompt, _LONGEST_PROMPT)
        item["choices"] = [_cut(choice.strip(), _LONGEST_CHOICE) for choice in example.choices]
    return item


def _cut(text: str, longest: int) -> str:
    """The text, or its beginning and its end: what is asked tends to stand last."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} [{len(text) - 2 * half:,} characters left out] {text[-half:]}"
