"""Items that flipped between two checkpoints: right then wrong, or wrong then right; of graded scores, fell or rose."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from chaintune.records.amounts import is_share
from chaintune.records.preference import DIFFERENCE
from chaintune.report.page.items import PREFERENCE, Items, Order, Step, Texts, shares_of

# Together with figures and libraries these keep the largest page well under 20 MB.
MOST_FLIPS = 3_000
MOST_TEXT_BYTES = 10_000_000
_LENGTHS = {"accuracy_per_token": "choice_tokens", "accuracy_per_byte": "choice_bytes"}


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
    order = Order()
    every = [_flips(step, metric, most, order) for step in steps]
    shares = shares_of([flips.forgot + flips.learned for flips in every], most)
    items = Items(texts, most_text_bytes)
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


def _flips(step: Step, metric: str | None, most: int, order: Order) -> _Flips:
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


def _logprobs(row: Mapping[str, Any]) -> list[float]:
    """Log-probabilities of the choices, or of the chosen and the rejected answer; none where they are not known."""
    pair = [row[name] for name in PREFERENCE if row.get(name) is not None]
    return pair if len(pair) == len(PREFERENCE) else list(row.get("choice_logprobs") or ())


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
