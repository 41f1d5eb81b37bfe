"""JSON inside a script element."""

import json
from typing import Any


def as_script(value: Any) -> str:
    """JSON that can stand inside a script element: no end tag, comment or line separator can be in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def weight(value: Any) -> int:
    """Bytes of a value's JSON as it stands in the page."""
    return len(as_script(value).encode("utf-8", "replace"))
