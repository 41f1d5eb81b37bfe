"""Several tests at once: step-down minP, Holm's family-wise and Benjamini and Hochberg's false-discovery correction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chaintune.stats.clusters import Design, Floats

Adjustment = Literal["minp", "holm", "bh"]

_TIE = 1e-10


@dataclass(frozen=True, eq=False)
class Correction:
    """P-values corrected for being one of several, and how strictly each was judged.

    Attributes:
        p_adjusted: NaN where nothing was tested.
        error_rates: of the step at which each test was judged, or at which the steps ended before it. An interval at
            one minus it, if it is the test's inverse, leaves out 0 exactly where `p_adjusted` is at most the error rate
            of the family.
        first_step: error rate of the first step, which is the strictest.

    Shape: `[K]` each but for the last.
    """

    p_adjusted: Floats
    error_rates: Floats
    first_step: float


def adjust(p_values: Floats, method: Adjustment = "holm") -> Floats:
    """P-values corrected for being one of several; those that are NaN were not tested and stay NaN.

    Args:
        p_values: of one family.
        method: `holm` (probability of any false alarm) or `bh` (share of false ones among the alarms); `minp`, which
            needs joint draws, is Holm here.

    Source: Holm (1979); Benjamini and Hochberg (1995).
    """
    return correct(p_values, method).p_adjusted


def correct(
    p_values: Floats, method: Adjustment, *, error_rate: float = 0.05, null: Floats | None = None
) -> Correction:
    """The correction of one family.

    Step-down minP (Westfall and Young 1993) asks how often the smallest p-value of all tests that are left would be as
    small as this one, if nothing were there to see. It reads from joint draws how tests hang together, so tests that
    say the same cost nothing. It is never stricter than Holm, nor laxer than no correction.

    Args:
        p_values: of one family; those that are NaN were not tested.
        method: `holm` and `bh` read the p-values alone.
        error_rate: of the family.
        null: for `minp`, p-values of the same tests in draws where nothing is there to see, as `null_p_values` has
            them, the data themselves in the first row; without them it is Holm.

    Shape: p_values `[K]`, null `[R, K]`.
    """
    adjusted, rates = np.full(len(p_values), np.nan), np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    m, own = len(order), p_values[order]
    if not m:
        return Correction(adjusted, rates, error_rate)
    if method == "bh":
        raw = own * m / np.arange(1, m + 1)
        adjusted[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
        passed = int((adjusted[order] <= error_rate).sum())
        rates[order] = error_rate * max(passed, 1) / m
        return Correction(adjusted, rates, error_rate / m)
    left = np.arange(m, 0, -1)
    raw, steps = own * left, error_rate / left
    if method == "minp" and null is not None:
        # A p-value that was not drawn may lie a hair below that of the draws that tie with the data.
        joint, limits = _minp(np.maximum(own, null[0, order]), null[:, order], error_rate)
        raw, steps = np.clip(joint, own, raw), np.clip(limits, steps, error_rate)
    adjusted[order] = np.minimum(np.maximum.accumulate(raw), 1.0)
    passed = int((adjusted[order] <= error_rate).sum())
    rates[order] = steps[np.minimum(np.arange(m), min(passed, m - 1))]
    return Correction(adjusted, rates, float(steps[0]))


def _minp(p_values: Floats, null: Floats, error_rate: float) -> tuple[Floats, Floats]:
    """Corrected p-value of each step, and the p-value that it may not reach; tests in order. Shape: `[K]` each."""
    smallest = np.minimum.accumulate(null[:, ::-1], axis=1)[:, ::-1]
    joint = (smallest <= p_values + _TIE).mean(axis=0)
    place = int(error_rate * len(null) + 1e-9)
    limits = np.partition(smallest, place, axis=0)[place] - 2 * _TIE
    return joint, limits


def null_p_values(flips: Floats) -> Floats:
    """P-value of each draw by all draws of its test: the share with as large a total, ties counted half.

    A guard that raises the p-values of the data is no part of them: as long as it keeps the probability of a p-value at
    most `p` at `p` or below, the draws only have to say how tests hang together.

    Args:
        flips: totals of the tests under joint sign flips, the data themselves in the first row.

    Shape: flips and result `[R, K]`.
    """
    result, count = np.empty_like(flips), len(flips)
    for column, size in enumerate(np.abs(flips).T):
        order = np.argsort(size)
        starts = np.flatnonzero(np.diff(size[order], prepend=-np.inf) > _TIE * size[order[-1]])
        ends = np.append(starts[1:], count)
        tied = ends - starts
        # As the p-value of the data is counted, half of which is their own.
        result[order, column] = np.repeat((count - ends + tied / 2 + 0.5) / count, tied)
    return result


def one_test(design: Design, columns: Sequence[int], *, complementary: bool) -> list[int]:
    """Number of the test that each group is: groups with the very same examples are one test.

    Args:
        design: whose groups they are.
        columns: of the groups of one dimension.
        complementary: two groups that share no example and together have all are one test too, as they are where each
            is held against the rest.
    """
    members, total = design.columns, len(design.clusters)
    sizes = {int(design.n[column]) for column in columns}
    numbers: dict[bytes, int] = {}
    tests: list[int] = []
    for column in columns:
        part = slice(members.indptr[column], members.indptr[column + 1])
        inside = np.zeros(total, dtype=bool)
        inside[members.indices[part][members.data[part] != 0]] = True
        own, others = np.packbits(inside).tobytes(), b""
        if complementary and total - int(inside.sum()) in sizes:
            others = np.packbits(~inside).tobytes()
        tests.append(numbers.setdefault(own, numbers.get(others, len(set(tests)))))
    return tests
