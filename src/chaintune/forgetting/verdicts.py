"""The verdict on a forgetting, by a stated rule."""

import math

from chaintune.records import Estimate, Verdict


def verdict(forgetting: Estimate, *, margin: float, level: float) -> Verdict:
    """`kept`, `forgot`, `gained` or `inconclusive`.

    The rule, in this order:

    1. `kept`: the whole interval lies within the margin, so that any change is too small to matter.
    2. `forgot` or `gained`: the p-value, corrected for the other groups where there are any, is at most
       `1 - level`, and the interval leaves out 0, which it may not where changes are few.
    3. `inconclusive`: everything else; a p-value above `1 - level` alone never means `kept`.

    Args:
        forgetting: with its interval; undefined ends make rule 1 fail.
        margin: in units of the score, 0.02 is two points of accuracy; NaN where there is none, and nothing is `kept`.
        level: of the interval.
    """
    if -margin <= forgetting.low and forgetting.high <= margin:
        return "kept"
    p_value = forgetting.p_value if math.isnan(forgetting.p_adjusted) else forgetting.p_adjusted
    if p_value <= 1 - level and not forgetting.low <= 0 <= forgetting.high and forgetting.value != 0:
        return "forgot" if forgetting.value > 0 else "gained"
    return "inconclusive"
