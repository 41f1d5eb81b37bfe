"""The verdict on a forgetting, by a stated rule."""

from chaintune.records import Estimate, Verdict


def verdict(forgetting: Estimate, *, margin: float, level: float, upper: Estimate | None = None) -> Verdict:
    """`kept`, `forgot`, `gained` or `inconclusive`.

    The rule, in this order:

    1. `gained`: a gain is shown, and the interval reaches below minus the margin: it may be large enough to matter.
    2. `kept`: the upper end of the interval does not exceed the margin, so that any loss is too small to matter. It
       speaks of each group by itself, and a forgetting budget of the same size passes where it does.
    3. `forgot`: a loss is shown.
    4. `inconclusive`: everything else; a p-value above `1 - level` alone never means `kept`.

    A change is shown as `Estimate.is_shown` has it: of one of several tests (groups of a dimension, tasks) by the
    corrected p-value and the adjusted interval. `kept` rests on the plain interval.

    Args:
        forgetting: with its interval; undefined ends make rule 2 fail.
        margin: in units of the score, 0.02 is two points of accuracy; NaN where there is none, and nothing is `kept`.
        level: of the interval.
        upper: the same with every example that lacks a score at its worst, where some do; `forgetting` then has each at
            its best. A loss is shown by the lower bound, a gain by the upper, which `kept` rests on too.
    """
    upper = upper or forgetting
    if upper.value < 0 and upper.is_shown(level) and not -margin <= forgetting.low:
        return "gained"
    if upper.high <= margin:
        return "kept"
    return "forgot" if forgetting.value > 0 and forgetting.is_shown(level) else "inconclusive"
