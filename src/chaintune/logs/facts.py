"""Values of a run as text that says whether they are the same on both sides."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_LONGEST = 60
_SHOWN_DIGITS = 12
_ENCODER = json.JSONEncoder(sort_keys=True, default=str)


def canonical(value: Any) -> str:
    """JSON with sorted names, for telling whether two values are the same."""
    return _ENCODER.encode(value)


def digest(value: Any) -> str:
    """SHA-256 of a value, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def brief(value: Any) -> str:
    """A value for people; a long one is cut, and its digest still distinguishes it."""
    text = value if isinstance(value, str) else canonical(value)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}... ({hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]})"


def template_facts(digest: str) -> dict[str, str]:
    """The facts of a log whose prompts a chat template rendered, by the digest of its text."""
    return {"chat": "on", "chat template": digest[:_SHOWN_DIGITS]}


def named(kind: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Facts of one kind, by name."""
    return {f"{kind} '{name}'": brief(value) for name, value in values.items()}
