"""Which examples a page shows of two checkpoints, and their texts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chaintune.records import Choices, Example, Preference, Reference, Scores
from chaintune.records.examples import shown_text

_LONGEST_PROMPT, _LONGEST_CHOICE = 1_600, 300
PREFERENCE = ("chosen_log_probability", "rejected_log_probability")

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

    @property
    def is_written(self) -> bool:
        """Whether both scores are of texts that were written, and hold them."""
        return all("texts" in side.details for side in (self.before, self.after))


def step_name(task: str, start: str, end: str) -> str:
    """What happened between two checkpoints: the task, and their names where they have any."""
    return f"{task}: from {start} to {end}" if end else task


class Items:
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
        gold = 0 if PREFERENCE[0] in row else row.get("gold")
        return {"id": row["example_id"], "task": task, "gold": gold, "groups": names}

    def _text(self, task: str, row: Mapping[str, Any]) -> dict[str, Any]:
        example = self._texts.get(task, {}).get(row["example_id"])
        if example is None and row.get("prompt"):
            return self._as_room({"prompt": cut(row["prompt"], _LONGEST_PROMPT)})
        if example is None:
            return {}
        text: dict[str, Any] = {"prompt": cut(_asked(example), _LONGEST_PROMPT)}
        if isinstance(example.target, Choices):
            if len(example.target.texts) != len(row.get("choice_logprobs") or ()):
                return {}
            text["choices"] = [cut(choice.strip(), _LONGEST_CHOICE) for choice in example.target.texts]
        elif isinstance(example.target, Preference) and PREFERENCE[0] in row:
            text["choices"] = ["chosen", "rejected"]
        return self._as_room(text)

    def _as_room(self, text: dict[str, Any]) -> dict[str, Any]:
        """The text where there is room for it."""
        self._left -= weight(text)
        return text if self._left >= 0 else {}


class Order:
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


def shares_of(counts: Sequence[int], most: int) -> list[int]:
    """The number shown of each: all of them up to the limit, else as equal shares as the counts allow.

    Example:
        >>> shares_of([5, 100, 100], 65)
        [5, 30, 30]
    """
    shares, left = [0] * len(counts), most
    for done, place in enumerate(sorted(range(len(counts)), key=counts.__getitem__)):
        shares[place] = min(counts[place], left // (len(counts) - done))
        left -= shares[place]
    return shares


def cut(text: str, longest: int) -> str:
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
