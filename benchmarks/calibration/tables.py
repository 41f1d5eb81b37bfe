"""Markdown tables, printed row by row."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def print_head(*columns: str) -> None:
    """Prints the head of a table."""
    print_row(*columns)
    print("| --- " * len(columns) + "|")


def print_row(*cells: object) -> None:
    """Prints a row as soon as it is known."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def percent(values: Sequence[bool] | NDArray[np.bool_]) -> str:
    """Share of true values, in percent; nothing of none."""
    return f"{100 * float(np.mean(values)):.1f}" if len(values) else "-"


def points(values: Sequence[float]) -> str:
    """Median, in points."""
    return f"{100 * float(np.nanmedian(values)):.1f}"
