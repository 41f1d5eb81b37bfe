"""Amounts of item scores as users write them (`0.02`, or `0.05 nats` of what has a unit), and numbers as JSON."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

# Of a score that is right or wrong, or a part of it.
SHARE = "share"
# Of natural logarithms of probabilities, and their differences.
NATS = "nats"
# A loss up to it counts as none: two points of accuracy.
USUAL_MARGIN = 0.02
_WRITTEN = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\W\d_](?:[\w ]*\w)?)?\s*")


_INFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def plain(value: Any) -> Any:
    """The value as plain data that JSON can hold: records by their fields, sequences as lists, no number as None.

    An infinite number is the word "Infinity" or "-Infinity", which most languages read as a number.
    """
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _INFINITE.get(value)
    return value


def number(value: Any) -> Any:
    """The number that `plain` made plain; what is none stays as it is."""
    if value is None:
        return math.nan
    return next((infinite for infinite, word in _INFINITE.items() if value == word), value)


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of a score, or of a difference of scores.

    Attributes:
        value: in the unit.
        unit: of the scores.
    """

    value: float
    unit: str = SHARE

    @classmethod
    def of(cls, written: Any) -> "Amount":
        """What is written: a number, which is one of shares, or text with a number and a unit.

        Raises:
            ValueError: it is neither, or a share that is not from -1 to 1.

        Example:
            >>> Amount.of("0.05 nats"), Amount.of(0.02)
            (Amount(value=0.05, unit='nats'), Amount(value=0.02, unit='share'))
        """
        if isinstance(written, Amount):
            return written
        found = _WRITTEN.fullmatch(written) if isinstance(written, str) else None
        if found and found[2] not in ("point", "points"):  # a share is written as one
            value, unit = float(found[1]), found[2] or SHARE
        elif isinstance(written, int | float) and not isinstance(written, bool):
            value, unit = written, SHARE
        else:
            raise ValueError(f"expected a share of the score such as 0.02, or '0.05 nats' of a unit, got {written!r}")
        # Written so that NaN is refused too, and before a whole number that no float can hold becomes one.
        if is_share(unit) and not -1 <= value <= 1:
            raise ValueError(f"expected a share from -1 to 1, 0.02 is two points, got {written!r}")
        if not math.isfinite(value):
            raise ValueError(f"expected a number of finite size, got {written!r}")
        return cls(float(value), unit)

    @property
    def is_share(self) -> bool:
        """Whether it is of scores that are shares."""
        return is_share(self.unit)

    def suits(self, unit: str) -> bool:
        """Whether it is an amount of scores in this unit."""
        return is_share(unit) if self.is_share else unit == self.unit

    def __str__(self) -> str:
        return f"{self.value:g}" if self.is_share else f"{self.value:g} {self.unit}"


def is_share(unit: str) -> bool:
    """Whether scores in this unit are shares; the first edition wrote no unit for them."""
    return unit in (SHARE, "")


def margin_in(unit: str, usual: float | str | Amount, own: float = math.nan) -> float:
    """Up to how large a loss in a unit counts as none: the task's own margin, else the usual one in that unit.

    Args:
        unit: of the scores.
        usual: margin of a comparison or study; of scores in other units it says nothing.
        own: that the task names, in the unit; NaN where it names none.

    Undefined: NaN, where the scores are no shares and neither is in their unit.

    Example:
        >>> margin_in("share", 0.02), margin_in("nats", 0.02), margin_in("share", "0.05 nats")
        (0.02, nan, 0.02)
    """
    amount = Amount.of(usual)
    if not math.isnan(own):
        return own
    return amount.value if amount.suits(unit) else USUAL_MARGIN if is_share(unit) else math.nan


def mismatch(amount: Amount, unit: str, metric: str) -> str:
    """Why an amount says nothing of scores in a unit, and what to write; empty where it does."""
    if amount.suits(unit):
        return ""
    own = "is a share" if amount.is_share else f"is in {amount.unit}"
    scored = "scores shares" if is_share(unit) else f"scores in {unit}"
    example = f"{0.02:g}" if is_share(unit) else f"'0.05 {unit}'"
    return f"{amount} {own}, and '{metric}' {scored}; write it as {example}"
