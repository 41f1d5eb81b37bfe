"""Several tests at once: Holm's family-wise and Benjamini and Hochberg's false-discovery correction."""

from typing import Literal

import numpy as np

from chaintune.stats.clusters import Floats

Adjustment = Literal["holm", "bh"]


def adjust(p_values: Floats, method: Adjustment = "holm") -> Floats:
    """P-values corrected for being one of several; those that are NaN were not tested and stay NaN.

    Args:
        p_values: of one family.
        method: `holm` (probability of any false alarm) or `bh` (share of false ones among the alarms).

    Source: Holm (1979); Benjamini and Hochberg (1995).
    """
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    m = len(order)
    if method == "holm":
        raw = p_values[order] * np.arange(m, 0, -1)
        adjusted[order] = np.minimum(np.maximum.accumulate(raw), 1.0)
    else:
        raw = p_values[order] * m / np.arange(1, m + 1)
        adjusted[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
    return adjusted
