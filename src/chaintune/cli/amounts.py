"""Amounts as people write and read them: bytes, spans of time, progress."""

import math
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from chaintune.errors import ConfigError

if TYPE_CHECKING:
    from chaintune.execution.events import Event
    from chaintune.execution.events import Progress as NodeProgress

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SPANS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def read_size(text: str, option: str) -> int | None:
    """`20GB` as bytes; None for nothing.

    Raises:
        ConfigError: it is no size.
    """
    if not text:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]?B)", text.upper())
    if not match:
        raise ConfigError(f"{option}: expected a size such as 500MB or 20GB, got {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def read_span(text: str, option: str) -> timedelta | None:
    """`30d` as a span of time; None for nothing.

    Raises:
        ConfigError: it is no span.
    """
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,5})([mhdw])", text.lower())
    if not match:
        raise ConfigError(f"{option}: expected a span such as 15m, 12h or 30d, got {text!r}")
    return int(match[1]) * _SPANS[match[2]]


def size_shown(size: int) -> str:
    """Bytes in the largest unit that fits.

    Example:
        >>> size_shown(512), size_shown(1_234_000_000)
        ('512 B', '1.23 GB')
    """
    unit = next((name for name, factor in reversed(_UNITS.items()) if size >= factor), "B")
    return f"{size / _UNITS[unit]:.3g} {unit}" if unit != "B" else f"{size} B"


def duration(seconds: float) -> str:
    """A time span for people.

    Example:
        >>> duration(75), duration(3720)
        ('1m15s', '1h02m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def doing(event: "Event") -> str:
    """The verb for an event's node: `training`, `scoring`, `measuring`."""
    return {"stage": "training", "score": "scoring"}.get(event.node.kind, "measuring")


def rate_of(progress: "NodeProgress") -> str:
    """Progress, rate and time left of a node; what is not known is left out."""
    parts = [f"{progress.done:,.0f}/{progress.total:,.0f} {progress.unit}"]
    if math.isfinite(progress.rate):
        parts.append(f"{progress.rate:,.0f} {'tokens' if progress.unit in ('steps', 'texts') else progress.unit}/s")
    if math.isfinite(progress.seconds_left):
        parts.append(f"{duration(progress.seconds_left)} left")
    return ", ".join(parts)
