"""Figures of a study and of comparisons: one Vega-Lite spec each, with words and a table."""

from collections.abc import Sequence
from pathlib import Path

from chaintune.forgetting.recommend import USUAL
from chaintune.records import Comparison, Figure, Limits, ResultRow

__all__ = ["comparison_figures", "save", "study_figures"]


# Altair and Vega take a quarter of a second to load, and most commands draw nothing.


def study_figures(
    rows: Sequence[ResultRow], *, level: float, limits: Limits = USUAL, out: Path | None = None
) -> list[Figure]:
    """Every figure of a study, in reading order; what was not measured has none.

    Args:
        rows: of `results.parquet`.
        level: of the intervals; one minus it is the error rate of what is called shown.
        limits: what a recommended dose has to reach.
        out: the run's folder, for `curvature.parquet` and `training.parquet`.

    Raises:
        DataError: a file of the folder is no table.
    """
    from chaintune.report.figures.study import figures_of_rows

    return figures_of_rows(rows, limits, out, level)


def comparison_figures(comparisons: Sequence[Comparison]) -> list[Figure]:
    """Every figure of comparisons, one of each task, in reading order."""
    from chaintune.report.figures.study import figures_of_comparisons

    return figures_of_comparisons(comparisons)


def save(figures: Sequence[Figure], folder: Path) -> dict[str, str]:
    """Write `NAME.png` and `NAME.svg` of each into a folder, with no network; returns name -> SVG."""
    from chaintune.report.figures.saving import save as write

    return write(figures, folder)
