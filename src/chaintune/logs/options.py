"""Options of a comparison by name: how to read the logs, and how to compare what they hold."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class HowToRead(TypedDict, total=False):
    """How logs are read.

    Attributes:
        columns: what `id`, `score`, `cluster`, `task` or a dimension are called in the log.
        cluster: the field that says which examples are not independent, dotted where it lies deeper.
        metric: which score, where there are several.
        filter: which answers, where lm-eval filtered them in several ways.
        task: the only task to compare, or several.
        scale: the worst and the best score there can be, where they are not 0 and 1.
        reader: `chaintune`, `inspect`, `lm-eval` or `table`; None to tell by the file.
    """

    columns: Mapping[str, str]
    cluster: str | None
    metric: str | None
    filter: str | None
    task: str | Sequence[str] | None
    scale: tuple[float, float]
    reader: str | None


class HowToCompare(TypedDict, total=False):
    """How scores are compared; see `forgetting.compare`.

    Attributes:
        by: dimensions whose groups are compared; `a x b` crosses two.
        also_by: the same of dimensions that no task need have, as those of a policy.
        intersections: pairs of dimensions whose groups are crossed.
        reference: biased forgetting is relative to the `overall` forgetting or to that of the `rest`.
        level: of the intervals.
        resamples: random halves of the clusters that are drawn.
        seed: of the draws.
        adjust: correction for the number of groups of a dimension.
        on_missing: `error`, or `intersect` to leave out what only one side has.
        margin: a change within it counts as none.
        force: compare what is not comparable, and say so in the result.
    """

    by: str | Sequence[str]
    also_by: str | Sequence[str]
    intersections: Sequence[tuple[str, str]]
    reference: Literal["overall", "rest"]
    level: float
    resamples: int
    seed: int
    adjust: Literal["holm", "bh"]
    on_missing: Literal["error", "intersect"]
    margin: float
    force: bool
