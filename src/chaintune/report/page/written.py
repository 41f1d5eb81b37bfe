"""Texts that two checkpoints wrote to the same prompts, side by side, with what they count as."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from chaintune.records.answers import MISSING
from chaintune.report.page.items import Items, Order, Step, Texts, cut, shares_of, weight

# Together with all else they keep the largest page well under 20 MB.
MOST_PROMPTS = 2_000
MOST_TEXT_BYTES = 3_000_000
_LONGEST_TEXT, _LONGEST_EVIDENCE = 2_000, 200


@dataclass(frozen=True, slots=True)
class _Written:
    """What was written in a step: how many prompts there are, and the rows of those that come first in a sample."""

    name: str
    task: str
    total: int
    before: pa.Table
    after: pa.Table
    changes: list[int]


def written_data(
    steps: Iterable[Step],
    texts: Texts,
    *,
    most: int = MOST_PROMPTS,
    most_text_bytes: int = MOST_TEXT_BYTES,
) -> dict[str, Any]:
    """The page's list of prompts and what was written to them as plain data; empty where nothing was.

    Where there are more prompts than are shown, each step gives an equal share: those whose score changed first, and
    of each kind those whose hashed ids come first, so that every build shows the same ones.

    Args:
        steps: what is compared; those of other scores than written texts are passed over.
        texts: task -> example id -> example, for the prompts of what can be read.
        most: prompts shown, counted once for each step.
        most_text_bytes: of prompts, and as many of texts; those that come after have none.
    """
    order = Order()
    every = [_written(step, most, order) for step in steps if step.is_written]
    shares = shares_of([one.total for one in every], most)
    items, pool = Items(texts, most_text_bytes), _Pool(most_text_bytes)
    pairs = [
        {
            "step": number,
            "item": items.place(one.task, before),
            "change": change,
            "before": _answers(before, pool),
            "after": _answers(after, pool),
        }
        for number, (one, share) in enumerate(zip(every, shares, strict=True))
        for before, after, change in zip(
            *(side.slice(0, share).to_pylist() for side in (one.before, one.after)), one.changes[:share], strict=True
        )
    ]
    summaries = [
        {"name": one.name, "task": one.task, "total": one.total, "shown": share}
        for one, share in zip(every, shares, strict=True)
    ]
    return {"steps": summaries, "items": items.listed, "texts": pool.listed, "pairs": pairs} if pairs else {}


class _Pool:
    """Texts, each once, as far as there is room."""

    def __init__(self, most_bytes: int) -> None:
        self.listed: list[str] = []
        self._places: dict[str, int] = {}
        self._left = most_bytes

    def place(self, text: str) -> int | None:
        """The text's index in the list, to which a new one is added; None where there is no room for it."""
        text = cut(text, _LONGEST_TEXT)
        if text not in self._places:
            self._left -= weight(text)
            if self._left < 0:
                return None
            self._places[text] = len(self.listed)
            self.listed.append(text)
        return self._places[text]


def _written(step: Step, most: int, order: Order) -> _Written:
    """What was written in a step, what changed first; a score that is missing on one side changed too."""
    before, after = (side.item_scores() for side in (step.before, step.after))
    if step.before.metric.direction == "less":
        before, after = -before, -after
    changes = np.nan_to_num(np.sign(after - before)).astype(np.int64)
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    rows = np.lexsort((order.of(step.before), same))[:most]
    return _Written(
        step.name,
        step.before.task,
        len(changes),
        step.before.table.take(rows),
        step.after.table.take(rows),
        changes[rows].tolist(),
    )


def _answers(row: dict[str, Any], pool: _Pool) -> list[dict[str, Any]]:
    """Each text with its outcome, or its score where that is all there is, and the words that show it."""
    texts = list(row["texts"] or ())
    outcomes, evidences = (list(row.get(name) or ()) for name in ("outcomes", "evidences"))
    reason = row["missing_reason"] if row["score"] is None else ""
    answers = []
    for place, text in enumerate(texts):
        outcome = outcomes[place] if place < len(outcomes) else None
        evidence = evidences[place] if place < len(evidences) else None
        own: dict[str, Any] = {"text": pool.place(text or ""), "outcome": outcome or (MISSING if reason else "")}
        own |= {"evidence": evidence[:_LONGEST_EVIDENCE]} if evidence and own["text"] is not None else {}
        own |= {"reason": reason} if reason else {}
        answers.append(own)
    if row["score"] is not None and len(answers):
        answers[0]["score"] = round(float(row["score"]), 3)
    return answers
