"""Figures of a study and of comparisons: one Vega-Lite spec each, with words and a table."""

from collections.abc import Sequence
from pathlib import Path

from chaintune.records import Figure
from chaintune.report.results import Results

__all__ = ["result_figures", "save"]


# Altair and Vega take a quarter of a second to load, and most commands draw nothing.


def result_figures(results: Results) -> list[Figure]:
    """Every figure of a study or of comparisons, in reading order; what was not measured has none.

    Args:
        results: with the folder of a run, for its `curvature.parquet` and `training.parquet`.

    Raises:
        DataError: a file of the folder is no table.
    """
    from chaintune.report.figures.every import every_figure

    return every_figure(results)


def save(figures: Sequence[Figure], folder: Path) -> dict[str, str]:
    """Write `NAME.png` and `NAME.svg` of each into a folder, with no network; returns name -> SVG."""
    from chaintune.report.figures.saving import save as write

    return write(figures, folder)
