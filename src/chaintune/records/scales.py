"""Values in their unit: the one place where a number, or an estimate with its interval, becomes text."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from chaintune.records.amounts import is_share
from chaintune.records.results import Estimate

_DIGITS = 3
_MOST_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Scale:
    """How values of one unit are written: 0.05 of a share as 5 points or 5 %, 12.3 characters as they are.

    Attributes:
        unit: of the numbers that are written.
        factor: that turns a value into such a number.
        decimals: of each number; None gives as many as the largest of them needs for three digits.
        signed: whether positive numbers have a plus.
        mark: behind each number in short forms.
        most: no value is larger, in either direction.
    """

    unit: str
    factor: float = 1.0
    decimals: int | None = None
    signed: bool = False
    mark: str = ""
    most: float = math.inf

    def numbers(self, *values: float) -> list[str]:
        """Values as numbers, all with as many decimals; without the unit."""
        scaled = [self.factor * value for value in values]
        decimals = _decimals(scaled) if self.decimals is None else self.decimals
        # Adding 0 turns -0.0 into 0.0.
        return [f"{round(value, decimals) + 0.0:{'+' if self.signed else ''},.{decimals}f}" for value in scaled]

    def number(self, value: float, *, named: bool = False) -> str:
        """One value as a number, or `undefined`.

        Args:
            value: in the unit of the scores.
            named: whether the unit is named where it is not that of shares, as where a table has several.
        """
        if math.isnan(value):
            return "undefined"
        text = f"{self.numbers(value)[0]}{self.mark}"
        return self._named(text) if named else text

    def amount(self, value: float) -> str:
        """One value for a sentence, with its unit, or `undefined`: `85.0 %`, `12.3 characters`."""
        return "undefined" if math.isnan(value) else self.with_unit(self.numbers(value)[0])

    def span(self, start: float, end: float) -> str:
        """Two values for a sentence, the unit named once: `85.0 to 55.0 %`."""
        return f"{'undefined' if math.isnan(start) else self.numbers(start)[0]} to {self.amount(end)}"

    def short(self, estimate: Estimate, *, named: bool = False) -> str:
        """An estimate for a cell of a table: the number, as `number` writes it, and its interval behind it.

        Example:
            >>> changes_in("share").short(Estimate(0.05, 0.01, 0.09))
            '+5.0 (+1.0 to +9.0)'
            >>> changes_in("characters").short(Estimate(1.5, 0.25, 2.75), named=True)
            '+1.50 characters (+0.25 to +2.75)'

        Of one of several tests it is the adjusted interval.
        """
        if math.isnan(estimate.value):
            return "undefined"
        value, low, high = (f"{number}{self.mark}" for number in self._three(estimate))
        text = self._named(value) if named else value
        return f"{text} (no interval)" if math.isnan(estimate.low) else f"{text} ({low} to {high})"

    def text(self, estimate: Estimate, *, sign: bool = True, level: float | None = None) -> str:
        """An estimate for a sentence: with its unit and interval, or why there is none.

        Args:
            estimate: in the unit of the scores.
            sign: of the value; ends of an interval always have theirs.
            level: of the interval, where it is to be named.

        Example:
            >>> changes_in("share").text(Estimate(0.05, 0.01, 0.09), sign=False, level=0.95)
            '5.0 points (95 % CI +1.0 to +9.0)'
            >>> PERCENT.text(Estimate(0.29, -0.14, 0.58), level=0.95)
            '29 % (95 % CI -14 to 58 %)'

        Of one of several tests it is the adjusted interval, and the text says so where the level is to be named.
        """
        if math.isnan(estimate.value):
            return f"undefined: {estimate.reason}"
        value, low, high = self._three(estimate)
        text = self.with_unit(value if sign else value.removeprefix("+"))
        if math.isnan(estimate.low):
            return f"{text} ({estimate.reason or 'no interval'})"
        confidence = "" if level is None else "adjusted CI " if estimate.is_adjusted else f"{100 * level:g} % CI "
        return f"{text} ({confidence}{low} to {self.with_unit(high) if self.mark else high})"

    def size(self, value: float, *, decimals: int = 1) -> str:
        """A size without a sign and its unit: `8 points`, `1.25 characters`.

        Args:
            value: in the unit of the scores.
            decimals: where the scale has as many at least.
        """
        fewer = None if self.decimals is None else min(decimals, self.decimals)
        return self.with_unit(Scale(self.unit, self.factor, fewer).numbers(value)[0])

    def exact(self, value: float, *, named: bool = True) -> str:
        """A number that somebody chose, with all its digits: `2 points`.

        Args:
            value: in the unit of the scores.
            named: whether the unit is named where it is that of shares; any other always is.
        """
        number = f"{self.factor * value:g}"
        return self.with_unit(number) if named else self._named(number)

    def with_unit(self, text: str) -> str:
        """The unit behind a text; nothing where it has no name."""
        return f"{text} {self.unit}".rstrip()

    @property
    def rounder(self) -> "Scale":
        """The scale with one decimal less, for sentences that need no more."""
        return self if self.decimals is None else replace(self, decimals=self.decimals - 1)

    def title(self, what: str) -> str:
        """Title of an axis or column: `forgetting (points)`."""
        return f"{what} ({self.unit})" if self.unit else what

    def _named(self, text: str) -> str:
        # Hundredfold numbers are the usual ones, and what surrounds them says so.
        return self.with_unit(text) if self.factor == 1 else text

    def _three(self, estimate: Estimate) -> list[str]:
        return self.numbers(estimate.value, *estimate.limits)


PERCENT = Scale("%", 100, 0, mark="%")
_POINTS = Scale("points", 100, 1, signed=True, most=1)


def changes_in(unit: str) -> Scale:
    """The scale of differences of scores, such as a forgetting: percentage points for shares."""
    return _POINTS if is_share(unit) else Scale(unit, signed=True)


def levels_in(unit: str) -> Scale:
    """The scale of scores: percent for shares."""
    return Scale("%", 100, 1, mark="%", most=1) if is_share(unit) else Scale(unit)


def units_in_words(units: Iterable[str]) -> str:
    """In what differences of scores are written, for notes of tables: `percentage points`, `characters`."""
    several = set(units)
    if all(map(is_share, several)):
        return "percentage points"
    if len(several) == 1:
        return several.pop()
    return "percentage points where no other unit is named" if any(map(is_share, several)) else "the unit named"


def rounded_up(count: float) -> int:
    """Two figures of a count, rounded up.

    Example:
        >>> rounded_up(1234)
        1300
    """
    unit = int(10 ** max(len(str(int(count))) - 2, 0))
    return math.ceil(count / unit) * unit


def _decimals(numbers: Iterable[float]) -> int:
    largest = max((abs(number) for number in numbers if math.isfinite(number)), default=0.0)
    largest = float(f"{largest:.{_DIGITS - 1}e}")
    if not largest:
        return 0
    return min(max(0, _DIGITS - 1 - math.floor(math.log10(largest))), _MOST_DECIMALS)
