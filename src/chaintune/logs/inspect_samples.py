"""A sample of Inspect as plain data: the row of a table that it is, and what tells whether another asks the same."""

import hashlib
from collections.abc import Mapping
from typing import Any

from chaintune.files.lines import Row
from chaintune.logs.archives import canonical

# Longer texts are told by their digest. Summaries of Inspect cut texts that are longer than this, and some more.
LONGEST_TEXT = 4096
# Stands between the parts of a question, and in no text that a person wrote.
BETWEEN = "\x1e"


def row_of(sample: Mapping[str, Any]) -> Row:
    """Its fields that may be named, but for the score.

    White space inside texts of the metadata counts as one space, as in the summaries that Inspect writes.
    """
    metadata = sample.get("metadata") or {}
    told = {name: " ".join(value.split()) if isinstance(value, str) else value for name, value in metadata.items()}
    return {"id": sample["id"], "target": sample["target"], "metadata": told}


def digests_of(sample: Mapping[str, Any]) -> dict[str, str]:
    """What the example asked: `input` and its choices, `target`, and `prompt`, the messages up to the first answer."""
    choices = sample.get("choices")
    known = {"input": _joined([sample.get("input"), *(choices if isinstance(choices, list) else ())])}
    target = sample.get("target")
    known["target"] = _joined(target if isinstance(target, list) else [target])
    if asked := _asked(sample.get("messages")):
        known["prompt"] = _digest(asked)
    return known


def _joined(parts: list[Any]) -> str:
    """Texts one after the other, as they are where they are short, so that columns of them are made at once."""
    if not all(isinstance(part, str) for part in parts):
        return _digest(parts)
    text = BETWEEN.join(parts)
    return text if len(text) <= LONGEST_TEXT and _is_text(text) else _digest(parts)


def _is_text(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _asked(messages: Any) -> list[Any]:
    """Role and content of the messages before the model's first answer; their ids are drawn at random."""
    found = []
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict) or message.get("role") == "assistant":
            break
        found.append([message.get("role"), message.get("content")])
    return found
