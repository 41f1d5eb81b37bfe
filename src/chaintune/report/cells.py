"""Cells of tables: estimates, checkpoints and p-values as text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chaintune.records import Estimate, ResultRow, RowKey
from chaintune.records.checkpoint import BASE
from chaintune.report.estimates import rounded


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows and columns.

    Attributes:
        title: what it shows.
        note: one sentence on how to read it; may be empty.
        header: a name for each column.
        rows: as many cells each.
    """

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def interval(estimate: Estimate, *, points: bool = True) -> str:
    """An estimate with its interval behind it, as far as they are defined; results.parquet has the reasons.

    Args:
        estimate: a share, or a difference of shares.
        points: as percentage points with a sign, else as a share between 0 and 1.

    Example:
        >>> interval(Estimate(0.05, 0.01, 0.09, n=100, n_clusters=100))
        '+5.0 (+1.0 to +9.0)'
    """
    if math.isnan(estimate.value):
        return "undefined"
    text = _number(estimate.value, points)
    if math.isnan(estimate.low):
        return f"{text} (no interval)"
    return f"{text} ({_number(estimate.low, points)} to {_number(estimate.high, points)})"


def share(estimate: Estimate) -> str:
    """A share with its interval behind it: `64% (48% to 82%)`."""
    if math.isnan(estimate.value):
        return "undefined"
    ends = "" if math.isnan(estimate.low) else f" ({estimate.low:.0%} to {estimate.high:.0%})"
    return f"{estimate.value:.0%}{ends}"


def p_text(value: float) -> str:
    """A p-value in the usual short form; empty when no test was made."""
    if math.isnan(value):
        return ""
    return "<.001" if value < 0.001 else "1" if value > 0.9995 else f"{value:.3f}".removeprefix("0")


def gain_key(row: ResultRow) -> RowKey:
    """Where the gain of the task stands that a row is about, at the checkpoint that the row is compared with."""
    return row.key._replace(chain=row.reference, reference=BASE)


def checkpoint(row: ResultRow, rows: Sequence[ResultRow]) -> str:
    """A checkpoint's name with what tells it from others: its base and knobs where several occur."""
    parts = [row.chain] if row.chain else []
    if len({other.base for other in rows}) > 1:
        parts.append(row.base)
    if row.variant:
        parts.append(row.variant)
    return ", ".join(parts)


def _number(value: float, points: bool) -> str:
    return f"{rounded(value):+.1f}" if points else f"{value:.3f}"
